"""Maximising a function over the unit box by a few evolution strategies (CMA-ES) whose points are evaluated together.

The library's strategies give a generation (``ask``) and learn from its values (``tell``), so that the generations of all strategies are
one batch of compiled rollouts. Source: Hansen, The CMA evolution strategy: a tutorial, arXiv 1604.00772.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Goal = Callable[[np.ndarray], np.ndarray]

RESTARTS, EXPLORED = 2, 0.3  # strategies side by side; share of the evaluations that are random points
SPREAD, SHRUNK = 0.1, 1e-5  # standard deviation of a strategy at the beginning, and where it begins anew
ROUNDS, TO_WALLS = 3, 0.4  # walks to the walls at the end, and the largest share of the evaluations that they may take
LOST = 1e9  # what a strategy, which minimises, gets for a point without a finite value


def maximise(goal: Goal, size: int, evaluations: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """(best point, its value) of ``goal``, points ``(K, size)`` of the unit box -> ``(K,)``, after so many evaluations.

    ``RESTARTS`` strategies begin at the best of ``EXPLORED`` random points; one that has shrunk to nothing begins anew at a random point.
    At the end every coordinate of the best point is tried at both walls, one at a time and then all those together that helped: a
    convex function is largest at a corner.
    """
    points = rng.uniform(size=(max(RESTARTS, int(EXPLORED * evaluations)), size))
    values = goal(points)
    order = np.argsort(-values)
    best, top = points[order[0]], float(values[order[0]])
    strategies = [_strategy(points[k], rng) for k in order[:RESTARTS]]
    walks = min(ROUNDS, int(TO_WALLS * evaluations) // (2 * size + 1))
    left = evaluations - len(points) - walks * (2 * size + 1)
    while left >= sum(s.popsize for s in strategies):
        drawn = [np.array(s.ask()) for s in strategies]
        values = goal(np.concatenate(drawn))
        left -= len(values)
        for k, own in enumerate(np.split(values, np.cumsum([len(d) for d in drawn])[:-1])):
            if own.max() > top:
                best, top = drawn[k][int(np.argmax(own))], float(own.max())
            strategies[k].tell(list(drawn[k]), np.where(np.isfinite(own), -own, LOST).tolist())
            if strategies[k].stop():
                strategies[k] = _strategy(rng.uniform(size=size), rng)
    for _ in range(walks):
        best, top = _to_walls(goal, best, top)
    return best, top


def _to_walls(goal: Goal, best: np.ndarray, top: float) -> tuple[np.ndarray, float]:
    """The better of a point, its neighbours on the walls, and the one with all moves that helped; 2 n + 1 evaluations."""
    n = len(best)
    moved = np.tile(best, (2 * n, 1))
    moved[np.arange(n), np.arange(n)], moved[n + np.arange(n), np.arange(n)] = 0.0, 1.0
    values = goal(moved)
    low, high = values[:n], values[n:]
    together = np.where(np.maximum(low, high) > top, np.where(high > low, 1.0, 0.0), best)
    points = np.concatenate([moved, together[None]])
    values = np.append(values, goal(together[None]))
    k = int(np.argmax(values))
    return (points[k], float(values[k])) if values[k] > top else (best, top)


def _strategy(mean: np.ndarray, rng: np.random.Generator) -> Any:
    """One CMA-ES in the unit box that draws from ``rng`` (NumPy's global state stays), prints nothing and writes no file."""
    import cma  # it takes a second

    options = {
        "bounds": [0.0, 1.0], "randn": lambda *shape: rng.standard_normal(shape), "seed": np.nan, "tolx": SHRUNK,
        "verbose": -10, "verb_log": 0, "signals_filename": "",
    }  # fmt: skip
    return cma.CMAEvolutionStrategy(mean, SPREAD, options)
