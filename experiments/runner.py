"""What the experiments of the family share: options that they refuse, parts that are kept, and the end of a run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments.pipeline.console import DONE, FAILED, Interrupted
from observer.storage import plain, read_json, write_json
from systems.base.errors import InputError

PARTS = "parts"


def refuse(options: Mapping[str, Any], known: Sequence[str]) -> None:
    """InputError for an option that the experiment does not have; ``known`` are the names of those it has."""
    unknown = sorted(set(options) - {*known, "fresh", "size"})
    if unknown:
        flags = ", ".join(f"--{name}" for name in (*known, "seed", "fresh"))
        raise InputError(f"this experiment takes {flags}, not {', '.join(f'--{name}' for name in unknown)}")


def kept(out: Path, name: str, key: Any, compute: Callable[[], Any], fresh: bool = False) -> Any:
    """The result of ``compute`` as plain data, from ``parts/NAME.json`` where one of the same ``key`` is there already.

    ``key``: all that the result depends on besides the code (sizes, seed). A part of another key is computed anew.
    """
    path = Path(out) / PARTS / f"{name}.json"
    stored = read_json(path) if path.is_file() and not fresh else None
    if stored is None or stored.get("key") != plain(key):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"key": key, "result": compute()})
        stored = read_json(path)
    return stored["result"]


@contextmanager
def interruptible(out: Path) -> Iterator[None]:
    """Ctrl-C keeps the finished parts, and says so."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"stopped; the parts done so far are in {out}. The same command goes on from there") from None


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch and BLAS while small networks train: more only wait for each other."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def finish(
    out: Path, name: str, criteria: Sequence[Any], metrics: Mapping[str, Any], page: Mapping[str, Any], report: Any
) -> int:
    """Write ``metrics.json`` and the page; the exit code says whether all criteria are met.

    ``criteria``: of ``reports.experiment_page``. ``page``: its other arguments. A full disk leaves the old files.
    """
    from reports.experiment_page import write_experiment_page

    passed = all(c.passed for c in criteria)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    document = {"experiment": name, "passed": passed, "criteria": [c.to_data() for c in criteria], **metrics}
    write_json(out / "metrics.json", document)
    path = write_experiment_page(out, criteria=criteria, **page)
    for c in criteria:
        if not c.passed:
            report(f"not met: {c.name} is {c.value.value:.6g}, required {c.requirement}")
    report(f"report: {path}")
    return DONE if passed else FAILED
