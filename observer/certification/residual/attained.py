"""Lower bounds: where a function over a box is large, found by sampling and a pattern search that needs no derivative."""

from collections.abc import Callable

import numpy as np

SAMPLES, CLIMBERS, ROUNDS = 4096, 24, 40


def climb(
    function: Callable[[np.ndarray], np.ndarray],
    points: np.ndarray,
    region: np.ndarray,
    move: Callable[[np.ndarray], np.ndarray] = np.asarray,
    *,
    step: float = 0.1,
    rounds: int = ROUNDS,
) -> tuple[np.ndarray, np.ndarray]:
    """(points (k, d), values (k,)) no smaller than where they started, all inside ``region`` (d, 2); ``move`` brings every
    point that is tried to where it may be.

    A pattern search of each point: along every axis both ways by ``step`` of the region's width, halved where nothing helps.
    Kinks do not stop it, as they would a gradient.
    """
    points = move(np.clip(points, region[:, 0], region[:, 1]))
    width = region[:, 1] - region[:, 0]
    axes = np.flatnonzero(width > 0)
    values = _finite(function(points))
    if not len(axes):
        return points, values
    moves = np.zeros((2 * len(axes), len(width)))
    moves[np.arange(len(axes)), axes] = width[axes]
    moves[len(axes) + np.arange(len(axes)), axes] = -width[axes]
    size, last = np.full(len(points), step), np.zeros_like(points)
    for _ in range(rounds):
        tried = points[:, None, :] + size[:, None, None] * moves
        tried = np.concatenate(
            [tried, (points + last)[:, None, :]], axis=1
        )  # and on in the direction of the last success
        tried = move(np.clip(tried, region[:, 0], region[:, 1]))
        found = _finite(function(tried.reshape(-1, len(width)))).reshape(len(points), -1)
        best = np.argmax(found, axis=1)
        rows = np.arange(len(points))
        better = found[rows, best] > values
        last = np.where(better[:, None], tried[rows, best] - points, 0.0)
        points = np.where(better[:, None], tried[rows, best], points)
        values = np.where(better, found[rows, best], values)
        size = np.where(better, size, 0.5 * size)
    return points, values


def sample(
    function: Callable[[np.ndarray], np.ndarray],
    region: np.ndarray,
    seed: int,
    move: Callable[[np.ndarray], np.ndarray] = np.asarray,
    samples: int = SAMPLES,
    climbers: int = CLIMBERS,
    rounds: int = ROUNDS,
) -> tuple[np.ndarray, np.ndarray]:
    """The best points (k, d) of a random sample of the region and its corners, climbed, and their values (k,)."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(region[:, 0], region[:, 1], (samples, len(region)))
    on_edge = rng.random(points.shape) < 0.2  # suprema love faces
    points = np.where(on_edge, region[np.arange(len(region)), rng.integers(0, 2, points.shape)], points)
    points = move(points)
    values = _finite(function(points))
    return climb(function, points[np.argsort(-values)[:climbers]], region, move, rounds=rounds)


def effort(free: int, samples: int, climbers: int, rounds: int) -> tuple[int, int]:
    """(calls, points) of a sample over so many free dimensions."""
    return 1 + rounds, samples + climbers * (1 + rounds * (2 * free + 1))


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, -np.inf)
