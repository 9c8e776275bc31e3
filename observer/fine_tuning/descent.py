"""Levenberg-Marquardt on the simulation loss inside the certificate's barrier.

    minimise   f(theta) - mu log det Q(theta, M, Lam),      f = 1/2 mean |x_hat - x|^2 in simulation + w/2 mean |r|^2

    (H + mu N + lam diag H) d = -(grad f - mu grad log det Q)

r = f_o(x, u, h(x)) - x+ over the region and all inputs (:class:`Anchor`): simulations show only the inputs of the data, and
what they do not show would be given up for a little less noise. H is the Gauss-Newton matrix of f and N the Hessian of
-log det Q, which has entries for the constrained weights alone. The one-step solver damps with N; here that was slow: a low
gain lies far from the middle of the certificate. Under noise f does not go to zero, so mu also falls whenever a step gains
little, down to where the barrier only keeps the inside. After each accepted step M and Lam are centred again. Training ends
when held-out rollouts gain no more.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from observer.fine_tuning.metric import centre
from observer.fine_tuning.rollouts import Rollouts
from observer.fine_tuning.sensitivities import normal_equations
from observer.fitting.linear_algebra import barrier
from observer.fitting.linear_algebra.least_squares import constrained, pack, residual, residual_and_jacobian, unpack
from observer.fitting.problem import Samples
from observer.networks.ren.explicit import ExplicitREN

FIRST_BARRIER, LAST_BARRIER, LITTLE = 1e-2, 1e-3, 1e-2  # mu / f at the start and at the end; gain / f that lowers mu
PATIENCE, WORTH = 40, 0.99  # ends when this many iterations have not brought held-out to this share of what it was
FLOOR = 3e-3  # of the mean curvature: the least that a weight is damped by, in units of lam
CURVATURE_ROWS = 12_000  # rows of the residual that the Gauss-Newton matrix is made from


@dataclass(frozen=True, eq=False)
class Point:
    """Where the fine-tuning is; an iteration makes a new one. ``best``: weights, metric, multipliers with the lowest
    held-out loss so far, ``mark`` the held-out loss that patience is counted from."""

    theta: np.ndarray
    metric: np.ndarray
    multipliers: np.ndarray
    loss: float
    held_out: float
    mu: float
    best: tuple[np.ndarray, np.ndarray, np.ndarray]
    best_loss: float
    mark: float
    since: int = 0
    damping: float = 0.1
    iteration: int = 0
    refused: int = 0
    done: str = ""


@dataclass(frozen=True, eq=False)
class Anchor:
    """Transitions of the plant that the observer is to copy, for training and held out, and the ``weight`` w of |r|^2.

    A residual r at every sample makes a steady error of about r times the number of samples that an error lasts: w is its square.
    """

    train: Samples
    held_out: Samples
    weight: float

    def loss(self, network: ExplicitREN, held_out: bool = False) -> float:
        """w mean |r|^2."""
        r = residual(network, self.held_out if held_out else self.train)
        return self.weight * float(np.mean(np.sum(r**2, axis=1)))

    def normal_equations(self, network: ExplicitREN) -> tuple[np.ndarray, np.ndarray]:
        """Gradient and Gauss-Newton matrix of half the loss."""
        r, jacobian = residual_and_jacobian(network, self.train, np.eye(network.nx))
        share = self.weight / len(self.train)
        return share * (jacobian @ r), share * (jacobian @ jacobian.T)


@dataclass
class Tuner:
    """One fine-tuning problem: training and held-out rollouts, the rate bound to keep, and what ties the network to the plant."""

    train: Rollouts
    held_out: Rollouts
    rate: float
    activation: str
    neurons: int
    anchor: Anchor | None = None
    sizes: tuple[int, int, int] = field(init=False)
    _held: tuple | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.sizes = (self.train.x.shape[2], self.neurons, self.train.v.shape[2])
        counted = len(self.train.x) * (self.train.steps - self.train.skip) * self.sizes[0]
        self.thin = int(np.clip(counted // CURVATURE_ROWS, 1, max(1, (self.train.steps - self.train.skip) // 4)))

    def network(self, theta: np.ndarray) -> ExplicitREN:
        """The network of a weight vector."""
        return unpack(theta, *self.sizes, self.activation)

    def loss(self, network: ExplicitREN) -> float:
        """The loss on training rollouts and transitions."""
        return self.train.loss(network) + (self.anchor.loss(network) if self.anchor else 0.0)

    def held_out_loss(self, network: ExplicitREN) -> float:
        """The same on what is held out."""
        return self.held_out.loss(network) + (self.anchor.loss(network, True) if self.anchor else 0.0)

    def start(self, network: ExplicitREN, metric: np.ndarray, multipliers: np.ndarray) -> Point | None:
        """The first point, or None when metric and multipliers do not certify the rate strictly."""
        if barrier.factor(network, metric, multipliers, self.rate) is None:
            return None
        loss, held_out, theta = self.loss(network), self.held_out_loss(network), pack(network)
        best = (theta, metric, multipliers)
        metric, multipliers = centre(network, metric, multipliers, self.rate, steps=10)
        mu = FIRST_BARRIER * loss / 2
        return Point(theta, metric, multipliers, loss, held_out, mu, best, held_out, held_out)

    def _prepare(self, point: Point) -> tuple | None:
        """Derivatives at a point, kept over refused steps; None when they are not finite."""
        if self._held is not None and self._held[0] is point.theta:
            return self._held[1]
        network = self.network(point.theta)
        factored = barrier.factor(network, point.metric, point.multipliers, self.rate)
        if factored is None:
            return None
        gradient, hessian = normal_equations(network, self.train, self.thin)
        if self.anchor is not None:
            gradient, hessian = (
                a + b for a, b in zip((gradient, hessian), self.anchor.normal_equations(network), strict=True)
            )
        if not (np.isfinite(gradient).all() and np.isfinite(hessian).all()):
            return None
        a, b = barrier.directions(point.metric, point.multipliers)
        self._held = (point.theta, (*factored, gradient, hessian, *barrier.derivatives(factored[1], a, b)))
        return self._held[1]

    def step(self, point: Point) -> Point:
        """One trial step, accepted or refused."""
        prepared = self._prepare(point)
        if prepared is None or not np.isfinite(point.loss):
            return replace(point, done="non_finite", iteration=point.iteration + 1)
        q, lower, gradient, hessian, slope, curvature = prepared
        f, mu, k = point.loss / 2, point.mu, constrained(*self.sizes[:2])
        matrix, right = hessian.copy(), -gradient
        matrix[:k, :k] += mu * curvature
        scale = np.diag(hessian)
        matrix[np.diag_indices_from(matrix)] += point.damping * (scale + FLOOR * scale.mean())
        right[:k] += mu * slope
        try:
            move = cho_solve(cho_factor(matrix, check_finite=False), right, check_finite=False)
        except np.linalg.LinAlgError:
            return self._refuse(point)
        if not np.isfinite(move).all():
            return self._refuse(point)
        whole = barrier.certificate_matrix(self.network(point.theta + move), point.metric, point.multipliers, self.rate)
        move = move * barrier.longest_step(lower, whole - q)
        theta = point.theta + move
        network = self.network(theta)
        inside = barrier.factor(network, point.metric, point.multipliers, self.rate)
        loss = self.loss(network) if inside is not None else np.inf
        if inside is None or not np.isfinite(loss):
            return self._refuse(point)
        merit = f - loss / 2 + mu * (barrier.logdet(inside[1]) - barrier.logdet(lower))
        if not merit > 0:
            return self._refuse(point)
        part = move[:k]
        expected = right @ move - 0.5 * (move @ hessian @ move + mu * part @ curvature @ part)
        ratio = merit / expected if expected > 0 else 0.0
        damping = point.damping * (0.2 if ratio > 0.7 else 1.0 if ratio > 0.25 else 2.0)
        metric, multipliers = centre(network, point.metric, point.multipliers, self.rate, steps=2)
        mu = min(mu, FIRST_BARRIER * loss / 2)
        mu = min(mu, max(LAST_BARRIER * loss / 2, 0.2 * mu)) if merit < LITTLE * f else mu
        moved = replace(
            point, theta=theta, metric=metric, multipliers=multipliers, loss=loss, held_out=self.held_out_loss(network),
            mu=mu, damping=float(np.clip(damping, 1e-9, 1e9)), refused=0, iteration=point.iteration + 1,
        )  # fmt: skip
        return self._judge(moved)

    def _refuse(self, point: Point) -> Point:
        damping, refused = float(np.clip(6 * point.damping, 1e-9, 1e9)), point.refused + 1
        point = replace(point, damping=damping, refused=refused, iteration=point.iteration + 1)
        return replace(point, done="stalled") if refused > 12 else self._judge(point)

    def _judge(self, point: Point) -> Point:
        """Keep the best on held-out rollouts, and end when they gain no more."""
        if point.held_out < point.best_loss:
            best = (point.theta, point.metric, point.multipliers)
            point = replace(point, best=best, best_loss=point.held_out)
        if point.best_loss < WORTH * point.mark:
            return replace(point, mark=point.best_loss, since=0)
        since = point.since + 1
        return replace(point, since=since, done="converged" if since >= PATIENCE else "")
