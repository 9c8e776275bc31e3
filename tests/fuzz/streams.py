"""Faults of the standard streams, as a shell or a cron job brings them about; the child has nothing else to lose."""

import io
import os
import sys
from collections.abc import Callable


def _text(descriptor: int, encoding: str = "utf-8") -> io.TextIOWrapper:
    errors = "backslashreplace" if descriptor == 2 else "strict"  # as the interpreter opens them
    return io.TextIOWrapper(open(descriptor, "wb", closefd=False), encoding, errors, line_buffering=descriptor == 2)


def _closed(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
        setattr(sys, ("stdin", "stdout", "stderr")[descriptor], None)


def _onto(path: str, *descriptors: int) -> None:
    target = os.open(path, os.O_WRONLY)
    for descriptor in descriptors:
        os.dup2(target, descriptor)
    os.close(target)


def _left(*descriptors: int) -> None:
    """A pipe whose reader has gone, as `| head` leaves it."""
    reader, writer = os.pipe()
    os.close(reader)
    for descriptor in descriptors:
        os.dup2(writer, descriptor)
    os.close(writer)


def _ascii() -> None:
    sys.stdout, sys.stderr = _text(1, "ascii"), _text(2, "ascii")


FAULTS: dict[str, Callable[[], None]] = {
    "stdout closed": lambda: _closed(1),
    "stderr closed": lambda: _closed(2),
    "stdin closed": lambda: _closed(0),
    "all closed": lambda: _closed(0, 1, 2),
    "stdout full": lambda: _onto("/dev/full", 1),
    "stderr full": lambda: _onto("/dev/full", 2),
    "both full": lambda: _onto("/dev/full", 1, 2),
    "stdout left": lambda: _left(1),
    "stderr left": lambda: _left(2),
    "both left": lambda: _left(1, 2),
    "ascii": _ascii,
}


def fresh() -> None:
    """Streams as a new interpreter has them, on the descriptors as they are now."""
    sys.stdin = io.TextIOWrapper(open(0, "rb", closefd=False), "utf-8")
    sys.stdout, sys.stderr = _text(1), _text(2)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
