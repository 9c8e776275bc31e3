"""The limits of the shell (``ulimit``): one under which a library would die or hang is told before anything begins."""

import os

from systems.base.errors import InputError

MEMORY, MEMORY_PER_THREAD = (
    1_000_000 << 10,
    64_000 << 10,
)  # bytes of addresses: libraries and a small run, stack and buffers
FILES = 64
STACK = 1_024 << 10
TO_SAVE = 2  # s of processor time between the notice of its limit and the end


def check_limits() -> None:
    """Raise InputError that names a limit of the shell under which the libraries cannot work.

    A limit of processor time that would end the program without notice is given one.
    """
    try:
        import resource
    except ImportError:  # no such limits here
        return
    needs = (
        ("memory", "-v", resource.RLIMIT_AS, MEMORY + _threads() * MEMORY_PER_THREAD, 1024, " kB"),
        ("open files", "-n", resource.RLIMIT_NOFILE, FILES, 1, ""),
        ("stack", "-s", resource.RLIMIT_STACK, STACK, 1024, " kB"),
    )
    for what, flag, number, need, unit, name in needs:
        limit, _ = resource.getrlimit(number)
        if limit != resource.RLIM_INFINITY and limit < need:
            raise InputError(
                f"the limit of {what} (ulimit {flag}) is {limit // unit}{name}; the program needs {need // unit}{name}, "
                f"so raise it with `ulimit {flag} {need // unit}`"
            )
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if soft == hard != resource.RLIM_INFINITY and hard > TO_SAVE:
        resource.setrlimit(resource.RLIMIT_CPU, (hard - TO_SAVE, hard))


def _threads() -> int:
    """The threads that the libraries will start."""
    stated = os.environ.get("OMP_NUM_THREADS", "")
    if stated.isdigit() and int(stated):
        return int(stated)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
