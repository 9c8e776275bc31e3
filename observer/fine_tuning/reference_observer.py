"""Reference observers: they use the plant's equations and a gain chosen for the noise; fine-tuning begins with a network that
reproduces one.

    nu = y - h(x_hat, u),     x_hat+ = F(x_hat + N nu, u) + G nu + D s tanh(nu / s)

Small innovations have the gain G + D, large ones G: the observer may be fast after a large initial error and later have a
low noise gain, without a further state. D = G = 0 is the steady Kalman filter with gain N, N = 0 Luenberger's observer, and
N = M^-1 C'(C M^-1 C')^-1 the projection observer, whose nonlinear terms use the measurement. An error dx obeys

    dx+ = [A(z) (I - N C) - (G + T D) C] dx,      T diagonal, between 0 and 1

which is affine in T, so that a metric in which the corners contract over the region proves the observer. The search looks for the proved
one with the lowest simulation loss, beginning with the Kalman gains of :mod:`observer.fine_tuning.constant_gain`.
Network units throughout.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from observer.fine_tuning.constant_gain import FACTORS, GainDesign
from observer.fine_tuning.rollouts import Rollouts
from systems.detectability import Jacobians, MetricSearch, search_metric
from systems.discretization import DiscreteSystem

CONDITIONS = (10.0, 100.0, 1000.0)  # of the metrics in which a reference observer may be proved
STATES, ENTRIES = 8, 24  # states, and numbers to choose, up to which more than the Kalman gains is tried
TRIALS, EVALUATIONS = 40, 180  # rollouts and simulations of the search
THIN = 5  # of the Jacobians, every so many during the search; the last few are the corners of the region
FIRST, LAST = 0.1, 1e-4  # steps of the search
KEPT = 20  # of the best, in which one is sought that all Jacobians prove
WIDE = 0.8  # of the distance to 1 that the best metric leaves: a rounder metric must keep this much

ProgressCallback = Callable[[int, int, float], bool]  # (done, of how many, loss) -> whether to stop


@dataclass(frozen=True, eq=False)
class ReferenceObserver:
    """N, G, D ``(nx, ny)`` and s ``(ny,)``."""

    inner: np.ndarray
    outer: np.ndarray
    near: np.ndarray
    size: np.ndarray

    @classmethod
    def constant(cls, inner: np.ndarray, outer: np.ndarray | None = None) -> "ReferenceObserver":
        """One gain for all innovations."""
        return cls(
            inner, np.zeros_like(inner) if outer is None else outer, np.zeros_like(inner), np.ones(inner.shape[1])
        )

    @property
    def is_nonlinear(self) -> bool:
        """Whether the gain depends on the size of the innovation."""
        return bool(self.near.any())

    def corrections(self, nu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N nu, G nu + D s tanh(nu / s)) for innovations ``(..., ny)``."""
        bent = self.size * np.tanh(nu / self.size) @ self.near.T if self.is_nonlinear else 0.0
        return nu @ self.inner.T, nu @ self.outer.T + bent

    def closed_loop(self, jacobians: Jacobians) -> Jacobians:
        """The corners of dx+ / dx at every point, as Jacobians without outputs."""
        a, c = jacobians.a, jacobians.c
        inner = a - a @ self.inner @ c - self.outer @ c
        every = itertools.product((0.0, 1.0), repeat=len(self.size)) if self.is_nonlinear else [(0.0,) * len(self.size)]
        corners = [inner - (self.near * np.array(share)) @ c for share in every]
        points = np.concatenate([jacobians.points] * len(corners))
        return replace(jacobians, a=np.concatenate(corners), c=np.zeros((len(points), 0, a.shape[1])), points=points)

    def loss(self, rollouts: Rollouts) -> float:
        """Mean of |x_hat - x|^2 as :meth:`Rollouts.loss` counts it; infinite for what leaves all bounds."""
        scaling, total, x_hat = rollouts.scaling, 0.0, rollouts.initial
        with np.errstate(all="ignore"):
            for k in range(rollouts.steps):
                u, y = rollouts.u[:, k], rollouts.v[:, k, rollouts.outputs]
                nu = np.where(np.isnan(y), 0.0, y - rollouts.expected(x_hat, u))  # a missing y gives no correction
                inside, after = self.corrections(nu)
                x = (x_hat + inside) * scaling.state_scale + scaling.state_centre
                x_hat = scaling.states(rollouts.plant.step(x, u)) + after
                if not np.abs(x_hat).max() < 1e3:
                    return np.inf
                if k >= rollouts.skip:
                    total += float(np.mean(np.sum((x_hat - rollouts.x[:, k + 1]) ** 2, axis=1)))
        return total / (rollouts.steps - rollouts.skip)


def in_network_units(plant: DiscreteSystem, jacobians: Jacobians, rollouts: Rollouts) -> Jacobians:
    """``jacobians`` (range-scaled) with outputs in network units."""
    outputs = rollouts.scaling.input_scale[rollouts.outputs]
    scale = np.ones(plant.ny) if jacobians.output_scale is None else jacobians.output_scale[: plant.ny]
    return replace(jacobians, c=jacobians.c[:, : plant.ny] * (scale / outputs)[:, None], output_scale=outputs)


@dataclass(frozen=True, eq=False)
class ProvedObserver:
    """A reference observer, the metric that proves it, and its loss on the training rollouts."""

    observer: ReferenceObserver
    proof: MetricSearch
    loss: float


def best_reference(
    found: GainDesign,
    projection: np.ndarray | None,
    jacobians: Jacobians,
    rollouts: Rollouts,
    slowest: float,
    evaluations: int = EVALUATIONS,
    progress: ProgressCallback | None = None,
) -> ProvedObserver | None:
    """The best that a metric proves at ``slowest`` or faster; None where none is proved.

    ``projection`` ``(nx, ny)``: the gain N of a projection observer to begin from as well; None: the Kalman gains alone.
    ``evaluations``: 0 keeps to constant gains. ``progress`` is called with (simulation, of how many, loss); true stops.
    """
    few, nodes = rollouts.subset(slice(0, TRIALS)), len(jacobians.a)
    thin = np.unique(np.concatenate([np.arange(0, nodes, THIN), np.arange(max(0, nodes - 64), nodes)]))
    thinned = replace(jacobians, a=jacobians.a[thin], c=jacobians.c[thin], points=jacobians.points[thin])
    losses: list[tuple[float, ReferenceObserver]] = []

    def judged(reference: ReferenceObserver) -> float:
        loop = reference.closed_loop(thinned)
        if not np.isfinite(loop.a).all():
            return np.inf
        proved = search_metric(jacobians=loop, condition=CONDITIONS[-1], target=slowest).rate <= slowest
        loss = reference.loss(few) if proved else np.inf
        if np.isfinite(loss):
            losses.append((loss, reference))
        if progress is not None and progress(
            len(losses), evaluations, min(losses, key=_first)[0] if losses else np.inf
        ):
            raise _Stopped
        return loss

    small = projection is not None and len(found.a) <= STATES and 3 * projection.size + projection.shape[1] <= ENTRIES
    try:
        for gain in map(found.filter_gain, FACTORS):
            if gain is not None:
                judged(ReferenceObserver.constant(gain))
                if small and projection is not None:
                    judged(ReferenceObserver.constant(projection, found.a @ (gain - projection)))
        judged(ReferenceObserver.constant(np.zeros((len(found.a), len(found.c)))))  # the plant in open loop
        if small and losses and evaluations:
            _improve(*min(losses, key=_first), judged, evaluations)
    except _Stopped:
        pass
    for _, reference in sorted(losses, key=_first)[:KEPT]:  # the first that all Jacobians prove
        loop = reference.closed_loop(jacobians)
        best = search_metric(jacobians=loop, condition=CONDITIONS[-1])
        if best.rate > slowest:
            continue
        for condition in CONDITIONS[:-1]:  # the roundest metric that does nearly as well
            rounder = search_metric(jacobians=loop, condition=condition)
            if rounder.rate <= slowest and 1 - rounder.rate >= WIDE * (1 - best.rate):
                best = rounder
                break
        return ProvedObserver(reference, best, reference.loss(rollouts))
    return None


class _Stopped(Exception):
    """There is no time for more."""


def _first(pair: tuple[float, ReferenceObserver]) -> float:
    return pair[0]


def _improve(
    loss: float, reference: ReferenceObserver, judged: Callable[[ReferenceObserver], float], evaluations: int
) -> None:
    """Nelder and Mead over all entries of N, G and D and the logarithm of s, inside what is proved."""
    shape = reference.inner.shape
    count = int(np.prod(shape))

    def judge(z: np.ndarray) -> float:
        inner, outer, near = (z[k * count : (k + 1) * count].reshape(shape) for k in range(3))
        return float(np.log(judged(ReferenceObserver(inner, outer, near, np.exp(z[3 * count :])))))

    scale = max(float(np.sqrt(loss)), 1e-9)  # innovations are about as large as errors
    gains = np.concatenate([reference.inner.ravel(), reference.outer.ravel(), np.zeros(count)])
    initial = np.concatenate([gains, np.full(shape[1], np.log(6 * scale))])
    # A gain is moved by a share of itself, but for those that begin at zero.
    step = np.concatenate([FIRST * np.where(gains, np.clip(np.abs(gains), 0.2, 1.0), 1.0), np.ones(shape[1])])
    minimize(
        judge, initial, method="Nelder-Mead",
        options={"initial_simplex": np.vstack([initial, initial + np.diag(step)]), "maxfev": evaluations, "xatol": LAST,
                 "fatol": 1e-3, "adaptive": True},
    )  # fmt: skip
