"""Logs of a run: read as training data, and recorded with their hashes so that a change is noticed."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.pipeline.console import Console
from observer.runs import LOGS
from observer.storage import file_hash, guarded, read_json
from systems.base.errors import InputError
from systems.recordings import Timing, log_files, parse_columns, read_recordings
from systems.trajectories import Trajectories

if TYPE_CHECKING:
    from experiments.pipeline.recipe import Recipe
    from systems import DiscreteSystem, System


def learned_plant(recipe: "Recipe", console: Console, files: list[str] | None = None) -> "System | None":
    """The plant of a file without equations, learned from the logs of the recipe; None for a plant that has equations.

    ``files``: where these logs lie now.

    What :func:`observer.fit` holds out of these logs, and what is kept for the validation, is left out here too.
    """
    from observer.fitting.decision import HELD_OUT
    from observer.validation.on_logs import held_out_stretches, part
    from systems.files import load_outline
    from systems.recordings.learned import learn_system

    outline = load_outline(recipe.system)
    if outline is None or recipe.data.files is None:
        return None
    system, plain = outline
    with console.step("learn", f"the plant of {recipe.system} from logs {recipe.data.files}"):
        data = learn_from(
            files or recipe.data.files,
            system,
            recipe.dt or system.dt,
            recipe.data.columns,
            timing_of(recipe.data),
        )
        learned, judged, _ = part(data, recipe.seed)
        held_out_stretches(judged)  # refused now rather than after the fit
        return learn_system(system, plain, learned.split(HELD_OUT, recipe.seed)[0])


def log_record(files: str, folder: Path) -> dict[str, Any]:
    """The content of ``logs.json``: each log as it was named, as it lies from the run folder, and its SHA-256."""
    paths = log_files(files)
    for path in paths:
        if not os.path.isfile(path):  # a device may have no end
            raise InputError(f"there is no file {path}; expected a log")
    return {
        "logs": [
            {"file": str(path), "from_run": os.path.relpath(path, folder), "sha256": file_hash(path)} for path in paths
        ]
    }


def compared_logs(folder: Path) -> list[tuple[str, bool | None]]:
    """Each log of a run, and whether it is what it was when the run read it; None when it cannot be read any more."""
    if not (folder / LOGS).is_file():
        return []
    document = read_json(folder / LOGS)
    return guarded(folder / LOGS, lambda: [(str(log["file"]), _unchanged(log, folder)) for log in document["logs"]])


def changed_logs(folder: Path) -> list[str]:
    """The logs of a run that are not what they were when it read them."""
    return [log for log, unchanged in compared_logs(folder) if unchanged is False]


def _unchanged(log: Mapping[str, Any], folder: Path) -> bool | None:
    for path in (folder / log["from_run"], Path(log["file"])):
        try:
            return file_hash(path) == log["sha256"]
        except OSError:
            continue
    return None


def timing_of(options: Any) -> Timing:
    """What the options of a command or a recipe say of the time of logs."""
    return Timing(options.sample_time, options.time_unit, options.date_order)


def learn_from(
    files: str | list[str],
    system: "System",
    dt: float | None,
    columns: str | None = None,
    timing: Timing | None = None,
    *,
    plant: "DiscreteSystem | None" = None,
) -> Trajectories:
    """Logged states and inputs as training data, and outputs, which must be logged too where there is no ``plant`` with equations.

    Of a ``plant``, outputs without a column are worked out from its equations; where the logs lack states and hold all outputs, states
    are those of the motion of the equations that explains the outputs best.

    Raises InputError for a log without all states (and, without equations, all outputs), or when no two neighbouring
    samples are complete.
    """
    required = ("inputs",) if plant is not None else ("states", "inputs", "outputs")
    mapping = parse_columns(columns) if columns else None
    data = read_recordings(files, system, dt, columns=mapping, required=required, timing=timing)
    if plant is not None and np.isnan(data.x).all(axis=1).any():
        if np.isnan(data.y).all(axis=1).any():  # nothing to estimate them from: says which column is missing
            read_recordings(files, system, dt, columns=mapping, required=("states", "inputs"), timing=timing)
        else:
            from observer.calibration.states import estimated_states

            data = estimated_states(plant, data)
    unlogged = np.isnan(data.y).all(axis=(0, 1)) & (plant is not None)
    if unlogged.any():
        data = replace(data, y=np.where(unlogged, system.measure(data.x, data.u), data.y))
    missing = _missing(data, system)
    if not len(data.transitions()):
        samples = int(data.lengths.sum())
        empty = [f"'{name}'" for name, count in missing.items() if count == samples]
        advice = f"no row has a number for {', '.join(empty)}" if empty else "fill the empty cells"
        raise InputError(
            f"{files}: no two neighbouring samples are complete, so there is nothing to learn from; {advice}"
        )
    if missing:
        counts = ", ".join(f"{name} in {count}" for name, count in missing.items())
        text = f"of {int(data.lengths.sum())} logged samples some miss a value ({counts}); the fit leaves those out"
        data = replace(data, warnings=(*data.warnings, text))
    return data


def _missing(data: Trajectories, system: "System") -> dict[str, int]:
    """Signal -> in how many samples it has no value; only those that miss some."""
    inside = np.arange(len(data.t)) < data.lengths[:, None]
    counts = {}
    for values, names in ((data.x, system.state_names), (data.u, system.input_names), (data.y, system.output_names)):
        absent = (np.isnan(values) & inside[:, :, None]).sum(axis=(0, 1))
        counts |= {name: int(count) for name, count in zip(names, absent, strict=True) if count}
    return counts
