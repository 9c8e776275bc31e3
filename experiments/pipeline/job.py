"""What every step of a run shares: the files that each writes, the job it is given, and how old files go."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

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
    from observer.state_observer import RENObserver
    from observer.validation.result import Validation
    from systems import Trajectories

REPORT, FIGURES, CHECKPOINT = "report.html", "figures", "checkpoint.npz"
SOURCES = ("source.toml", "source.py")
#: The files of each step, steps and files in the order in which they are written.
FILES = {
    "simulate": (runs.SYSTEM, *SOURCES, runs.CONFIG, runs.LOGS, runs.TRAJECTORIES),
    "fit": (CHECKPOINT, runs.OBSERVER, runs.HISTORY, runs.FIT, runs.FINE_TUNING),
    "certify": (runs.CERTIFICATE,),
    "validate": (runs.VALIDATION, runs.VALIDATION_NOISE, runs.STARTS, runs.METRICS),
    "report": (REPORT, FIGURES),
}


@dataclass(frozen=True)
class Job:
    """What every step is given: the recipe, the command that makes the run again, and where to print progress."""

    recipe: Recipe
    command: str
    console: Console


def clear(folder: Path, step: str, *, room: int = 0, keep: tuple[str, ...] = ()) -> None:
    """Remove what this step and all later ones wrote, the last file first. Files of other names stay.

    ``room``: bytes that are to be written next. Raises InputError before anything is removed if the disk lacks space.
    """
    steps = list(FILES)
    names = [name for later in steps[steps.index(step) :] for name in FILES[later]]
    if any((folder / name).exists() for name in names if name not in (CHECKPOINT, runs.METRICS)):
        check_room(folder, room)
    for name in reversed(names):
        if name == FIGURES:
            shutil.rmtree(folder / name, ignore_errors=True)
        elif name not in keep:
            (folder / name).unlink(missing_ok=True)


def remade(step: str) -> tuple[str, ...]:
    """The files of a run that a step makes anew: a damaged or foreign one is no reason to refuse the step."""
    steps = list(FILES)
    last = len(steps) if step == "fit" else steps.index(step) + 1  # what was validated does not rest on the certificate
    return (*(name for later in steps[steps.index(step) : last] for name in FILES[later]), runs.METRICS)


def size_of(result: "Trajectories | Validation | None") -> int:
    """Bytes of a result before compression."""
    return (
        0 if result is None else sum(value.nbytes for value in vars(result).values() if isinstance(value, np.ndarray))
    )


def with_metrics(run: Run, job: Job) -> Run:
    """The run with its metrics computed and written."""
    metrics = metrics_of(run, job.command)
    write_json(run.path / runs.METRICS, metrics)
    return replace(run, metrics=metrics)


def fitted_observer(run: Run) -> "RENObserver":
    """The observer of a run. Raises InputError where there is none yet."""
    if run.observer is None:
        raise InputError(f"{run.path}: holds no observer yet; `observer fit {run.path}` makes one")
    return run.observer
