"""Ctrl-C, SIGTERM, a terminal that went away and a CPU limit: each stops the work once, wherever the program is.

A stop is a KeyboardInterrupt, which iterations answer by saving what they have. Libraries may swallow one: a module that is
being loaded in C, a callback, a destructor. So a stop waits until an import is over, and :func:`requested` remembers it.
"""

import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

#: The exit code of each signal that stops the work: 128 + number, and that of bad input for a limit.
CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129, "SIGXCPU": 2}
SAME = 1.0  # s in which a second signal is the same wish: terminals, shells and `timeout` send several
PATIENCE = 2.0  # s that an import may delay a stop
_RETRY = 0.02  # s


class _Stop:
    number = 0  # the signal
    asked = raised = -1e9  # when the first came, when KeyboardInterrupt was raised last


_stop = _Stop()


def listen(early: Sequence[bool] = ()) -> None:
    """Let the signals stop the work from now on; those that the parent ignores (``nohup``) stay ignored, but for Ctrl-C.

    SIGINT is set too, because a shell script starts its background jobs with it ignored. Raises KeyboardInterrupt where one
    came ``early``.
    """
    for name in CODES:
        number = getattr(signal, name, None)
        if number is not None and (name == "SIGINT" or signal.getsignal(number) != signal.SIG_IGN):
            signal.signal(number, _asked)
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, lambda _, frame: _deliver(frame))
    usual, printed = sys.unraisablehook, sys.excepthook

    def swallowed(fault: Any) -> None:
        """Of what a destructor or a callback cannot raise: a stop is tried again, and the rest is for debugging."""
        if issubclass(fault.exc_type, KeyboardInterrupt) and _stop.number:
            _stop.raised = -1e9
            _again()
        elif os.environ.get("OBSERVER_DEBUG"):
            usual(fault)

    def shown(kind: Any, *fault: Any) -> None:
        """Of what compiled code prints where it cannot raise."""
        if not issubclass(kind, KeyboardInterrupt):
            printed(kind, *fault)

    sys.unraisablehook, sys.excepthook = swallowed, shown
    if early:
        raise KeyboardInterrupt


def conclude() -> int | None:
    """The outcome is decided, and no further stop is raised. Returns the exit code of the stop that was asked for, if any."""
    _stop.raised = math.inf
    return CODES[signal.Signals(_stop.number).name] if _stop.number else None


def check() -> None:
    """Raise KeyboardInterrupt if a stop was asked for and something swallowed it."""
    if _stop.number:
        raise KeyboardInterrupt


def _asked(number: int, frame: FrameType | None) -> None:
    now = time.monotonic()
    if not _stop.number:
        _stop.number, _stop.asked = number, now
    _deliver(frame)


def _deliver(frame: FrameType | None) -> None:
    now = time.monotonic()
    if now - _stop.raised < SAME:
        return
    if hasattr(signal, "setitimer") and now - _stop.asked < PATIENCE and _imports(frame):
        _again()
        return
    _stop.raised = now
    raise KeyboardInterrupt


def _again() -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, _RETRY)


def _imports(frame: FrameType | None) -> bool:
    """True where an import is under way: C code that is being loaded turns an interrupt into errors of any kind."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
