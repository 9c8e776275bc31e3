"""What every step of a run shares: the files that each writes, the job it is given, and how old files go."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.pipeline.console import Console
from experiments.pipeline.metrics import metrics_of
from experiments.pipeline.recipe import Recipe
from observer import runs
from observer.runs import Run
from observer.storage import write_json
from systems.base.atomic_files import check_room
from systems.base.errors import InputError

if TYPE_CHECKING:
    from observer.validation.validate import Validation
    from systems import Trajectories

REPORT, FIGURES, CHECKPOINT = "report.html", "figures", "checkpoint.npz"
SOURCES = ("source.toml", "source.py")
WRITTEN_BY = {
    "simulate": (runs.SYSTEM, *SOURCES, runs.CONFIG, runs.LOGS, runs.TRAJECTORIES),
    "fit": (CHECKPOINT, runs.OBSERVER, runs.HISTORY, runs.FIT, runs.FINE_TUNING),
    "certify": (runs.CERTIFICATE,),
    "validate": (runs.VALIDATION, runs.VALIDATION_NOISE, runs.STARTS, runs.METRICS),
    "report": (REPORT, FIGURES),
}
STEPS = tuple(WRITTEN_BY)


@dataclass(frozen=True)
class Job:
    """What every step is told: the recipe, the command that makes the run again, and where to speak."""

    recipe: Recipe
    command: str
    console: Console


def clear(folder: Path, *steps: str, room: int = 0, keep: tuple[str, ...] = ()) -> None:
    """Remove what these steps wrote, the last step's files first. Files of other names stay.

    ``room``: bytes that are to be written next. A disk that has them not is told before anything is removed.
    """
    results = {name for step in steps for name in WRITTEN_BY[step]} - {CHECKPOINT, runs.METRICS}
    if any((folder / name).exists() for name in results):
        check_room(folder, room)
    for step in reversed(steps):
        for name in reversed(WRITTEN_BY[step]):
            if name == FIGURES:
                shutil.rmtree(folder / name, ignore_errors=True)
            elif name not in keep:
                (folder / name).unlink(missing_ok=True)


def size_of(result: "Trajectories | Validation") -> int:
    """Bytes of a result before compression."""
    return sum(value.nbytes for value in vars(result).values() if isinstance(value, np.ndarray))


def with_metrics(run: Run, job: Job) -> Run:
    metrics = metrics_of(run, job.command)
    write_json(run.path / runs.METRICS, metrics)
    return replace(run, metrics=metrics)


def needed(run: Run) -> Any:
    if run.observer is None:
        raise InputError(f"{run.path}: holds no observer yet; `observer fit {run.path}` makes one")
    return run.observer
