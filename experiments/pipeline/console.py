"""Messages of the application: progress, results, and one message for everything that goes wrong.

Progress and messages go to stderr, results to stdout. A terminal gets one live line, anything else plain lines, at most
one a second; ``--quiet`` gets neither.
"""

import errno
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from experiments.pipeline import stopping
from experiments.pipeline.streams import lost_results
from systems.base.wording import message, visible

DONE, FAILED, BAD_INPUT, FAULT, STOPPED = 0, 1, 2, 3, 130

NOTICEABLE = 1.0  # s of compiling that deserve a line
_GO_ON = "what was finished is kept, and the same command continues from there"
#: Errors of a disk, and what a person can do about each.
_WAY_OUT = {
    errno.ENOSPC: f"no space left on the disk; make room ({_GO_ON}), or write elsewhere",
    errno.EDQUOT: f"the disk quota is used up; make room ({_GO_ON}), or write elsewhere",
    errno.EFBIG: f"the file would be larger than the limit allows; raise it with ulimit -f ({_GO_ON})",
    errno.EROFS: "the file system is read-only; write elsewhere, or mount it for writing",
    errno.EACCES: "permission denied; check its owner and mode, or write elsewhere",
    errno.EPERM: "not permitted; check its owner and mode, or write elsewhere",
    errno.EIO: f"the disk reports an error; check it, or write elsewhere ({_GO_ON})",
}


class Interrupted(Exception):
    """A step was interrupted; the text states what was kept and how to resume."""


class Console:
    """Prints progress and warnings. ``quiet`` leaves out progress; warnings and errors are always printed."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.live = not quiet and sys.stderr.isatty()

    def say(self, text: str) -> None:
        """A line of progress."""
        if not self.quiet:
            print(message(text), file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """A line that is printed in any case."""
        print(message(f"warning: {text}"), file=sys.stderr, flush=True)

    @contextmanager
    def step(self, name: str, about: str) -> Iterator[Callable[..., None]]:
        """Report one step of the pipeline: yields a progress callback for ``fit``, and ends with the time taken.

        A stop that something swallowed in an earlier step is raised here.
        """
        stopping.check()
        start, before = time.perf_counter(), len(_compile_times())
        if not self.live:
            self.say(f"{name:<10} {about}")
            yield _plain(self, name)
            if time.perf_counter() - start > 1.0:
                self.say(f"{name:<10} done in {time.perf_counter() - start:.1f} s")
            self._say_compilation(name, before)
            return
        from rich.console import Console as Terminal
        from rich.status import Status
        from rich.text import Text

        def plain(text: str) -> Text:  # nothing in it is markup
            return Text(message(f"{name} {text}"))

        with Status(plain(about), console=Terminal(stderr=True)) as status:
            yield lambda progress: status.update(plain(_progress_text(progress)))
        self.say(f"{name:<10} {about}  {time.perf_counter() - start:.1f} s")
        self._say_compilation(name, before)

    def _say_compilation(self, name: str, before: int) -> None:
        """The time that the compiler took of a step, where a person will have noticed it."""
        new = [item for item in _compile_times()[before:] if item[0] > 0]
        seconds = sum(item[0] for item in new)
        if seconds < NOTICEABLE:
            return
        from systems.compilation import cache_folder

        kept = f"cached for next time in {cache_folder()}"
        if not all(cached for _, cached in new):
            kept = f"not kept, as {cache_folder()} cannot be written; REN_OBSERVER_CACHE names another folder"
        self.say(f"{name:<10} of that, {seconds:.1f} s to compile the plant to machine code ({kept})")


def _compile_times() -> tuple[tuple[float, bool], ...]:
    """Empty as long as nothing has loaded the compiler: the command line must not be the first to."""
    compiler = sys.modules.get("systems.compilation")
    return compiler.compile_times() if compiler is not None else ()


def _plain(console: Console, name: str) -> Callable[..., None]:
    last = -1.0

    def show(progress: Any) -> None:
        nonlocal last
        if time.perf_counter() - last >= 1.0:
            last = time.perf_counter()
            console.say(f"{name:<10} {_progress_text(progress)}")

    return show


def _progress_text(progress: Any) -> str:
    """Stage, iteration, losses, rate and time of a Progress; parts that are not known yet are left out."""
    words = [f"{progress.stage} {progress.iteration}" + (f"/{progress.total}" if progress.total else "")]
    for label, name in (("loss", "loss"), ("held-out", "held_out"), ("bound", "bound"), ("rate", "rate")):
        value = getattr(progress, name, None)
        if value is not None and value == value:  # a bound that was not computed is nan
            words.append(f"{label} {value:.4g}")
    return "  ".join([*words, f"{progress.seconds:.1f} s"])


def answer(command: Callable[[], int | None]) -> int:
    """The exit code of a command; whatever it raises, and a stop, becomes at most one message without a traceback."""
    with _warnings_in_one_line():
        try:
            try:
                code, text = command() or DONE, ""
            finally:
                stopped = stopping.conclude()
        except (Exception, KeyboardInterrupt) as error:
            if os.environ.get("OBSERVER_DEBUG"):
                traceback.print_exc()
            code, text = _explained(error)
    if stopped is not None:  # whatever else went wrong after that
        code = stopped
        if code == BAD_INPUT:
            text = f"error: the limit of processor time (ulimit -t) is used up; {_GO_ON}"
        elif not text.startswith("stopped"):
            text = f"stopped; {_GO_ON}"
    lost = lost_results()
    if lost is not None and not text:
        code, text = BAD_INPUT, f"error: the results could not be printed: {_disk_error(lost)}"
    if text:
        print(message(text), file=sys.stderr, flush=True)
    return code


def show(*lines: str, file: TextIO | None = None) -> None:
    """Print results, line by line, with everything that a terminal would obey made visible."""
    for line in lines:
        print(visible(line), file=file)


def _explained(error: BaseException) -> tuple[int, str]:
    from systems.base.errors import InputError, NotDetectable

    if isinstance(error, KeyboardInterrupt | Interrupted):
        return STOPPED, str(error) or f"stopped; {_GO_ON}"
    unread = getattr(error, "format_message", None)  # of typer: a command line that cannot be read
    if unread is not None:
        return BAD_INPUT, f"error: {unread().rstrip('.')}; --help shows the options"
    if isinstance(error, InputError):
        return BAD_INPUT, f"error: {error}"
    if isinstance(error, NotDetectable):
        return FAILED, f"refused: {error}"
    if isinstance(error, MemoryError):
        return (
            BAD_INPUT,
            f"error: not enough memory ({error}); ask for fewer trials or trajectories, shorter ones, or a larger dt",
        )
    if isinstance(error, RecursionError):
        return BAD_INPUT, "error: something given is nested too deeply (a file, an equation, a folder); make it flatter"
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _WAY_OUT):
        return BAD_INPUT, f"error: {_disk_error(error)}"
    text = " ".join(str(error).split())
    advice = "this is a fault of the application; re-run with OBSERVER_DEBUG=1 for the traceback"
    return FAULT, f"error: {type(error).__name__}: {text}; {advice}"


def _disk_error(error: OSError) -> str:
    place = error.filename if error.filename is not None else "the output"
    return f"{place}: {_WAY_OUT.get(error.errno or 0, error.strerror)}"


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """A program's own warnings become one line each; those of libraries are not for its user."""
    shown = warnings.showwarning

    def show_one(text: Any, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, UserWarning):
            Console().warn(f"{text}")

    warnings.showwarning = show_one
    try:
        yield
    finally:
        warnings.showwarning = shown
