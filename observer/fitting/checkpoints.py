"""Checkpoints of a fit: the solver's state as arrays, bound to the problem by a hash, written atomically."""

import hashlib
import io
import os
import tempfile
from pathlib import Path

import numpy as np

from observer.fitting.problem import Problem
from observer.fitting.solver import Monitor


def problem_hash(problem: Problem) -> str:
    """A hash of everything that decides the course of the fit."""
    digest = hashlib.sha256()
    for array in (problem.train.x, problem.train.v, problem.train.x_next, problem.metric):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(repr((problem.rate, problem.activation, problem.neurons, problem.seed)).encode())
    return digest.hexdigest()


def save_checkpoint(monitor: Monitor, problem: Problem, arrays: dict[str, np.ndarray]) -> None:
    """Write ``arrays``, the history and the elapsed time to ``monitor.checkpoint``; a failure to write is not fatal."""
    if monitor.checkpoint is None:
        return
    buffer = io.BytesIO()
    history = {f"history.{name}": np.array(values) for name, values in monitor.rows.items()}
    np.savez(buffer, hash=problem_hash(problem), elapsed=monitor.seconds, **history, **arrays)
    path = Path(monitor.checkpoint)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(buffer.getvalue())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load_checkpoint(monitor: Monitor, problem: Problem) -> dict[str, np.ndarray] | None:
    """The arrays of an earlier, interrupted fit of the same problem, or None; restores history and elapsed time."""
    if monitor.checkpoint is None or not Path(monitor.checkpoint).exists():
        return None
    try:
        with np.load(io.BytesIO(Path(monitor.checkpoint).read_bytes()), allow_pickle=False) as data:
            arrays = {name: data[name] for name in data.files}
    except (OSError, ValueError, EOFError, KeyError):
        return None  # a damaged checkpoint costs the time already spent, nothing else
    if str(arrays.pop("hash", "")) != problem_hash(problem):
        return None
    monitor.elapsed_before = float(arrays.pop("elapsed", 0.0))
    for name in monitor.rows:
        monitor.rows[name] = arrays.pop(f"history.{name}", np.zeros(0)).tolist()
    return arrays
