"""The limits of the shell (``ulimit``): a program that would die of one in a library says so before it begins."""

import os

from systems.base.errors import InputError

_MB = 1_000_000
MEMORY = 1000 * _MB  # address space that the libraries and a small run take with one thread
MEMORY_PER_THREAD = 64 * _MB
FILES = 64
STACK = 1 * _MB


def check_limits() -> None:
    """Raise InputError that names a limit of the shell under which the libraries cannot work."""
    try:
        import resource
    except ImportError:  # no such limits here
        return
    threads = _threads()
    needs = (
        ("memory", "-v", resource.RLIMIT_AS, MEMORY + threads * MEMORY_PER_THREAD, 1024, "kB"),
        ("open files", "-n", resource.RLIMIT_NOFILE, FILES, 1, ""),
        ("stack", "-s", resource.RLIMIT_STACK, STACK, 1024, "kB"),
    )
    for what, flag, number, need, unit, name in needs:
        limit, _ = resource.getrlimit(number)
        if limit != resource.RLIM_INFINITY and limit < need:
            raise InputError(
                f"the limit of {what} (ulimit {flag}) is {limit // unit} {name}".rstrip()
                + f"; the program needs {-(-need // unit)} {name}".rstrip()
                + f", so raise it with `ulimit {flag} {-(-need // unit)}`"
            )


def _threads() -> int:
    stated = os.environ.get("OMP_NUM_THREADS", "")
    if stated.isdigit() and int(stated):
        return int(stated)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
