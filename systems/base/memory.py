"""The memory that a request takes, compared with what there is before the work begins.

Sizes come from what a person gave: rows and ranges of a file, options. ``require`` refuses what does not fit and says how much it
would take; what is large and fits is announced. How work is cut into blocks never depends on the memory: same request, same numbers.
"""

import warnings
from collections.abc import Iterator
from contextlib import suppress
from math import prod
from pathlib import Path

import psutil

from systems.base.errors import InputError

SHARE = 0.9  # of the free memory that one request may take
ANNOUNCED = 1e9  # bytes from which a request is announced
_CGROUPS = Path("/sys/fs/cgroup")
_OF_PROCESS = Path("/proc/self/cgroup")


def require(size: float, what: str, way_out: str) -> None:
    """Refuse a request that takes ``size`` bytes at its peak where they are not there; announce a large one as a warning.

    Parameters
    ----------
    size : float
        Bytes; may be infinite.
    what : str
        Subject of the message: the file and its row, or the option with its value, and what it asks for.
    way_out : str
        What to do instead.

    Raises
    ------
    InputError
        Where more is asked for than is free.

    Examples
    --------
    >>> require(arrays((10**9, 10**9)), "--trials 1000000000", "ask for fewer trials")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    systems.base.errors.InputError: --trials 1000000000 would take over a million GB of memory, and ... free; ask for fewer trials
    """
    free = available()
    if not size <= free:
        raise InputError(f"{what} would take {readable(size)} of memory, and {readable(free)} are free; {way_out}")
    if size >= ANNOUNCED:
        warnings.warn(f"{what} will take about {readable(size)} of memory", stacklevel=2)


def arrays(*shapes: tuple[float, ...], itemsize: int = 8) -> float:
    """Bytes of arrays of these shapes; infinite where they are beyond all numbers."""
    return float(itemsize) * sum(prod(map(float, shape)) for shape in shapes)


def readable(size: float) -> str:
    """``size`` bytes as a text: ``12 GB``, ``48 MB``, ``3 kB``."""
    if not size < 1e15:
        return "over a million GB"
    unit, name = next(((unit, name) for unit, name in ((1e9, "GB"), (1e6, "MB")) if size >= unit), (1e3, "kB"))
    return f"{size / unit:.3g} {name}"


def available() -> float:
    """Bytes that one request may take: a share of what the machine, its control group and the limits of the process leave free."""
    return SHARE * max(0.0, min([psutil.virtual_memory().available, *_control_groups(), *_limits_of_process()]))


def _control_groups() -> Iterator[float]:
    """What every limit above this process leaves free; page cache that can be given back counts as free."""
    with suppress(OSError):
        for line in _OF_PROCESS.read_text(encoding="utf-8").splitlines():
            _, controllers, place = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            root = _CGROUPS / "memory" if controllers else _CGROUPS
            names = (
                ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
            )
            folder = root / place.lstrip("/")
            for group in (folder, *(above for above in folder.parents if above.is_relative_to(root))):
                with suppress(OSError, ValueError):  # no limit is the word "max", and the root has no such file
                    limit, used = (int((group / name).read_text(encoding="utf-8")) for name in names)
                    yield limit - used + _given_back(group)


def _given_back(group: Path) -> int:
    entries = dict(line.split() for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines())
    return int(entries.get("total_inactive_file", entries.get("inactive_file", 0)))


def _limits_of_process() -> Iterator[float]:
    """What ``ulimit -v`` and ``ulimit -d`` leave of the address space; nothing where the system has no such limits."""
    with suppress(ImportError):
        import resource

        used = psutil.Process().memory_info()
        for kind, taken in ((resource.RLIMIT_AS, used.vms), (resource.RLIMIT_DATA, getattr(used, "data", 0))):
            limit = resource.getrlimit(kind)[0]
            if limit != resource.RLIM_INFINITY:
                yield limit - taken
