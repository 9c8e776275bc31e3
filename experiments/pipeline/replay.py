"""A run and the files of other programs: replay its observer over a log, write its trajectories and trials."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from experiments.pipeline.console import Console
from experiments.pipeline.job import fitted_observer
from observer.runs import load_run
from observer.state_observer import RENObserver
from systems import System
from systems.angles import periods, wrap
from systems.base.errors import InputError
from systems.base.output_places import check_files, check_folder
from systems.base.wording import nearest, shorten
from systems.recordings import (
    FORMATS,
    OpenedLog,
    Recording,
    Timing,
    log_files,
    open_logs,
    parse_columns,
    write_recordings,
)
from systems.recordings.columnar import check_installed
from systems.recordings.sinks import Outline, column_files, open_sink
from systems.trajectories import Trajectories

LONG = 200_000  # samples of a log whose progress is told


def replay(
    folder: Path,
    log: str,
    out: Path,
    columns: str | None,
    initial: str | None,
    console: Console,
    *,
    timing: Timing | None = None,
    force: bool = False,
) -> tuple[dict[str, Any], list[str]]:
    """Run the observer of a run over a log and write its estimates to ``out``; returns (numbers, lines) that sum it up.

    Raises InputError, before anything is written, for an ``out`` that is read or lies in a run, or exists (unless ``force``).

    Columns of ``out``: t from the log's own first stamp in the plant's unit of time, ``<state>_hat``, and ``<state>_error`` for states
    that were logged. The log is read, estimated and written piece by piece: its length does not matter.
    """
    run = load_run(folder)
    system, observer = run.system, fitted_observer(run)
    given = _initial_estimate(initial, system)
    reads = [folder, *log_files(log)]
    check_files([out], reads=reads, force=True)
    mapping = parse_columns(columns) if columns else None
    logs = open_logs(log, system, run.plant.dt, columns=mapping, required=("inputs", "outputs"), timing=timing)
    check_files(column_files(out, len(logs)), reads=reads, force=force)
    units = {"t": system.time_unit}
    for ending in ("hat", "error"):
        units |= {f"{signal.name}_{ending}": signal.unit for signal in system.states}
    sums = _Sums(system)
    with open_sink(out, [Outline(_columns(item, system), item.samples) for item in logs], units) as sink:
        for k, item in enumerate(logs):
            with _progress(item, console) as tell:
                for start, part, x_hat in _replayed(item, observer, given, console):
                    error = wrap(x_hat - part.x, periods(system.states))
                    sink.add(k, _table(part, item, x_hat, error, system))
                    sums.add(part, error)
                    tell(start + len(part.t))
    return sums.summary(sink.paths)


def _columns(log: OpenedLog, system: System) -> tuple[str, ...]:
    """The columns that are written for a log."""
    logged = [name for name in system.state_names if f"states.{name}" in log.logged]
    return ("t", *(f"{name}_hat" for name in system.state_names), *(f"{name}_error" for name in logged))


def _table(
    part: Recording, log: OpenedLog, x_hat: np.ndarray, error: np.ndarray, system: System
) -> dict[str, np.ndarray]:
    values = {"t": log.first + part.t}
    values |= {f"{name}_hat": x_hat[:, k] for k, name in enumerate(system.state_names)}
    values |= {f"{name}_error": error[:, k] for k, name in enumerate(system.state_names)}
    return {name: values[name] for name in _columns(log, system)}


@contextmanager
def _progress(log: OpenedLog, console: Console) -> Iterator[Callable[[int], None]]:
    """Tells how many samples are done, of a log that takes a while."""
    if log.samples < LONG:
        yield lambda done: None
        return
    begun = time.perf_counter()
    with console.step("estimate", f"{log.samples} samples of {log.label}") as tell:
        yield lambda done: tell(
            SimpleNamespace(stage="sample", iteration=done, total=log.samples, seconds=time.perf_counter() - begun)
        )


def _replayed(
    log: OpenedLog, observer: RENObserver, given: dict[str, float], console: Console
) -> Iterator[tuple[int, Recording, np.ndarray]]:
    """(index of the first sample, the piece of the log, x_hat ``(n, nx)``), piece by piece."""
    system = observer.system
    u_before = system.input_ranges.mean(axis=1)
    x_hat, done, held = np.zeros(0), 0, 0
    for part in log.blocks():
        if not done:
            x_hat = np.where(np.isfinite(part.x[0]), part.x[0], system.initial_ranges.mean(axis=1))
            for k, name in enumerate(system.state_names):
                x_hat[k] = given.get(name, x_hat[k])
        u = np.concatenate([u_before[None], part.u])
        missing = ~np.isfinite(u)
        if missing.any():  # the observer has no model of the inputs: the last one is the best guess
            last = np.maximum.accumulate(np.where(missing, 0, np.arange(len(u))[:, None]), axis=0)
            u = np.take_along_axis(u, last, axis=0)
            held += int(missing.any(axis=1).sum())
        u, u_before = u[1:], u[-1]
        # One sample more, whose measurement is not used: the first estimate of the next piece.
        estimates = observer.run(x_hat, np.concatenate([u, u[-1:]]), np.concatenate([part.y, part.y[-1:]]))
        x_hat = estimates[-1]
        yield done, part, estimates[:-1]
        done += len(part.t)
        for text in part.warnings:
            console.warn(text)
    if held:
        console.warn(f"{log.label}: an input is missing in {held} samples; the last one before them is held")


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


class _Sums:
    """What is said of all logs together, added up piece by piece."""

    def __init__(self, system: System) -> None:
        self.system, self.samples, self.blind = system, 0, 0
        self.squares, self.known = np.zeros(system.nx), np.zeros(system.nx, int)

    def add(self, part: Recording, error: np.ndarray) -> None:
        """A piece of a log and its errors ``(n, nx)``, nan where the state was not logged."""
        self.samples += len(part.t)
        self.blind += int(np.isnan(part.y).any(axis=1).sum())
        self.squares += np.nansum(error**2, axis=0)
        self.known += np.isfinite(error).sum(axis=0)

    def summary(self, written: list[Path]) -> tuple[dict[str, Any], list[str]]:
        """(numbers, lines)."""
        rms = {
            signal.name: float(np.sqrt(self.squares[k] / self.known[k]))
            for k, signal in enumerate(self.system.states)
            if self.known[k]
        }
        lines = [f"{self.samples} samples estimated: {', '.join(map(str, written))}"]
        if self.blind:
            lines.append(f"{self.blind} of them without a complete measurement: there the estimate is the prediction")
        if rms:
            errors = [
                f"{signal.name} {rms[signal.name]:.3g} {signal.unit}".rstrip()
                for signal in self.system.states
                if signal.name in rms
            ]
            lines.append(f"RMS error: {', '.join(errors)}")
        return {
            "samples": self.samples,
            "without_measurement": self.blind,
            "rms_error": rms,
            "files": [str(path) for path in written],
        }, lines


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
