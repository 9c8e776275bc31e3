"""What goes wrong around a command: limits of the system, variables of the environment, and what others do meanwhile."""

import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.case import Dice

#: name -> (limit of the system, its value)
LIMITS = {
    "few files": (resource.RLIMIT_NOFILE, 24),
    "small files": (resource.RLIMIT_FSIZE, 2_000),
    "no files": (resource.RLIMIT_FSIZE, 0),
    "small stack": (resource.RLIMIT_STACK, 256 << 10),
    "no threads": (resource.RLIMIT_NPROC, 1),
}
ENVIRONMENTS: tuple[dict[str, str | None], ...] = (
    {"HOME": None}, {"HOME": "/nowhere"}, {"HOME": ""}, {"HOME": "/dev/null"}, {"TMPDIR": "/nowhere"}, {"TMPDIR": ""}, {"COLUMNS": "0"},
    {"COLUMNS": "-5"}, {"COLUMNS": "x"}, {"LINES": "0"}, {"TERM": ""}, {"TERM": "dumb"}, {"NO_COLOR": "1"}, {"FORCE_COLOR": "1"},
        {"LANG": "C"},
    {"LC_ALL": "tr_TR.UTF-8"}, {"TZ": "nowhere/none"}, {"PATH": ""}, {"PWD": "/nowhere"}, {"MPLBACKEND": "TkAgg"},
        {"MPLBACKEND": "nothing"},
    {"MPLCONFIGDIR": "/dev/null"}, {"DISPLAY": ":99"}, {"REN_OBSERVER_CACHE": "/dev/null"}, {"REN_OBSERVER_CACHE": ""},
        {"XDG_CACHE_HOME": ""},
    {"OMP_NUM_THREADS": "0"}, {"OMP_NUM_THREADS": "x"}, {"PYTHONWARNINGS": "error"}, {"PYTHONHASHSEED": "1"},
        {"CUDA_VISIBLE_DEVICES": "7"},
)  # fmt: skip


def limited(name: str) -> None:
    """Set one of the limits for good."""
    kind, value = LIMITS[name]
    resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))


def signalled(dice: Dice) -> Callable[[int], None]:
    """One or two signals after a while."""
    waits = [dice.uniform(0, 1.5), dice.choice((0.0, 0.01, 0.2))]
    chosen = dice.choice((signal.SIGINT, signal.SIGTERM))

    def send(pid: int) -> None:
        for wait in waits[: 1 + (waits[1] > 0)]:
            time.sleep(wait)
            os.kill(pid, chosen)

    return send


def disturbed(dice: Dice, path: Path) -> Callable[[int], None]:
    """A file that vanishes, shrinks, grows or is exchanged while it is read."""
    wait, kind = dice.choice((0.0, 0.001, 0.01, 0.05, 0.2)), dice.choice(("vanish", "shrink", "grow", "exchange"))

    def disturb(_: int) -> None:
        time.sleep(wait)
        if kind == "vanish":
            path.unlink(missing_ok=True)
        elif kind == "shrink":
            os.truncate(path, path.stat().st_size // 2)
        for _ in range(200 if kind in ("grow", "exchange") else 0):
            if kind == "grow":
                with path.open("ab") as file:
                    file.write(b"9" * 997)
            else:
                path.with_name("new").write_bytes(b"t,u,y\n0,1,1\n")
                path.with_name("new").replace(path)
            time.sleep(0.002)

    return disturb
