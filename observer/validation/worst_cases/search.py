"""Maximising a function over a box by a few evolution strategies (CMA-ES) whose points are evaluated together.

Own code: libraries for it evaluate one point, or one strategy, at a time, and here all of a generation is one batch of compiled
rollouts. Source: Hansen, The CMA evolution strategy: a tutorial, arXiv 1604.00772.
"""

from collections.abc import Callable

import numpy as np

RESTARTS, EXPLORED = 2, 0.3  # strategies side by side; share of the evaluations that are random points
ROUNDS, TO_WALLS = 3, 0.4  # walks to the walls at the end, and the largest share of the evaluations that they may take


def maximise(
    goal: Callable[[np.ndarray], np.ndarray], size: int, evaluations: int, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """(best point, its value) of ``goal``, points ``(K, size)`` of the unit box -> ``(K,)``, after so many evaluations.

    The best of ``EXPLORED`` random points start ``RESTARTS`` strategies; a point outside the box is moved to its wall. A strategy that
    has shrunk to nothing starts again from a random point. At the end every coordinate of the best point is tried at both walls,
    one at a time and then all those together that helped: a convex function is largest at a corner.
    """
    points = rng.uniform(size=(max(RESTARTS, int(EXPLORED * evaluations)), size))
    values = goal(points)
    order = np.argsort(-values)
    best, top = points[order[0]], float(values[order[0]])
    offspring = 4 + int(3 * np.log(size))
    strategies = [_Strategy(points[k].copy(), offspring) for k in order[:RESTARTS]]
    walks = min(ROUNDS, int(TO_WALLS * evaluations) // (2 * size + 1))
    left = evaluations - len(points) - walks * (2 * size + 1)
    while left >= RESTARTS * offspring:
        drawn = [s.draw(rng) for s in strategies]
        values = goal(np.concatenate(drawn))
        left -= len(values)
        for k, s in enumerate(strategies):
            own = values[k * offspring : (k + 1) * offspring]
            if own.max() > top:
                best, top = drawn[k][int(np.argmax(own))], float(own.max())
            s.learn(drawn[k], own)
            if s.sigma * np.sqrt(np.diag(s.covariance).max()) < 1e-5:
                strategies[k] = _Strategy(rng.uniform(size=size), offspring)
    for _ in range(walks):
        best, top = _to_walls(goal, best, top)
    return best, top


def _to_walls(goal: Callable[[np.ndarray], np.ndarray], best: np.ndarray, top: float) -> tuple[np.ndarray, float]:
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


class _Strategy:
    """One CMA-ES with its mean, step size and covariance."""

    def __init__(self, mean: np.ndarray, offspring: int) -> None:
        n = len(mean)
        self.mean, self.sigma, self.covariance = mean, 0.2, np.eye(n)
        weights = np.log(offspring / 2 + 0.5) - np.log(np.arange(1, offspring // 2 + 1))
        self.weights = weights / weights.sum()
        self.mass = 1 / np.sum(self.weights**2)
        self.c_path, self.c_sigma = (
            (4 + self.mass / n) / (n + 4 + 2 * self.mass / n),
            (self.mass + 2) / (n + self.mass + 5),
        )
        self.c_one = 2 / ((n + 1.3) ** 2 + self.mass)
        self.c_rank = min(1 - self.c_one, 2 * (self.mass - 2 + 1 / self.mass) / ((n + 2) ** 2 + self.mass))
        self.damping = 1 + 2 * max(0.0, np.sqrt((self.mass - 1) / (n + 1)) - 1) + self.c_sigma
        self.length = np.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n))
        self.path, self.path_sigma, self.generation, self.offspring = np.zeros(n), np.zeros(n), 0, offspring

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """``(offspring, n)`` points of the unit box."""
        values, self.vectors = np.linalg.eigh(self.covariance)
        self.roots = np.sqrt(np.maximum(values, 1e-20))
        steps = rng.standard_normal((self.offspring, len(self.mean))) * self.roots @ self.vectors.T
        return np.clip(self.mean + self.sigma * steps, 0.0, 1.0)

    def learn(self, points: np.ndarray, values: np.ndarray) -> None:
        """The better half of the points moves mean, step size and covariance."""
        self.generation += 1
        chosen = points[np.argsort(-values)[: len(self.weights)]]
        steps = (chosen - self.mean) / self.sigma
        move = self.weights @ steps
        self.mean = self.mean + self.sigma * move
        white = self.vectors @ ((self.vectors.T @ move) / self.roots)
        self.path_sigma = (1 - self.c_sigma) * self.path_sigma + np.sqrt(
            self.c_sigma * (2 - self.c_sigma) * self.mass
        ) * white
        size = np.linalg.norm(self.path_sigma)
        going = (
            size / np.sqrt(1 - (1 - self.c_sigma) ** (2 * self.generation)) < (1.4 + 2 / (len(move) + 1)) * self.length
        )
        self.path = (1 - self.c_path) * self.path + going * np.sqrt(self.c_path * (2 - self.c_path) * self.mass) * move
        rank = (steps * self.weights[:, None]).T @ steps
        keep = 1 - self.c_one - self.c_rank
        self.covariance = keep * self.covariance + self.c_one * np.outer(self.path, self.path) + self.c_rank * rank
        self.sigma = min(1.0, self.sigma * float(np.exp(self.c_sigma / self.damping * (size / self.length - 1))))
