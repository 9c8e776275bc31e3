"""The runner of the named experiments: options, parts that are kept, the page, ``metrics.json`` and the exit code.

An experiment is a package with two modules, named once in ``experiments.registry``:

    run.py    FULL: its size, a ``Size``;  measure(size, seed, parts, **options) -> a frozen result
    page.py   page(result) -> a ``Page``; it imports run.py, and run.py never imports it
"""

import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from experiments.pipeline.console import DONE, FAILED, Interrupted
from experiments.pipeline.lock import kept_folder
from systems.base.errors import InputError

if TYPE_CHECKING:
    from reports.experiment_page import Requirement

#: Words under which a part was stored by earlier versions.
_RESULTS = ("result", "outcome", "measurement", "row")
_RENAMED = {"epochs": "iterations"}


@dataclass(frozen=True)
class Experiment:
    """A named experiment. ``options``: those of the command line that it takes besides ``--seed`` and ``--fresh``.

    An option with the name of a field of the size replaces that field; ``measure`` receives the others.
    """

    name: str
    description: str
    options: tuple[str, ...] = ()
    package: str = ""

    def load(self) -> tuple[ModuleType, ModuleType]:
        """Import ``run`` and ``page``."""
        package = self.package or f"experiments.named.{self.name}"
        return import_module(f"{package}.run"), import_module(f"{package}.page")


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much an experiment measures. ``name``: "full", or that of the size of a test, which the page then states."""

    name: str = "full"

    def to_data(self, **changes: Any) -> dict[str, Any]:
        """The fields as a dictionary, some of them replaced: part of the key of a kept part."""
        return asdict(self) | changes


@dataclass(frozen=True)
class Measured:
    """The result of an experiment whose parts are rows of one table: a sequence of them, or rows by name."""

    size: Any
    seed: int
    rows: Any


@dataclass(frozen=True)
class Page:
    """The end of an experiment: its verdict, ``metrics.json``, and ``write(folder, command=..., **content)``.

    ``lines`` are printed at the end.
    """

    passed: bool
    metrics: Mapping[str, Any]
    write: Callable[..., Path]
    content: Mapping[str, Any]
    lines: Sequence[str] = ()


def judged(criteria: "Sequence[Requirement]", metrics: Mapping[str, Any], size: Size, **content: Any) -> Page:
    """A page of tables and charts that passes when all ``criteria`` are met; see ``reports.experiment_page``."""
    from reports.experiment_page import write_experiment_page

    passed = all(c.passed for c in criteria)
    missed = [f"not met: {c.name} is {c.value.value:.6g}, required {c.requirement}" for c in criteria if not c.passed]
    metrics = {"passed": passed, "criteria": [c.to_data() for c in criteria], **metrics}
    content |= {"criteria": criteria, "toy": size.name != "full"}
    return Page(passed, metrics, write_experiment_page, content, missed)


@dataclass(frozen=True)
class Parts:
    """The finished parts of an experiment, each in a file ``out/NAME.json`` of its own. ``say`` reports progress."""

    out: Path
    fresh: bool = False
    quiet: bool = False
    say: Callable[[str], None] = print

    def stored(self, name: str, key: Any) -> Any:
        """The result of a part as plain data; None where there is none of this key."""
        from observer.storage import read_json
        from systems.base.records import to_plain

        path = self.out / f"{name}.json"
        document = read_json(path) if path.is_file() else {}
        if document.get("key", document.get("fingerprint")) != to_plain(key):
            return None
        return next((document[word] for word in _RESULTS if word in document), None)

    def keep(self, name: str, key: Any, compute: Callable[..., Any], *arguments: Any) -> Any:
        """The stored result of a part, or else that of ``compute(*arguments)``, which is stored first.

        ``key``: all that the result depends on besides the code (sizes, seed). A part of another key is computed anew.
        """
        from observer.storage import write_json

        found = None if self.fresh else self.stored(name, key)
        if found is None:
            path = self.out / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, {"key": key, "result": compute(*arguments)})
            found = self.stored(name, key)
        return found


def run_experiment(
    experiment: Experiment, out: str | Path, *, seed: int = 0, full: bool = False, fresh: bool = False,
    quiet: bool = False, report: Callable[[str], None] = print, size: Size | None = None, **options: Any,
) -> int:  # fmt: skip
    """Run an experiment into ``out``: measure what is missing, write ``metrics.json`` and the page; the exit code.

    Parameters
    ----------
    seed : the first seed. full : ``--full``, where the experiment has it. fresh : measure everything anew. quiet : no
        progress of fits. report : receives lines of progress. size : in place of the experiment's own; for tests.
    options : those of ``experiment.options``, as the command line parses them.

    Returns
    -------
    0 when the experiment passes, 1 when it does not.

    Raises
    ------
    InputError : an option that the experiment does not take. Interrupted : Ctrl-C; finished parts are kept.
    """
    options = {_RENAMED.get(name, name): value for name, value in options.items() if value is not None}
    command = _command(experiment, out, seed, full, options)
    if full and "full" in experiment.options:
        options["full"] = True
    _refuse(experiment, options)
    run, page = experiment.load()
    asked: Size = size or run.FULL
    of_size = {name: options.pop(name) for name in {f.name for f in fields(asked)} & set(options)}
    parts, begin = Parts(Path(out), fresh, quiet, report), time.perf_counter()
    stopped = Interrupted(f"stopped; the parts done so far are in {out}. The same command resumes from there")
    with kept_folder(parts.out, f"experiment {experiment.name}"):
        try:
            result = run.measure(replace(asked, **of_size), seed, parts, **options)
        except KeyboardInterrupt:
            raise stopped from None
        passed = _write(experiment.name, page.page(result), parts, command, begin)
    if getattr(result, "stopped", False):  # what there is has its page
        raise stopped
    return DONE if passed else FAILED


def _write(name: str, page: Page, parts: Parts, command: str, begin: float) -> bool:
    """Write ``metrics.json`` and the page, in this order; a full disk leaves the old files."""
    from observer.storage import write_json

    parts.out.mkdir(parents=True, exist_ok=True)
    write_json(parts.out / "metrics.json", {"experiment": name, **page.metrics}, command=command)
    path = page.write(parts.out, command=command, **page.content)
    for line in page.lines:
        parts.say(line)
    parts.say(f"report: {path} ({time.perf_counter() - begin:.0f} s)")
    return page.passed


def _refuse(experiment: Experiment, options: Mapping[str, Any]) -> None:
    unknown = _flags(sorted(set(options) - set(experiment.options)))
    if unknown:
        raise InputError(
            f"experiment '{experiment.name}' has no {', '.join(unknown)}; it takes "
            f"{', '.join(_flags([*experiment.options, 'seed', 'fresh']))}"
        )


def _command(experiment: Experiment, out: str | Path, seed: int, full: bool, options: Mapping[str, Any]) -> str:
    words = ["observer", "experiment", experiment.name]
    for flag, value in zip(_flags(options), options.values(), strict=True):
        words += [flag, f"{value}"]
    return shlex.join(
        [*words, "--seed", f"{seed}", *["--full"][: full and "full" in experiment.options], "--out", f"{out}"]
    )


def _flags(names: Any) -> list[str]:
    return [f"--{name.replace('_', '-')}" for name in names]


def chosen(rows: str | None, known: Sequence[str]) -> tuple[str, ...]:
    """The names in ``--rows`` (``a,b``), all ``known`` ones when left out. Raises InputError for one that is not known."""
    names = tuple(rows.split(",")) if rows else tuple(known)
    wrong = [name for name in names if name not in known]
    if wrong:
        raise InputError(f"--rows names {', '.join(wrong)}; expected some of {', '.join(known)}")
    return names


def at_least_one(**options: int) -> None:
    """Raise InputError for an option below 1."""
    for name, value in options.items():
        if value < 1:
            raise InputError(f"--{name} is {value}; expected at least 1")


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch and BLAS while small networks train: more only wait for each other."""
    from threadpoolctl import threadpool_limits

    from observer.fitting.solvers.direct import one_thread

    with one_thread(), threadpool_limits(1):
        yield
