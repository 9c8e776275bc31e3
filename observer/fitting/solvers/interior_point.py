"""One iteration of interior-point Gauss-Newton on the explicit weights, at fixed metric (MATH 3, steps 4-8).

    minimise   f(theta) - mu logdet Q(theta),      mu = 0.1 f

    (J'J/m + (lam f + mu) N  [constrained weights] + 0.01 (lam f + mu) I  [free weights]) d = -(grad f - mu grad logdet Q)

with N the Hessian of -logdet Q. The barrier's curvature is both the damping that keeps a step inside the certificate and
what tells apart the collinear columns of x and y = h(x). Steps that would leave Q > 0 are shortened; after a step the linear
weights are solved anew (:mod:`observer.fitting.linear_algebra.linear_part`); what does not lower f is refused.
Last the multipliers are centred.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from observer.fitting.initial.networks import start_network
from observer.fitting.linear_algebra import barrier
from observer.fitting.linear_algebra.conjugate_gradients import IterativeEquations
from observer.fitting.linear_algebra.least_squares import pack, parameter_count, residual, unpack
from observer.fitting.linear_algebra.linear_part import refit_linear_part
from observer.fitting.linear_algebra.normal_equations import DenseEquations
from observer.fitting.problem import Problem
from observer.networks.ren.explicit import ExplicitREN

DENSE_PARAMETERS = 3000  # above, steps are solved by conjugate gradients
BARRIER = 0.1  # mu / f: small enough not to be seen in the fit, large enough to stay off the boundary while there is far to go
SHRINK, GROW, REFUSED = 0.1, 2.0, 4.0  # of the damping: after a step as good as predicted, a poor one, a refused one
MOST_REFUSALS = 25
WINDOW, STALL = 60, 0.98  # a run has converged when 60 iterations lower the loss by less than 2 %
FLOOR = 1e-26  # mean square residual in network units at which rounding is all that is left


@dataclass
class Run:
    """One start on its way: weights, multipliers, damping, and what the next step needs."""

    number: int
    theta: np.ndarray
    multipliers: np.ndarray
    loss: float
    damping: float = 1.0
    iteration: int = 0
    refused: int = 0
    losses: list[float] = field(default_factory=list)
    done: str = ""
    held: tuple | None = None  # (normal equations, (Q, its factor)): kept over refused steps

    def copy(self) -> "Run":
        """An independent copy."""
        return replace(self, losses=list(self.losses), held=None)


class Stepper:
    """The algebra of one iteration for a given problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.root = np.linalg.cholesky(problem.metric).T
        self.sizes = (problem.train.x.shape[1], problem.neurons, problem.train.v.shape[1])
        self.dense = parameter_count(*self.sizes) <= DENSE_PARAMETERS
        self.equations = DenseEquations if self.dense else IterativeEquations

    def network(self, theta: np.ndarray) -> ExplicitREN:
        """The network of a weight vector."""
        return unpack(theta, *self.sizes, self.problem.activation)

    def loss(self, network: ExplicitREN) -> float:
        """f of a network over the training transitions."""
        train = self.problem.train
        scaled = residual(network, train) @ self.root.T
        squares = np.einsum("kc,kc->k", scaled, scaled)
        return 0.5 * float(np.mean(squares if train.weights is None else train.weights * squares))

    def new_run(self, inputs: int, number: int) -> Run:
        """The start of the problem whose neurons are drawn by the seed and ``number``."""
        problem = self.problem
        network, multipliers = start_network(problem, inputs, number)
        return Run(number, pack(network), multipliers, self.loss(network))

    def _prepare(self, run: Run) -> tuple | None:
        """Derivatives at the current point, kept over refused steps; None when they are not finite."""
        if run.held is None:
            network = self.network(run.theta)
            factored = barrier.factor(network, self.problem.metric, run.multipliers, self.problem.rate)
            if factored is None:
                return None
            equations = self.equations(self.problem, network, run.multipliers, self.root, factored[1])
            if not equations.finite:
                return None
            run.held = (equations, factored)
        return run.held

    def step(self, run: Run) -> bool:
        """One trial step; returns whether it was accepted. An interruption leaves ``run`` as it was."""
        metric, rate = self.problem.metric, self.problem.rate
        prepared = self._prepare(run)
        if prepared is None:
            run.iteration, run.done = run.iteration + 1, "non_finite"
            return False
        equations, (q, lower) = prepared
        f = run.loss
        mu = BARRIER * f
        right = -equations.gradient
        right[: equations.constrained] += mu * equations.slope
        move = equations.solve(run.damping * f + mu, right)
        damping, accepted = run.damping * REFUSED, False
        theta, multipliers, loss = run.theta, run.multipliers, f
        if np.isfinite(move).all():
            change = barrier.certificate_matrix(self.network(run.theta + move), metric, run.multipliers, rate) - q
            move = move * barrier.longest_step(lower, change)
            stepped = self.network(run.theta + move)
            network = refit_linear_part(stepped, self.problem.train, metric, run.multipliers, rate, mu)
            trial = np.inf if network is None else self.loss(network)
            if network is None or not trial < f:
                network, trial = stepped, self.loss(stepped)
            if np.isfinite(trial) and trial < f and barrier.factor(network, metric, run.multipliers, rate) is not None:
                expected = -(equations.gradient @ move + 0.5 * equations.quadratic(move))
                ratio = (f - trial) / expected if expected > 0 else 0.0
                damping = run.damping * (SHRINK if ratio > 0.7 else (1.0 if ratio > 0.25 else GROW))
                multipliers = barrier.centre_multipliers(network, metric, run.multipliers, rate)
                theta, loss, accepted = pack(network), trial, True
        run.theta, run.multipliers, run.loss = theta, multipliers, loss
        run.damping = float(np.clip(damping, 1e-12, 1e12))
        run.iteration, run.refused = run.iteration + 1, 0 if accepted else run.refused + 1
        if accepted:
            run.held = None
        run.losses.append(run.loss)
        if run.refused > MOST_REFUSALS:
            run.done = "stalled"
        if len(run.losses) > WINDOW and run.loss > STALL * run.losses[-WINDOW - 1]:
            run.done = run.done or "converged"
        if run.loss < FLOOR:
            run.done = "converged"
        return accepted
