"""Checkpoints of a fit: the solver's state as arrays, bound to the problem by a hash, written atomically."""

import hashlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from observer.fitting.problem import Problem
from observer.fitting.solvers.solver import Monitor
from systems.base.atomic_files import read_arrays, write_arrays


def problem_hash(problem: Problem) -> str:
    """A hash of everything that decides the course of the fit."""
    digest = hashlib.sha256()
    for array in (problem.train.x, problem.train.v, problem.train.x_next, problem.metric):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(repr((problem.rate, problem.activation, problem.neurons, problem.seed, problem.start)).encode())
    return digest.hexdigest()


def save_checkpoint(monitor: Monitor, problem: Problem, arrays: dict[str, np.ndarray]) -> None:
    """Write ``arrays``, the history and the elapsed time to ``monitor.checkpoint``."""
    if monitor.checkpoint is None:
        return
    history = {f"history.{name}": np.array(values) for name, values in monitor.rows.items()}
    fixed = {"hash": np.array(problem_hash(problem)), "elapsed": np.array(monitor.seconds)}
    write_arrays(monitor.checkpoint, compress=False, **fixed, **history, **arrays)


def load_checkpoint(monitor: Monitor, problem: Problem, needs: str) -> dict[str, np.ndarray] | None:
    """The arrays of an earlier, interrupted fit of the same problem, or None; restores history and elapsed time.

    ``needs``: an array without which the checkpoint is another solver's.
    """
    if monitor.checkpoint is None or not Path(monitor.checkpoint).exists():
        return None
    try:
        arrays = read_arrays(monitor.checkpoint)
    except (OSError, ValueError, EOFError, KeyError, BadZipFile):
        return None  # a damaged checkpoint costs the time already spent, nothing else
    if str(arrays.pop("hash", "")) != problem_hash(problem) or needs not in arrays:
        return None
    monitor.elapsed_before = float(arrays.pop("elapsed", 0.0))
    for name in monitor.rows:
        monitor.rows[name] = arrays.pop(f"history.{name}", np.zeros(0)).tolist()
    return arrays
