"""Jacobians over a region in range-scaled states, the kernels of the output matrices, and rates along them (MATH 2h)."""

import itertools
from dataclasses import dataclass

import numpy as np

from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.regions import holds, moved_in, region_points
from systems.system import System

FULL_METRIC_UP_TO = 16  # states; above, the metric is diagonal (a full one has n(n+1)/2 unknowns)
CORNERS_UP_TO = 10  # states and inputs; above, 2^n corners are too many, and the diagonal of the box stands for them
SAMPLES, SAMPLES_WHEN_WIDE = 2048, 256  # Jacobians, up to FULL_METRIC_UP_TO states and above


@dataclass(frozen=True)
class Jacobians:
    """A(x, u) ``(m, nx, nx)`` and C(x, u) ``(m, ny, nx)`` in range-scaled states, at ``points`` ``(m, nx + nu)``.

    The rows of C are scaled to largest norm 1, so that gains do not depend on the units of the outputs: they are divided by
    ``output_scale`` ``(ny,)``. ``scale`` ``(nx,)``: half the width of the region (ones when left out, as is output_scale).

    An equality of the plant's region is a further row of C, after those of the outputs: it is known without a sensor, and without
    noise, where the state is. So ker C holds only what is tangent to the region (ny is then larger by their number).
    """

    a: np.ndarray
    c: np.ndarray
    points: np.ndarray
    scale: np.ndarray | None = None
    output_scale: np.ndarray | None = None


def sample_jacobians(
    plant: DiscreteSystem,
    region: np.ndarray | None = None,
    count: int | None = None,
    seed: int = 0,
    points: np.ndarray | None = None,
) -> Jacobians:
    """Jacobians over region ``(nx, 2)`` (the ranges when left out) and the input ranges: space-filling points and corners.

    A plant of many states is usually a field whose neighbours move together: points strewn in its box are all alike (the
    mean over the nodes hardly varies), and the extremes lie along the diagonal. So it gets fewer points, and the diagonal.
    ``points`` ``(m, nx + nu)`` are taken instead where given: those of trajectories, where the plant really is.
    """
    system = plant.system
    count = count or (SAMPLES if system.nx <= FULL_METRIC_UP_TO else SAMPLES_WHEN_WIDE)
    region = system.state_ranges if region is None else region
    box = np.concatenate([region, system.input_ranges])
    if points is None:
        points = region_points(system, box, count, seed)
        if len(box) <= CORNERS_UP_TO:
            extremes = np.array(list(itertools.product(*box)))
        else:
            extremes = box[:, 0] + np.linspace(0, 1, 17)[:, None] * np.ptp(box, axis=1)
        points = np.concatenate([points, corners_inside(system, extremes, box)])
    x, u = points[:, : system.nx], points[:, system.nx :]
    a, _ = plant.jacobian(x, u)
    c = measured_slopes(plant, x, u)
    scale = 0.5 * np.ptp(region, axis=1)
    a, c = a * scale / scale[:, None], c * scale
    output_scale = np.maximum(np.nanmax(np.linalg.norm(c, axis=-1), initial=0.0, axis=tuple(range(c.ndim - 2))), 1e-300)
    c = c / output_scale[:, None]
    a, c = np.broadcast_to(a, (len(points), *a.shape[1:])), np.broadcast_to(c, (len(points), *c.shape[1:]))
    finite = np.isfinite(a).all(axis=(1, 2)) & np.isfinite(c).all(axis=(1, 2))
    if not finite.any():
        raise InputError(
            f"system '{system.name}': no Jacobian is finite over the region; check the equations and the ranges"
        )
    return Jacobians(
        np.ascontiguousarray(a[finite]), np.ascontiguousarray(c[finite]), points[finite], scale, output_scale
    )


def corners_inside(system: System, extremes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Extreme points of a box, moved to where the constraints hold; those that do not get there are left out."""
    if system.region is None:
        return extremes
    found = moved_in(system, extremes, box)
    return found[holds(system, found)]


def measured_slopes(plant: DiscreteSystem, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """``(m, ny, nx)``: dh/dx, and below it the slopes of the equalities of the plant's region."""
    system = plant.system
    c, _ = plant.output_jacobian(x, u)
    if system.region is None or not system.region.equalities.any():
        return c
    c = np.broadcast_to(c, (len(x), *c.shape[-2:]))
    normal = system.region.slopes(x, u, system.parameter_values)[:, system.region.equalities, : system.nx]
    return np.concatenate([c, normal], axis=1)


def output_kernels(c: np.ndarray) -> np.ndarray:
    """Orthonormal bases ``(m, nx, d)`` of ker C for C ``(m, ny, nx)``; d is the largest kernel, padded with zero columns."""
    _, values, v = np.linalg.svd(c, full_matrices=True)
    ny, nx = c.shape[1:]
    ranks = (
        (values > 1e-9 * np.maximum(values[:, :1], 1e-300)).sum(axis=1) if min(ny, nx) else np.zeros(len(c), dtype=int)
    )
    dimension = nx - int(ranks.min()) if len(ranks) else nx
    basis = np.transpose(v, (0, 2, 1))[:, :, nx - dimension :].copy()
    for k in np.flatnonzero(nx - ranks < dimension):  # points at which more dimensions are observed than elsewhere
        basis[k, :, : dimension - (nx - ranks[k])] = 0.0
    return basis


def rates(metric: np.ndarray, a: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """sup |A v|_M / |v|_M over v in ker C, per sample ``(m,)``, and the directions ``(m, nx)`` that attain it."""
    if n.shape[2] == 0:
        return np.zeros(len(a)), np.zeros((len(a), a.shape[1]))
    factor = np.linalg.cholesky(metric).T
    seen = factor @ n
    # Padded zero columns would make the Gram matrix singular; a unit there leaves the supremum untouched.
    gram = np.transpose(seen, (0, 2, 1)) @ seen
    empty = ~np.any(n, axis=1)
    gram[np.nonzero(empty)[0], np.nonzero(empty)[1], np.nonzero(empty)[1]] = 1.0
    inverse = np.linalg.inv(np.linalg.cholesky(gram))
    mapped = factor @ a @ n @ np.transpose(inverse, (0, 2, 1))
    _, values, v = np.linalg.svd(mapped, full_matrices=False)
    directions = np.einsum("mij,mjk,mk->mi", n, np.transpose(inverse, (0, 2, 1)), v[:, 0])
    return values[:, 0], directions
