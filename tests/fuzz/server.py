"""One process that has imported and warmed up everything, and forks a child for each input."""

import gc
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tests.fuzz.one_thread  # noqa: F401 - before all that imports NumPy
from tests.fuzz import child
from tests.fuzz.case import Case, Dice


@dataclass(frozen=True)
class Outcome:
    """How a child ended: exit code (negative: the signal), seconds of the clock and of a processor, bytes at its peak."""

    place: Path
    code: int
    seconds: float
    processor: float
    memory: int
    hung: bool


class Server:
    """Forks children in places under ``root``; ``templates`` holds finished runs for inputs to damage."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="fuzz.") if root is None else root).resolve()
        self.templates = self.root / "templates"
        self.templates.mkdir(parents=True, exist_ok=True)
        self.allowed = _warm(self.templates)

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.root, ignore_errors=True)

    def place(self, entry: str, seed: int, index: int) -> Path:
        """A fresh place: ``work`` for the command, ``outside`` and ``home`` that it has no business with."""
        place = self.root / f"{entry}-{seed}-{index}"
        shutil.rmtree(place, ignore_errors=True)
        for name in ("work", "outside", "home"):
            (place / name).mkdir(parents=True)
        (place / "outside" / "victim.txt").write_text("not yours\n")
        (place / "stdin").write_bytes(b"")
        return place

    def run(self, make: Callable[[Dice], Case], entry: str, seed: int, index: int, *, debug: bool = False) -> Outcome:
        """Fork a child for one input and wait for its end."""
        place = self.place(entry, seed, index)
        sys.stdout.flush()
        began = time.perf_counter()
        pid = os.fork()
        if pid == 0:
            child.run(make, place, (entry, seed, index), self.templates, self.allowed, debug)
        watched = os.pidfd_open(pid)
        ready, _, _ = select.select([watched], [], [], child.MUCH)
        if not ready and not _much(place):
            ready, _, _ = select.select([watched], [], [], child.SECONDS - child.MUCH)
        os.close(watched)
        hung = not ready
        try:
            os.killpg(pid, signal.SIGKILL)  # with whatever it left running
        except (ProcessLookupError, PermissionError):
            if hung:
                os.kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        seconds = time.perf_counter() - began
        resident = place / "resident"
        before = int(resident.read_text()) if resident.is_file() else 0
        code = os.waitstatus_to_exitcode(status)
        hung = hung or code in (-signal.SIGXCPU,)
        memory = max(0, usage.ru_maxrss * 1024 - before) if before else 0
        return Outcome(place, code, seconds, usage.ru_utime + usage.ru_stime, memory, hung)


def _much(place: Path) -> bool:
    """Whether the input asks for work that may last."""
    path = place / "case.json"
    return path.is_file() and bool(json.loads(path.read_text(errors="surrogatepass"))["much"])


def _warm(templates: Path) -> tuple[str, ...]:
    """Import all, make the template runs, and freeze what is there; returns the folders that a command may write caches to."""
    from tests.fuzz.templates import make_templates

    allowed = make_templates(templates)
    threads = len(os.listdir("/proc/self/task"))
    assert threads == 1, f"{threads} threads after warming up: a child may hang in a lock"
    gc.collect()
    gc.freeze()
    return allowed
