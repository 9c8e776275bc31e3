"""What a forked child does: make the input, give itself limits and fresh streams, run the command, leave its exit code."""

import ctypes
import gc
import hashlib
import json
import os
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from tests.fuzz.case import Case, Dice
from tests.fuzz.conditions import limited
from tests.fuzz.streams import FAULTS, fresh
from tests.fuzz.watch import watch

SECONDS, MUCH = 60, 15  # of the clock, and of a processor; how long work is watched that may last
MEMORY = 2 << 30  # bytes beyond those of an idle program; the limit of the system is at twice as many
CACHES = (".cache/ren-observer", ".cache/matplotlib", ".config/matplotlib")  # of a home; the rest of it is not ours
NO_INPUT = 99  # exit code: the generator failed


def digest(folder: Path, names: tuple[str, ...] | None = None) -> dict[str, str]:
    """Name -> content of the files in a folder (or of the named ones), links as such."""
    paths = sorted(folder.rglob("*")) if names is None else [folder / name for name in names]
    found = {}
    for path in paths:
        if path.is_symlink():
            found[str(path.relative_to(folder))] = f"link to {os.readlink(path)}"
        elif path.is_file():
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def run(
    make: Callable[[Dice], Case],
    place: Path,
    key: tuple[str, int, int],
    templates: Path,
    allowed: tuple[str, ...],
    debug: bool,
) -> NoReturn:
    """Never returns: the process ends here, without the parent's clean-up."""
    code = NO_INPUT
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # as the interpreter starts
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        log = _sinks(place)
        case = _made(make, place, key, templates)
        _limits()
        code = 1  # what the interpreter says when even its last words are lost
        _surroundings(case, place, debug)
        watch(place / "work", (*allowed, *(str(place / "home" / name) for name in CACHES)), log)
        if case.streams:
            FAULTS[case.streams]()
        code = _answered(case)
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _sinks(place: Path) -> int:
    """Streams onto files of the place; the descriptor of the log."""
    os.chdir(place / "work")
    for descriptor, (name, flags) in enumerate(
        (("stdin", os.O_RDONLY), ("stdout", os.O_WRONLY), ("stderr", os.O_WRONLY))
    ):
        opened = os.open(place / name, flags | os.O_CREAT | (os.O_APPEND if descriptor else 0), 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    fresh()
    log = os.open(place / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 200)  # out of the way of what is closed and opened again
    os.close(log)
    return 200


def _made(make: Callable[[Dice], Case], place: Path, key: tuple[str, int, int], templates: Path) -> Case:
    """The input, and what the parent needs to judge it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        case = make(Dice(*key, place / "work", templates))
    before = {
        "words": case.words,
        "note": case.note,
        "streams": case.streams,
        **{name: getattr(case, name) for name in ("theirs", "much", "forged", "signals", "limits")},
        "inputs": digest(place / "work", case.inputs),
        "outside": digest(place / "outside"),
        "partial": [path.name for path in (place / "work").rglob("*.partial*")],
    }
    (place / "case.json").write_text(json.dumps(before, default=str), encoding="utf-8", errors="surrogatepass")
    gc.collect()
    return case


def _limits() -> None:
    """Processor time and address space; the peak of memory counts from here."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    pages, resident, *_ = map(int, Path("/proc/self/statm").read_text().split())
    size = resource.getpagesize()
    (Path.cwd().parent / "resident").write_text(str(resident * size))
    most = pages * size + 2 * MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _surroundings(case: Case, place: Path, debug: bool) -> None:
    """The environment, a limit, and what another process does meanwhile."""
    given = {"HOME": str(place / "home"), "OBSERVER_DEBUG": "1" if debug else None, **case.environment}
    for name, value in given.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    if case.meanwhile is not None:
        pid = os.getpid()
        if os.fork() == 0:
            with suppress(Exception):
                case.meanwhile(pid)
            os._exit(0)
    if case.limits:
        limited(case.limits)


def _answered(case: Case) -> int:
    """The exit code, as the interpreter would leave it."""
    from experiments.cli import main

    sys.argv = ["observer", *case.words]
    try:
        if case.call is None:
            main()
        else:
            _library(case.call)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    try:
        sys.stdout.flush()
    except (AttributeError, ValueError):  # it is closed
        pass
    except OSError as error:  # as the interpreter ends
        os.write(200, (json.dumps(["flush", str(error)]) + "\n").encode())
        code = 120
    return code


def _library(call: Callable[[], Any]) -> None:
    """A function of the library: its InputError is an answer, as that of a command; all else is a traceback."""
    from systems.base.errors import InputError

    try:
        call()
    except InputError as error:
        print("error:", "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(error)), file=sys.stderr)
        raise SystemExit(2) from None
