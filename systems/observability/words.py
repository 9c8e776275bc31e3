"""Directions, points and times as a person reads them."""

import numpy as np

from systems.system import System

SHOWN = 0.05  # share of the largest part below which a state is left out of a direction
STILL = 1e-6  # per sample: what shrinks by less does not decay
MOST = 6  # parts of a direction, and coordinates of a point, before the rest is summed up


def direction_text(system: System, direction: np.ndarray) -> str:
    """``+0.71 q1 -0.71 q3``: the parts of a range-scaled direction, in parts of each half range, the first of the largest positive."""
    direction = np.asarray(direction, dtype=float)
    size = np.abs(direction)
    top = int(np.argmax(size >= (1 - 1e-6) * size.max()))  # the first of equals, whatever the last digits say
    signed = direction * (np.sign(direction[top]) or 1.0)
    order = [int(k) for k in np.argsort(-np.abs(signed), kind="stable") if abs(signed[k]) > SHOWN * abs(signed[top])]
    parts = [f"{signed[k]:+.2g} {system.state_names[k]}" for k in sorted(order[:MOST])]
    more = len(order) - MOST
    return " ".join(parts) + (f" and {more} smaller parts" if more > 0 else "")


def plain_basis(directions: np.ndarray) -> np.ndarray:
    """Unit vectors ``(d, n)`` that span the same space as ``directions`` ``(d, n)``, each without what makes the others: for reading.

    Gauss-Jordan elimination with full pivoting: every vector has a state of its own.
    """
    rows = np.array(directions, dtype=float)
    free = np.ones(len(rows), dtype=bool)
    for _ in range(len(rows)):
        size = np.abs(rows) * free[:, None]
        # Ties are met in every symmetric plant: the first state of the largest, whatever the last digits say.
        k, j = np.argwhere(size.T >= size.max() * (1 - 1e-6))[0][::-1]
        if not size[k, j] > 0:
            break
        rows[k] /= rows[k, j]
        others = np.arange(len(rows)) != k
        rows[others] -= rows[others, j : j + 1] * rows[k]
        free[k] = False
    lengths = np.linalg.norm(rows, axis=1)
    rows = rows[lengths > 1e-12] / lengths[lengths > 1e-12, None]
    return rows[np.lexsort((np.argmax(np.abs(rows) > 0.5 * np.abs(rows).max(axis=1, keepdims=True), axis=1),))]


def point_text(system: System, point: np.ndarray) -> str:
    """``q1=0.2, u=1``: a point ``(nx + nu,)``; of many states the first and last few."""
    named = [f"{n}={v + 0.0:.3g}" for n, v in zip((*system.state_names, *system.input_names), point, strict=True)]
    if len(named) <= 2 * MOST:
        return ", ".join(named)
    return ", ".join(named[:3]) + ", ..., " + ", ".join(named[-3:])


def decay_text(rate: float, dt: float, unit: str = "s") -> str:
    """What a factor per sample means: how it decays per ``unit`` of time and when 2 % is left."""
    if rate >= 1 - STILL:
        grows = rate > 1 + 1e-6
        return f"{rate:.6g} per sample: it {'grows' if grows else 'does not decay'}"
    if rate <= 0.02:
        return f"{rate:.3g} per sample: gone within a sample"
    return (
        f"{rate:.6g} per sample, {-np.log(rate) / dt:.3g} per {'second' if unit == 's' else unit}: 2 % is left after "
        f"{np.log(0.02) / np.log(rate) * dt:.3g} {unit}"
    )
