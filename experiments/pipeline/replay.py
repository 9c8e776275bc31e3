"""A run and the files of other programs: replay its observer over a log, write its trajectories and trials."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.pipeline.console import Console
from experiments.pipeline.job import fitted_observer
from observer.known_plant import periods, wrap
from observer.runs import load_run
from observer.state_observer import RENObserver
from systems import System
from systems.base.errors import InputError
from systems.base.output_places import check_files, check_folder
from systems.base.wording import nearest, shorten
from systems.recordings import FORMATS, Recording, log_files, parse_columns, read_logs, write_columns, write_recordings
from systems.recordings.columnar import check_installed
from systems.recordings.writing import column_files
from systems.trajectories import Trajectories


def replay(
    folder: Path,
    log: str,
    out: Path,
    columns: str | None,
    initial: str | None,
    console: Console,
    *,
    force: bool = False,
) -> tuple[dict[str, Any], list[str]]:
    """Run the observer of a run over a log and write its estimates to ``out``; returns (numbers, lines) that sum it up.

    Raises InputError, before anything is written, for an ``out`` that is read or lies in a run, or exists (unless ``force``).

    Columns of ``out``: t, in the log's own seconds, ``<state>_hat``, and ``<state>_error`` for states that were logged.
    """
    run = load_run(folder)
    system, observer = run.system, fitted_observer(run)
    given = _initial_estimate(initial, system)
    reads = [folder, *log_files(log)]
    check_files([out], reads=reads, force=True)
    logs = read_logs(
        log, system, run.plant.dt, columns=parse_columns(columns) if columns else None, required=("inputs", "outputs")
    )
    check_files(column_files(out, len(logs)), reads=reads, force=force)
    tables, squares = [], []
    units = {"t": "s"}
    for item in logs:
        for text in item.warnings:
            console.warn(text)
        x_hat, error = _replayed(item, observer, given, console)
        table = {"t": item.first + item.t}
        for k, signal in enumerate(system.states):
            table[f"{signal.name}_hat"] = x_hat[:, k]
            units[f"{signal.name}_hat"] = signal.unit
        for k, signal in enumerate(system.states):
            if f"states.{signal.name}" in item.logged:
                table[f"{signal.name}_error"] = error[:, k]
                units[f"{signal.name}_error"] = signal.unit
        tables.append(table)
        squares.append(error**2)
    written = write_columns(out, tables, units)
    return _summary(system, logs, np.concatenate(squares), written)


def _replayed(
    log: Recording, observer: RENObserver, given: dict[str, float], console: Console
) -> tuple[np.ndarray, np.ndarray]:
    """(x_hat, x_hat - x) ``(N, nx)`` of one log; the error is nan where the state was not logged."""
    system = observer.system
    x_hat0 = np.where(np.isfinite(log.x[0]), log.x[0], system.initial_ranges.mean(axis=1))
    for k, name in enumerate(system.state_names):
        x_hat0[k] = given.get(name, x_hat0[k])
    u = log.u
    missing = ~np.isfinite(u)
    if missing.any():  # the observer has no model of the inputs: the last one is the best guess
        last = np.maximum.accumulate(np.where(missing, -1, np.arange(len(u))[:, None]), axis=0)
        middle = system.input_ranges.mean(axis=1)
        u = np.where(last >= 0, np.take_along_axis(u, np.maximum(last, 0), axis=0), middle)
        console.warn(
            f"{log.label}: an input is missing in {int(missing.any(axis=1).sum())} samples; the last one before them is held"
        )
    x_hat = observer.run(x_hat0, u, log.y)
    angles = periods(system.states)
    return x_hat, wrap(x_hat - log.x, angles)


def _initial_estimate(text: str | None, system: System) -> dict[str, float]:
    result = {}
    for part in text.split(",") if text else ():
        name, sign, value = (item.strip() for item in part.partition("="))
        if name not in system.state_names:
            raise InputError(
                f"--initial-estimate names {shorten(name)}, which is no state; {nearest(name, system.state_names)}"
            )
        try:
            result[name] = float(value)
        except ValueError:
            result[name] = np.nan
        if not (sign and np.isfinite(result[name])):
            raise InputError(f"--initial-estimate of '{name}' is {shorten(value)}; expected a number, as in {name}=0.5")
    return result


def _summary(
    system: System, logs: list[Recording], squares: np.ndarray, written: list[Path]
) -> tuple[dict[str, Any], list[str]]:
    samples = sum(len(log.t) for log in logs)
    blind = int(sum(np.isnan(log.y).any(axis=1).sum() for log in logs))
    rms = {
        signal.name: float(np.sqrt(np.nanmean(squares[:, k])))
        for k, signal in enumerate(system.states)
        if np.isfinite(squares[:, k]).any()
    }
    lines = [f"{samples} samples estimated: {', '.join(map(str, written))}"]
    if blind:
        lines.append(f"{blind} of them without a complete measurement: there the estimate is the prediction")
    if rms:
        errors = [f"{name} {rms[name]:.3g} {unit}".rstrip() for name, unit in _units(system) if name in rms]
        lines.append(f"RMS error: {', '.join(errors)}")
    return {
        "samples": samples,
        "without_measurement": blind,
        "rms_error": rms,
        "files": [str(path) for path in written],
    }, lines


def _units(system: System) -> list[tuple[str, str]]:
    return [(signal.name, signal.unit) for signal in system.states]


def export_run(folder: Path, out: Path, format: str, *, force: bool = False) -> list[Path]:
    """Write the trajectories and the validation trials of a run into the folder ``out``; returns the files.

    Raises InputError for a format that is not in ``FORMATS``, when ``out`` is a file or lies in a run, and for files that exist
    (unless ``force``); nothing is written then.
    """
    if format not in FORMATS:
        raise InputError(f"format is {format!r}; expected {', '.join(FORMATS)}")
    check_installed(out, format)
    run = load_run(folder)
    parts: dict[str, tuple[Trajectories, np.ndarray | None]] = {"trajectories": (run.trajectories, None)}
    for name, check in (("validation", run.validation), ("validation_noise", run.validation_noise)):
        if check is not None:
            lengths = np.full(check.trials, len(check.t))
            parts[name] = (Trajectories(check.t, check.x, check.u, check.y, lengths), check.x_hat)
    check_folder(out)
    paths = {name: out / f"{name}{FORMATS[format]}" for name in parts}
    files = [file for name, path in paths.items() for file in column_files(path, len(parts[name][0]))]
    check_files(files, reads=[folder], force=force)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (data, x_hat) in parts.items():
        written += write_recordings(data, paths[name], run.system, estimates=x_hat)
    return written
