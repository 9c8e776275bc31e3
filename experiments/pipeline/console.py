"""Messages of the application: progress, results, and one message for everything that goes wrong.

Progress and messages go to stderr, results to stdout. A terminal gets one live line, anything else plain lines, at most
one a second; ``--quiet`` gets neither.
"""

import errno
import functools
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

DONE, FAILED, BAD_INPUT, FAULT, STOPPED, TERMINATED = 0, 1, 2, 3, 130, 143


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
            print(text, file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """A line that is printed in any case."""
        print(f"warning: {text}", file=sys.stderr, flush=True)

    @contextmanager
    def step(self, name: str, about: str) -> Iterator[Callable[..., None]]:
        """Report one step of the pipeline: yields a progress callback for ``fit``, and ends with the time taken."""
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

        with Status(f"{name} {about}", console=Terminal(stderr=True)) as status:
            yield lambda progress: status.update(f"{name} {_progress_text(progress)}")
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


def answers(command: Callable[..., int]) -> Callable[..., None]:
    """Turn what a command returns or raises into an exit code and at most one message without a traceback."""

    @functools.wraps(command)
    def call(**arguments: Any) -> None:
        with _signals() as terminated:
            code = _run(command, arguments, terminated)
        raise typer.Exit(code)

    if hasattr(command, "__signature__"):
        call.__signature__ = command.__signature__  # type: ignore[attr-defined]
    return call


def _run(command: Callable[..., int], arguments: dict[str, Any], terminated: threading.Event) -> int:
    try:
        code = command(**arguments)
        sys.stdout.flush()  # a full disk under `> file` is reported here, and not by the interpreter at its exit
        return code
    except (KeyboardInterrupt, Interrupted) as stop:
        print(str(stop) or f"stopped; {_GO_ON}", file=sys.stderr)
        return TERMINATED if terminated.is_set() else STOPPED
    except BrokenPipeError:  # `observer list | head`: the reader has seen enough
        sys.stdout = open(os.devnull, "w")  # else the interpreter complains again when it flushes at exit
        return DONE
    except Exception as error:
        if os.environ.get("OBSERVER_DEBUG"):
            traceback.print_exc()
        code, text = _explained(error)
        print(text, file=sys.stderr, flush=True)
        return code


def _explained(error: Exception) -> tuple[int, str]:
    from systems.base.errors import InputError, NotDetectable

    if isinstance(error, InputError):
        return BAD_INPUT, f"error: {error}"
    if isinstance(error, NotDetectable):
        return FAILED, f"refused: {error}"
    if isinstance(error, MemoryError):
        return (
            BAD_INPUT,
            f"error: not enough memory ({error}); ask for fewer trials or trajectories, shorter ones, or a larger dt",
        )
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _WAY_OUT):
        return BAD_INPUT, f"error: {_disk_error(error)}"
    text = " ".join(str(error).split())
    advice = "this is a fault of the application; re-run with OBSERVER_DEBUG=1 for the traceback"
    return FAULT, f"error: {type(error).__name__}: {text}; {advice}"


def _disk_error(error: OSError) -> str:
    place = error.filename if error.filename is not None else "the output"
    return f"{place}: {_WAY_OUT.get(error.errno or 0, error.strerror)}"


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM interrupt; a program's own warnings become one line each.

    SIGINT is set too, because a shell script starts its background jobs with it ignored.
    """
    terminated = threading.Event()

    def stop(*_: Any) -> None:
        terminated.set()
        raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    before = {}
    if main:
        before[signal.SIGTERM] = signal.signal(signal.SIGTERM, stop)
        before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    shown = warnings.showwarning

    def show(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, UserWarning):
            print(f"warning: {message}", file=sys.stderr)

    warnings.showwarning = show
    try:
        yield terminated
    finally:
        warnings.showwarning = shown
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
