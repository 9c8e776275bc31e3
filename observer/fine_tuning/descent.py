"""Levenberg-Marquardt on the simulation loss inside the certificate's barrier.

    minimise   f(theta) - mu log det Q(theta, M, Lam),      f = 1/2 mean |x_hat - x|^2 in simulation + w/2 mean |r|^2

    (H + mu N + lam diag H) d = -(grad f - mu grad log det Q)

r = f_o(x, u, h(x)) - x+ over the region and all inputs (:class:`Anchor`): simulations contain only the inputs of the data, and
accuracy elsewhere would be given up for a slightly lower noise gain. H is the Gauss-Newton matrix of f and N the Hessian of
-log det Q, which has entries for the constrained weights alone. The one-step solver damps with N; here that was slow: a low
gain lies far from the middle of the certificate. Under noise f does not go to zero, so mu also falls whenever a step gains
little, until the barrier only keeps the iterates feasible. After each accepted step M and Lam are centred again. Training ends
when held-out rollouts gain no more.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from observer.fine_tuning.metric import centre
from observer.fine_tuning.rollouts import Rollouts
from observer.fine_tuning.sensitivities import normal_equations
from observer.fitting.linear_algebra import barrier
from observer.fitting.linear_algebra.least_squares import constrained, pack, residual, residual_and_jacobian, unpack
from observer.fitting.problem import Samples
from observer.fitting.result import Status
from observer.fitting.solvers.checkpoints import digest
from observer.fitting.solvers.damping import DampingRule, Point
from observer.fitting.solvers.loop import Look
from observer.networks.ren.explicit import ExplicitREN

RULE = DampingRule(good=0.2, poor=2.0, refused=6.0, largest=1e9, refusals=12)
INITIAL_DAMPING = 0.1
FIRST_BARRIER, LAST_BARRIER, LITTLE = (
    1e-2,
    1e-3,
    1e-2,
)  # mu / f at the beginning and at the end; gain / f that lowers mu
PATIENCE, WORTH = 40, 0.99  # ends when this many iterations have not brought held-out to this share of what it was
FLOOR = 3e-3  # of the mean curvature: the least that a weight is damped by, in units of lam
CURVATURE_ROWS = 12_000  # rows of the residual that the Gauss-Newton matrix is made from
LOOK = 5  # iterations between rows of history


@dataclass(frozen=True, eq=False)
class Tuning:
    """Where the fine-tuning is; an iteration makes a new one. ``best``: the point with the lowest held-out loss so far, ``mark``
    the held-out loss that patience is counted from."""

    point: Point
    held_out: float
    mu: float
    best: Point
    best_loss: float
    mark: float
    since: int = 0


@dataclass(frozen=True, eq=False)
class Anchor:
    """Transitions of the plant that the observer must reproduce, for training and held out, and the ``weight`` w of |r|^2.

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


@dataclass(frozen=True, eq=False)
class Descent:
    """One fine-tuning problem: training and held-out rollouts, the rate bound to keep, and what ties the network to the plant.

    A solver's method (:class:`observer.fitting.solvers.loop.Method`) once it has an ``origin``, where it begins, and ``iterations``,
    its limit.
    """

    train: Rollouts
    held_out: Rollouts
    rate: float
    activation: str
    neurons: int
    anchor: Anchor
    origin: Tuning | None = None
    iterations: int = 0
    name = "fine_tune"
    kind = Tuning

    @property
    def sizes(self) -> tuple[int, int, int]:
        """States, neurons and inputs of the network."""
        return self.train.x.shape[2], self.neurons, self.train.v.shape[2]

    @property
    def key(self) -> str:
        """A hash of everything that decides the course of the fine-tuning."""
        point, anchor = self.initial().point, self.anchor
        parts = [point.theta, point.metric, point.multipliers]
        for rollouts in (self.train, self.held_out):
            parts += [rollouts.x, rollouts.v, rollouts.initial]
        parts += [anchor.train.x, anchor.train.v, np.array(anchor.weight)]
        return digest(parts, self.rate, self.train.skip, self.activation)

    def network(self, theta: np.ndarray) -> ExplicitREN:
        """The network of a weight vector."""
        return unpack(theta, *self.sizes, self.activation)

    def loss(self, network: ExplicitREN) -> float:
        """The loss on training rollouts and transitions."""
        return self.train.loss(network) + self.anchor.loss(network)

    def held_out_loss(self, network: ExplicitREN) -> float:
        """The same on what is held out."""
        return self.held_out.loss(network) + self.anchor.loss(network, True)

    def tuning(self, network: ExplicitREN, metric: np.ndarray, multipliers: np.ndarray) -> Tuning | None:
        """A network as a state to begin from, or None when metric and multipliers do not certify the rate strictly."""
        if barrier.factor(network, metric, multipliers, self.rate) is None:
            return None
        loss, held_out = self.loss(network), self.held_out_loss(network)
        best = Point(pack(network), metric, multipliers, loss, INITIAL_DAMPING)
        metric, multipliers = centre(network, metric, multipliers, self.rate, steps=10)
        point = replace(best, metric=metric, multipliers=multipliers)
        return Tuning(point, held_out, FIRST_BARRIER * loss / 2, best, held_out, held_out)

    def initial(self) -> Tuning:
        """The origin."""
        assert self.origin is not None
        return self.origin

    def finished(self, state: Tuning) -> Status | None:
        """How it ended; None while there is a way on."""
        return state.point.done or (Status.ITERATION_LIMIT if state.point.iteration >= self.iterations else None)

    def look(self, state: Tuning) -> Look | None:
        """Losses in squares of half a range."""
        point = state.point
        if point.iteration % LOOK and self.finished(state) is None:
            return None
        return Look(
            "fine-tune", point.iteration, self.iterations, point.loss, state.best_loss, point.damping, self.rate
        )

    def _derivatives(self, point: Point) -> tuple | None:
        """(Q, its factor, gradient, Gauss-Newton matrix, slope and curvature of the barrier); None where they are not finite."""
        if point.derivatives is not None:
            return point.derivatives
        network = self.network(point.theta)
        factored = barrier.factor(network, point.metric, point.multipliers, self.rate)
        if factored is None:
            return None
        counted = self.train.steps - self.train.skip
        thin = int(np.clip(self.train.x.shape[0] * counted * self.sizes[0] // CURVATURE_ROWS, 1, max(1, counted // 4)))
        gradient, hessian = (
            a + b
            for a, b in zip(
                normal_equations(network, self.train, thin), self.anchor.normal_equations(network), strict=True
            )
        )
        if not (np.isfinite(gradient).all() and np.isfinite(hessian).all()):
            return None
        a, b = barrier.directions(point.metric, point.multipliers)
        return (*factored, gradient, hessian, *barrier.derivatives(factored[1], a, b))

    def step(self, state: Tuning) -> Tuning:
        """One trial step, accepted or refused."""
        point = replace(state.point, derivatives=self._derivatives(state.point))
        state = replace(state, point=point)
        if point.derivatives is None or not np.isfinite(point.loss):
            return replace(state, point=point.non_finite())
        q, lower, gradient, hessian, slope, curvature = point.derivatives
        f, mu, k = point.loss / 2, state.mu, constrained(*self.sizes[:2])
        matrix, right = hessian.copy(), -gradient
        matrix[:k, :k] += mu * curvature
        scale = np.diag(hessian)
        matrix[np.diag_indices_from(matrix)] += point.damping * (scale + FLOOR * scale.mean())
        right[:k] += mu * slope
        try:
            move = cho_solve(cho_factor(matrix, check_finite=False), right, check_finite=False)
        except np.linalg.LinAlgError:
            return self._refuse(state)
        if not np.isfinite(move).all():
            return self._refuse(state)
        whole = barrier.certificate_matrix(self.network(point.theta + move), point.metric, point.multipliers, self.rate)
        move = move * barrier.longest_step(lower, whole - q)
        theta = point.theta + move
        network = self.network(theta)
        inside = barrier.factor(network, point.metric, point.multipliers, self.rate)
        loss = self.loss(network) if inside is not None else np.inf
        if inside is None or not np.isfinite(loss):
            return self._refuse(state)
        merit = f - loss / 2 + mu * (barrier.logdet(inside[1]) - barrier.logdet(lower))
        if not merit > 0:
            return self._refuse(state)
        part = move[:k]
        predicted = right @ move - 0.5 * (move @ hessian @ move + mu * part @ curvature @ part)
        damping = RULE.accepted(point.damping, merit, predicted)
        metric, multipliers = centre(network, point.metric, point.multipliers, self.rate, steps=2)
        mu = min(mu, FIRST_BARRIER * loss / 2)
        mu = min(mu, max(LAST_BARRIER * loss / 2, 0.2 * mu)) if merit < LITTLE * f else mu
        point = point.accept(damping, theta, metric, multipliers, loss)
        return self.judged(replace(state, point=point, held_out=self.held_out_loss(network), mu=mu))

    def _refuse(self, state: Tuning) -> Tuning:
        point = state.point.refuse(RULE)
        state = replace(state, point=point)
        return state if point.done is not None else self.judged(state)

    def judged(self, state: Tuning) -> Tuning:
        """Keep the best on held-out rollouts, and end when they gain no more."""
        if state.held_out < state.best_loss:
            state = replace(state, best=replace(state.point, derivatives=None), best_loss=state.held_out)
        if state.best_loss < WORTH * state.mark:
            return replace(state, mark=state.best_loss, since=0)
        state = replace(state, since=state.since + 1)
        return state if state.since < PATIENCE else replace(state, point=replace(state.point, done=Status.CONVERGED))
