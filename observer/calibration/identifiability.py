"""What the logs say about each parameter: deviations from the Fisher matrix, and directions that they do not determine, in words.

    cov = ((J' J)^-1)_pp over the motions that satisfy the equations;   interval = p -+ 1.96 deviations

A parameter whose interval is as wide as its range was not identified. The directions are those of the largest
eigenvalues of cov, in half ranges.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import bmat, csc_matrix
from scipy.sparse.linalg import splu

from observer.calibration.shooting import Shooting

Z95 = 1.96
BOUND = 1e-6  # of a half range: a value so near to an end of its range is at it
PART = 0.1  # of a direction: what has less of it is not named
NEAR = 0.03  # two changes are equal, or of a simple ratio, within this share
_POWERS = ((1, 1), (2, 1), (1, 2), (3, 1), (1, 3))


@dataclass(frozen=True, eq=False)
class Spread:
    """Of parameters ``(K,)``: covariance in half ranges ``(K, K)``, which are identified, at which end of the range they are (-1, 0, 1),
    and a sentence for each direction that is not determined."""

    covariance: np.ndarray
    identified: np.ndarray
    at_end: np.ndarray
    directions: tuple[str, ...]


def spread_of(problem: Shooting, p: np.ndarray, z: np.ndarray, deviation: np.ndarray) -> Spread:
    """The spread of parameters about the solution (p, z). A parameter at an end of its range counts as fixed there for the others."""
    scaled = (p - problem.p_middle) / problem.p_half
    at_end = np.where(scaled > 1 - BOUND, 1, np.where(scaled < BOUND - 1, -1, 0))
    hess, jac = problem.matrices(p, z, deviation)
    loose = np.flatnonzero(at_end == 0)
    states = z.size
    keep = np.concatenate([np.arange(states), states + loose])
    covariance = np.zeros((len(p), len(p)))
    if len(loose):
        covariance[np.ix_(loose, loose)] = _covariance(hess[keep][:, keep], jac[:, keep], len(loose))
    wide = Z95 * np.sqrt(np.diag(covariance)) >= 1
    values, vectors = np.linalg.eigh(covariance)
    free = [vectors[:, k] for k in np.flatnonzero(Z95 * np.sqrt(np.maximum(values, 0)) >= 1)[::-1]]
    texts = tuple(_sentence(problem.free, v, p, problem.p_half) for v in _plain_basis(free))
    return Spread(covariance, ~wide, at_end, texts)


def _covariance(hess: Any, jac: Any, count: int) -> np.ndarray:
    """The last block of the inverse of the Hessian on the kernel of the Jacobian."""
    n, m = hess.shape[0], jac.shape[0]
    kkt = csc_matrix(bmat([[hess, jac.T], [jac, None]])) if m else csc_matrix(hess)
    right = np.zeros((n + m, count))
    right[n - count + np.arange(count), np.arange(count)] = 1.0
    found = splu(kkt).solve(right)[n - count : n]
    return 0.5 * (found + found.T)


def _plain_basis(directions: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The same directions with as few parameters in each as elimination gives."""
    if len(directions) < 2:
        return list(directions)
    rows = np.array(directions)
    for k in range(len(rows)):
        row, column = np.unravel_index(np.argmax(np.abs(rows[k:])), rows[k:].shape)
        rows[[k, k + row]] = rows[[k + row, k]]
        rows[k] /= rows[k, column]
        others = np.arange(len(rows)) != k
        rows[others] -= np.outer(rows[others, column], rows[k])
    return [row / np.linalg.norm(row) for row in rows]


def _sentence(names: Sequence[str], direction: np.ndarray, p: np.ndarray, half: np.ndarray) -> str:
    part = np.flatnonzero(np.abs(direction) > PART * np.abs(direction).max())
    chosen = [names[int(k)] for k in part]
    if len(part) == 1:
        return f"the logs say nothing about {chosen[0]} within its range"
    if len(part) == 2:
        seen = _combination(chosen, (direction * half)[part], p[part])
        if seen:
            return f"only {seen} is seen: {chosen[0]} and {chosen[1]} trade"
    change = (direction * half)[part]
    change = change / np.abs(change).max()
    terms = ", ".join(f"{name} by {value:+.2g}" for name, value in zip(chosen, change, strict=True))
    return f"{', '.join(chosen[:-1])} and {chosen[-1]} trade: y stays the same when they change together ({terms})"


def _combination(names: Sequence[str], change: np.ndarray, p: np.ndarray) -> str:
    """The function of two parameters that stays the same along a change, when it is one that people write."""
    one, two = names
    if abs(change[0] + change[1]) < NEAR * abs(change[0]):
        total = f"{one} + {two}"
        if not np.isclose(p[0], p[1], rtol=2 * NEAR):
            return total
    if abs(change[0] - change[1]) < NEAR * abs(change[0]) and not np.isclose(p[0], p[1], rtol=2 * NEAR):
        return f"{one} - {two}"
    if np.any(p == 0):
        return ""
    relative = change / p
    for a, b in _POWERS:  # one^a two^b, or one^a / two^b
        left, right = _power(one, a), _power(two, b)
        if abs(a * relative[0] + b * relative[1]) < NEAR * abs(a * relative[0]):
            return f"{left}*{right}"
        if abs(a * relative[0] - b * relative[1]) < NEAR * abs(a * relative[0]):
            return f"{left}/{right}"
    return ""


def _power(name: str, exponent: int) -> str:
    return name if exponent == 1 else f"{name}^{exponent}"
