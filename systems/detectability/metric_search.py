"""The search for the constant metric that allows the fastest contraction (MATH 2h).

An exact observer that contracts in a constant metric M at rate alpha exists only where

    |A(x) v|_M <= alpha |v|_M   for all v in ker C(x),   A = dF/dx, C = dh/dx   (differential detectability)

The search minimises alpha over I <= M <= kappa I on Jacobians sampled over the region, in range-scaled states
z = (x - middle) / half range, or in other linear coordinates xi = T^-1 z. The problem is quasi-convex; it is solved by the
method of centres on a growing set of the worst Jacobians, or as semidefinite programs with the extra ``sdp``. The bound
kappa on the condition number keeps the noise gain of the observer finite. Source: Sanfelice and Praly, IEEE TAC 2012.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from systems.base.errors import InputError
from systems.detectability.centres import Centring, minimise
from systems.detectability.jacobians import Jacobians, output_kernels, rates, sample_jacobians
from systems.discretization import DiscreteSystem

if TYPE_CHECKING:
    from systems.detectability.noise import TradeOff

METHODS = ("centres", "sdp")


@dataclass(frozen=True)
class MetricSearch:
    """Result of :func:`search_metric`.

    ``metric`` ``(nx, nx)`` in xi with largest eigenvalue 1; ``rate`` the contraction rate per sample that this metric allows an
    exact observer over the region; ``condition`` its condition number and ``gain`` the largest singular value of the
    projection gain K = M^-1 C' (C M^-1 C')^-1 (scaled states per scaled output); ``direction`` ``(nx,)`` the direction that
    is detected slowest, in range-scaled states, and ``where`` ``(nx + nu,)`` the point at which it is (physical units);
    ``samples`` Jacobians checked; ``coordinates`` T ``(nx, nx)`` with z = T xi, None where xi are the range-scaled states z;
    ``along_trajectories``: the rate holds where trajectories were, not all over the region;
    ``trade_off`` the curve that this metric was chosen from, where there was one.
    """

    metric: np.ndarray
    rate: float
    condition: float
    gain: float
    direction: np.ndarray
    where: np.ndarray
    samples: int
    coordinates: np.ndarray | None = None
    along_trajectories: bool = False
    trade_off: "TradeOff | None" = None

    @property
    def scaled_metric(self) -> np.ndarray:
        """T^-T M T^-1 ``(nx, nx)``: the metric in range-scaled states."""
        if self.coordinates is None:
            return self.metric
        back = np.linalg.inv(self.coordinates)
        return back.T @ self.metric @ back


def search_metric(
    plant: DiscreteSystem | None = None,
    condition: float = 100.0,
    *,
    region: np.ndarray | None = None,
    jacobians: Jacobians | None = None,
    seed: int = 0,
    target: float | None = None,
    coordinates: np.ndarray | None = None,
    method: str = "centres",
    start: MetricSearch | None = None,
) -> MetricSearch:
    """The metric with condition number at most ``condition`` that allows the fastest contraction over the region.

    Parameters
    ----------
    plant : DiscreteSystem, optional
        Not needed where ``jacobians`` are given.
    condition : float
        Largest condition number of the metric.
    region : ndarray (nx, 2), optional
        The ranges of the states when left out.
    jacobians : Jacobians, optional
        Given instead of sampled ones.
    seed : int
        Of the sampled points.
    target : float, optional
        Stop as soon as this rate per sample is reached.
    coordinates : ndarray (nx, nx), optional
        T; the metric and its condition number are then those of xi = T^-1 z.
    method : {"centres", "sdp"}
        ``"sdp"``: bisection over semidefinite programs (needs the extra ``sdp``).
    start : MetricSearch, optional
        A result in the same coordinates, as that of a smaller condition number, for a warm start; it saves time only.

    Returns
    -------
    MetricSearch
        With ``rate >= 1`` where no observer of this kind exists at this condition number.

    Raises
    ------
    InputError
        For a condition number below 1, an unknown method, or one whose packages are not installed.
    """
    if not condition >= 1:
        raise InputError(f"condition is {condition!r}; expected a number, 1 or more")
    if method not in METHODS:
        raise InputError(f"method is {method!r}; expected {' or '.join(METHODS)}")
    if jacobians is None:
        if plant is None:
            raise TypeError("search_metric needs a plant or its Jacobians")
        jacobians = sample_jacobians(plant, region, seed=seed)
    a, c = jacobians.a, jacobians.c
    if coordinates is not None:
        if not (np.isfinite(coordinates).all() and np.linalg.cond(coordinates) < 1e14):
            raise InputError("coordinates is a singular matrix; expected T with z = T xi for every state z")
        a, c = np.linalg.solve(coordinates, a @ coordinates), c @ coordinates
    n = output_kernels(c)
    with threadpool_limits(limits=1, user_api="blas"):  # the matrices are small; two threads only wait for each other
        if method == "sdp":
            from systems.detectability.semidefinite import SemidefiniteSearch

            metric = _grow(SemidefiniteSearch(a.shape[1], float(condition)), a, n, target)
        else:
            first = None if start is None else start.metric
            metric = _grow(_Centres(a.shape[1], max(float(condition), 1 + 1e-6), first), a, n, target)
    values, directions = rates(metric, a, n)
    worst = int(np.argmax(values))
    eigenvalues = np.linalg.eigvalsh(metric)
    inverse = np.linalg.inv(metric)
    middle = c[len(c) // 2]
    gain = inverse @ middle.T @ np.linalg.pinv(middle @ inverse @ middle.T)
    direction = directions[worst]
    if coordinates is not None:
        gain, direction = coordinates @ gain, coordinates @ direction
    return MetricSearch(
        metric=metric / eigenvalues[-1],
        rate=float(values[worst]),
        condition=float(eigenvalues[-1] / eigenvalues[0]),
        gain=float(np.linalg.norm(gain, 2)),
        direction=direction / max(float(np.linalg.norm(direction)), 1e-300),
        where=jacobians.points[worst],
        samples=len(a),
        coordinates=coordinates,
    )


class _Centres:
    """The method of centres, started where it stopped when a few more Jacobians are added."""

    def __init__(self, size: int, condition: float, first: np.ndarray | None = None) -> None:
        self.centring, self.condition = Centring(size, condition), condition
        self.metric = np.sqrt(condition) * np.eye(size)
        if first is not None:
            values = np.linalg.eigvalsh(first)
            if condition * values[0] > 1.01 * values[-1]:  # strictly inside, midway between the two bounds
                self.metric = first * np.sqrt(condition / (values[0] * values[-1]))
        self.theta = np.array(
            [self.metric[i, j] for i, j in zip(self.centring.rows, self.centring.columns, strict=True)]
        )

    def minimise(self, a: np.ndarray, n: np.ndarray, target: float | None) -> np.ndarray:
        self.theta, self.metric = minimise(self.centring, self.theta, self.metric, a, n, target)
        return self.metric


class _Method(Protocol):
    """What finds the metric of a few Jacobians, from where it stopped last."""

    condition: float
    metric: np.ndarray

    def minimise(self, a: np.ndarray, n: np.ndarray, target: float | None) -> np.ndarray: ...


def _grow(solver: _Method, a: np.ndarray, n: np.ndarray, target: float | None) -> np.ndarray:
    """The metric of all Jacobians from problems with a few of them: solve, add the worst, until none is worse."""
    metric = solver.metric
    if not n.shape[2] or solver.condition <= 1 + 1e-6:
        return metric
    values, _ = rates(metric, a, n)
    active = np.unique(np.argsort(values)[-8:])
    for _ in range(40):
        metric = solver.minimise(a[active], n[active], target)
        values, _ = rates(metric, a, n)
        if values.max() <= values[active].max() * (1 + 1e-4) or (target is not None and values.max() <= target):
            break
        worst = np.setdiff1d(np.argsort(values)[-8:], active)
        if not len(worst):
            break
        active = np.concatenate([active, worst])
    return metric
