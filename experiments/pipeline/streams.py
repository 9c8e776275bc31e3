"""The standard streams, whatever the program was given: closed, full, ASCII only, or without a reader.

What cannot be delivered never stops the work. Progress that is lost is lost; results that are lost make the exit code 2.
"""

import os
import sys
from typing import Any, TextIO


class Outlet:
    """A text stream that never raises: after the first error, which is kept as ``lost``, it takes everything in silence."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.lost: OSError | None = None

    def write(self, text: str) -> int:
        """Write ``text``, or drop it."""
        self._attempt(self.stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Deliver what is buffered, or drop it."""
        self._attempt(self.stream.flush)

    def _attempt(self, act: Any, *arguments: str) -> None:
        if self.lost is None:
            try:
                act(*arguments)
            except OSError as error:
                self.lost = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def secure() -> None:
    """Open the standard descriptors that are closed, and make ``sys.stdout`` and ``sys.stderr`` outlets that take any text.

    A closed descriptor would be given to the next file that is opened, and libraries print into 1 and 2. Standard output
    is opened for reading, so that results written to it are known to be lost; the loss of progress needs no notice.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        if name != "stdin":
            encoding = getattr(getattr(sys, name), "encoding", None) or "utf-8"
            lines = 1 if name == "stderr" or os.isatty(number) else -1
            stream = open(number, "w", lines, encoding=encoding, errors="backslashreplace", closefd=False)
            setattr(sys, name, Outlet(stream))


def lost_results() -> OSError | None:
    """The error by which results on standard output were lost; None where a reader took them, or left early by itself."""
    try:
        sys.stdout.flush()
    except OSError as error:
        lost: OSError | None = error
    else:
        lost = getattr(sys.stdout, "lost", None)
    return None if isinstance(lost, BrokenPipeError) else lost
