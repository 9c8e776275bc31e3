"""The classical estimators tuned one by one, each kept in ``tuning.json`` as soon as it is done."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from observer.estimators.tuning import SHARING, tune_each
from observer.storage import read_json, write_json
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories

TUNING = "tuning.json"

Tuned = tuple[dict[str, dict[str, Any]], dict[str, str]]


def tuned_all(
    plant: DiscreteSystem,
    noisy: Trajectories,
    kinds: tuple[str, ...],
    asked: Mapping[str, Any],
    folder: Path | None,
    report: Callable[[str], None],
) -> Tuned:
    """(tuned values by estimator, reasons of those that cannot serve this plant), in the order of ``kinds``.

    ``asked``: what the values depend on besides the estimator, with ``evaluations`` and ``seed``; what ``folder`` keeps for another
    question is not used.
    """
    path = None if folder is None else folder / TUNING
    done: dict[str, dict[str, Any]] = {}
    refused: dict[str, str] = {}
    if path is not None and path.is_file():
        content = read_json(path)
        if content.get("asked") == dict(asked):
            done, refused = dict(content["tuned"]), dict(content["refused"])
            already = [kind for kind in kinds if kind in done]
            if already:
                report(f"tuned already: {', '.join(already)} ({path})")
    rest = [kind for kind in kinds if kind not in done and kind not in refused]
    start = done[SHARING]["values"] if SHARING in done else None
    for kind, found in tune_each(plant, noisy, rest, evaluations=asked["evaluations"], seed=asked["seed"], start=start):
        if isinstance(found, InputError):
            refused[kind] = str(found)
            report(f"left out {kind}: {found}")
        else:
            done[kind] = found.to_data()
            report(f"tuned {kind}: {found.evaluations} evaluations, {found.seconds:.1f} s, {found.message}")
        if path is not None:
            write_json(path, {"asked": dict(asked), "tuned": done, "refused": refused})
    return {kind: done[kind] for kind in kinds if kind in done}, {k: v for k, v in refused.items() if k in kinds}
