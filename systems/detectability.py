"""What can be known from the outputs, and how fast: the search for a constant metric (MATH 2h).

An exact observer that contracts in a constant metric M at rate alpha exists only where

    |A(x) v|_M <= alpha |v|_M   for all v in ker C(x),   A = dF/dx, C = dh/dx   (differential detectability)

The search minimises alpha over I <= M <= kappa I on Jacobians sampled over the region, in range-scaled states
(x - middle) / half range. The problem is quasi-convex; it is solved by the method of centres (Boyd and El Ghaoui, Linear
Algebra Appl. 188, 1993) on a growing set of the worst Jacobians. The bound kappa on the condition number is what keeps
the noise gain of the resulting observer finite. Source of the condition: Sanfelice and Praly, IEEE TAC 2012.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from threadpoolctl import threadpool_limits

from systems.discretization import DiscreteSystem
from systems.errors import InputError
from systems.integration import sample_region

FULL_METRIC_UP_TO = 16  # states; above, the metric is diagonal (a full one has n(n+1)/2 unknowns)
CORNERS_UP_TO = 10  # states and inputs; above, 2^n corners are too many, and the diagonal of the box stands for them
SAMPLES, SAMPLES_WHEN_WIDE = 2048, 256  # Jacobians, up to FULL_METRIC_UP_TO states and above


@dataclass(frozen=True)
class MetricSearch:
    """Result of :func:`search`, in range-scaled states.

    metric ``(nx, nx)`` with largest eigenvalue 1; ``rate`` the contraction rate per sample that this metric allows an exact
    observer over the region; ``condition`` its condition number and ``gain`` the largest singular value of the projection
    gain K = M^-1 C' (C M^-1 C')^-1 (scaled states per scaled output); ``direction`` ``(nx,)`` the direction that is slowest
    to be seen and ``where`` ``(nx + nu,)`` the point at which it is (physical units); ``samples`` Jacobians checked.
    """

    metric: np.ndarray
    rate: float
    condition: float
    gain: float
    direction: np.ndarray
    where: np.ndarray
    samples: int


@dataclass(frozen=True)
class Jacobians:
    """A(x, u) ``(m, nx, nx)`` and C(x, u) ``(m, ny, nx)`` in range-scaled states, at ``points`` ``(m, nx + nu)``.

    The rows of C are scaled to largest norm 1, so that gains do not depend on the units of the outputs.
    """

    a: np.ndarray
    c: np.ndarray
    points: np.ndarray


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
        points = sample_region(box[:, 0], box[:, 1], count, seed)
        if len(box) <= CORNERS_UP_TO:
            extremes = np.array(list(itertools.product(*box)))
        else:
            extremes = box[:, 0] + np.linspace(0, 1, 17)[:, None] * np.ptp(box, axis=1)
        points = np.concatenate([points, extremes])
    x, u = points[:, : system.nx], points[:, system.nx :]
    a, _ = plant.jacobian(x, u)
    c, _ = plant.output_jacobian(x, u)
    scale = 0.5 * np.ptp(region, axis=1)
    a, c = a * scale / scale[:, None], c * scale
    c = c / np.maximum(
        np.nanmax(np.linalg.norm(c, axis=-1), initial=0.0, axis=tuple(range(c.ndim - 2)))[:, None], 1e-300
    )
    a, c = np.broadcast_to(a, (len(points), *a.shape[1:])), np.broadcast_to(c, (len(points), *c.shape[1:]))
    finite = np.isfinite(a).all(axis=(1, 2)) & np.isfinite(c).all(axis=(1, 2))
    if not finite.any():
        raise InputError(
            f"system '{system.name}': no Jacobian is finite over the region; check the equations and the ranges"
        )
    return Jacobians(np.ascontiguousarray(a[finite]), np.ascontiguousarray(c[finite]), points[finite])


def kernels(c: np.ndarray) -> np.ndarray:
    """Orthonormal bases ``(m, nx, d)`` of ker C for C ``(m, ny, nx)``; d is the largest kernel, padded with zero columns."""
    _, values, v = np.linalg.svd(c, full_matrices=True)
    ny, nx = c.shape[1:]
    ranks = (
        (values > 1e-9 * np.maximum(values[:, :1], 1e-300)).sum(axis=1) if min(ny, nx) else np.zeros(len(c), dtype=int)
    )
    dimension = nx - int(ranks.min()) if len(ranks) else nx
    basis = np.transpose(v, (0, 2, 1))[:, :, nx - dimension :].copy()
    for k in np.flatnonzero(nx - ranks < dimension):  # points at which more is seen than elsewhere
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


def _traces(scaled: np.ndarray) -> np.ndarray:
    """Sum over samples of tr(S_b S_c) for S ``(samples, basis, d, d)``, as one product of matrices."""
    samples, basis, d, _ = scaled.shape
    transposed = np.transpose(scaled, (0, 1, 3, 2))
    left, right = (np.transpose(s, (1, 0, 2, 3)).reshape(basis, samples * d * d) for s in (scaled, transposed))
    return left @ right.T


class _Centring:
    """Newton's method for the analytic centre of {M : alpha^2 N'MN - N'A'MAN > 0 for each sample, I < M < kappa I}."""

    def __init__(self, size: int, condition: float) -> None:
        if size <= FULL_METRIC_UP_TO:
            pairs = [(i, j) for i in range(size) for j in range(i, size)]
        else:
            pairs = [(i, i) for i in range(size)]
        self.basis = np.zeros((len(pairs), size, size))
        for k, (i, j) in enumerate(pairs):
            self.basis[k, i, j] = self.basis[k, j, i] = 1.0
        self.condition, self.size = condition, size
        self.rows, self.columns = np.array(pairs).T

    def blocks(self, a: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """N'E N and N'A'E A N for every basis matrix E: each ``(samples, basis, d, d)``."""
        return self._forms(n), self._forms(a @ n)

    def _forms(self, v: np.ndarray) -> np.ndarray:
        """V'E V for E = e_i e_j' + e_j e_i' (e_i e_i' on the diagonal): products of rows of V, not of matrices."""
        outer = v[:, self.rows, :, None] * v[:, self.columns, None, :]
        share = np.where(self.rows == self.columns, 0.5, 1.0)[:, None, None]
        return share * (outer + np.transpose(outer, (0, 1, 3, 2)))

    def centre(self, theta: np.ndarray, slopes: np.ndarray, steps: int = 30) -> np.ndarray:
        """The centre, from a strictly feasible ``theta``; ``slopes`` ``(samples, basis, d, d)`` are alpha^2 first - second."""
        bounds = [(self.basis, -np.eye(self.size)), (-self.basis, self.condition * np.eye(self.size))]
        for _ in range(steps):
            gradient, hessian = np.zeros(len(theta)), np.zeros((len(theta), len(theta)))
            forms = np.tensordot(theta, slopes, axes=(0, 1))
            inverse = np.linalg.inv(forms)
            scaled = inverse[:, None] @ slopes
            gradient -= np.einsum("mbii->b", scaled)
            hessian += _traces(scaled)
            for slope, offset in bounds:
                form = np.tensordot(theta, slope, axes=1) + offset
                part = np.linalg.inv(form) @ slope
                gradient -= np.einsum("bii->b", part)
                hessian += _traces(part[None])
            hessian[np.diag_indices_from(hessian)] *= 1 + 1e-12
            direction = -cho_solve(cho_factor(hessian), gradient)
            decrement = float(np.sqrt(max(0.0, -gradient @ direction)))
            length = 1.0 if decrement < 0.25 else 1.0 / (1.0 + decrement)
            theta = theta + length * direction  # the damped step stays inside (self-concordance)
            if decrement < 1e-3:
                break
        return theta


def search(
    plant: DiscreteSystem | None = None,
    condition: float = 100.0,
    *,
    region: np.ndarray | None = None,
    jacobians: Jacobians | None = None,
    seed: int = 0,
    target: float | None = None,
) -> MetricSearch:
    """The metric with condition number at most ``condition`` that allows the fastest contraction over the region.

    Parameters
    ----------
    region : ``(nx, 2)``; the ranges of the states when left out.
    jacobians : given instead of sampled ones (then the plant is not needed).
    target : stop as soon as this rate per sample is reached.

    The result may have ``rate >= 1``: no observer of this kind exists at this condition number. Raises :class:`InputError`
    for a condition number below 1.
    """
    if not condition >= 1:
        raise InputError(f"condition is {condition!r}; expected a number, 1 or more")
    if jacobians is None:
        if plant is None:
            raise TypeError("search needs a plant or its Jacobians")
        jacobians = sample_jacobians(plant, region, seed=seed)
    a, c = jacobians.a, jacobians.c
    n = kernels(c)
    size = a.shape[1]
    with threadpool_limits(limits=1, user_api="blas"):  # the matrices are small; two threads only wait for each other
        centring = _Centring(size, max(float(condition), 1 + 1e-6))
        theta = np.array([float(np.trace(e) > 0) for e in centring.basis]) * np.sqrt(centring.condition)
        metric = np.sqrt(centring.condition) * np.eye(size)
        values, _ = rates(metric, a, n)
        if n.shape[2] and condition > 1:
            active = np.unique(np.argsort(values)[-8:])
            for _ in range(40):
                theta, metric = _minimise(centring, theta, metric, a[active], n[active], target)
                values, _ = rates(metric, a, n)
                reached = values[active].max()
                if values.max() <= reached * (1 + 1e-4) or (target is not None and values.max() <= target):
                    break
                worst = np.setdiff1d(np.argsort(values)[-8:], active)
                if not len(worst):
                    break
                active = np.concatenate([active, worst])
    values, directions = rates(metric, a, n)
    worst = int(np.argmax(values))
    eigenvalues = np.linalg.eigvalsh(metric)
    inverse = np.linalg.inv(metric)
    middle = c[len(c) // 2] if len(c) else c[0]
    gain = inverse @ middle.T @ np.linalg.pinv(middle @ inverse @ middle.T)
    direction = directions[worst] / max(float(np.linalg.norm(directions[worst])), 1e-300)
    return MetricSearch(
        metric=metric / eigenvalues[-1],
        rate=float(values[worst]),
        condition=float(eigenvalues[-1] / eigenvalues[0]),
        gain=float(np.linalg.norm(gain, 2)),
        direction=direction,
        where=jacobians.points[worst],
        samples=len(a),
    )


def _minimise(
    centring: _Centring, theta: np.ndarray, metric: np.ndarray, a: np.ndarray, n: np.ndarray, target: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Shrink alpha on a few samples: centre, take the rate of the centre, move the bound towards it."""
    first, second = centring.blocks(a, n)
    # Zero columns (padding) give zero blocks; a unit diagonal keeps them out of the barrier.
    padding = np.einsum("ma,ac->mac", (~np.any(n, axis=1)).astype(float), np.eye(n.shape[2]))
    best = float(rates(metric, a, n)[0].max())
    bound = max(best * 1.05, 1e-6)
    for _ in range(60):
        slopes = bound**2 * first - second
        slopes = slopes + padding[:, None] * np.trace(centring.basis, axis1=1, axis2=2)[None, :, None, None]
        try:
            theta = centring.centre(theta, slopes)
        except np.linalg.LinAlgError:
            break
        candidate = np.einsum("b,bij->ij", theta, centring.basis)
        rate = float(rates(candidate, a, n)[0].max())
        if not np.isfinite(rate):
            break
        metric = candidate
        if target is not None and rate <= 0.999 * target:
            break
        following = rate + 0.1 * (bound - rate)
        if following >= bound * (1 - 1e-4):
            break
        bound = max(following, 1e-9)
    return theta, metric
