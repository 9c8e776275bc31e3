"""One iteration of interior-point Gauss-Newton on the explicit weights, at fixed metric (MATH 3, steps 4-8).

    minimise   f(theta) - mu logdet Q(theta),      mu = 0.1 f

    (J'J/m + (lam f + mu) N  [constrained weights] + 0.01 (lam f + mu) I  [free weights]) d = -(grad f - mu grad logdet Q)

with N the Hessian of -logdet Q. The barrier's curvature is both the damping that keeps a step inside the certificate and
what separates the collinear columns of x and y = h(x). Steps that would leave Q > 0 are shortened; after a step the linear
weights are solved anew (:mod:`observer.fitting.linear_algebra.linear_part`); what does not lower f is refused.
Last the multipliers are centred.
"""

from dataclasses import replace

import numpy as np

from observer.fitting.initial.networks import initial_network
from observer.fitting.linear_algebra import barrier
from observer.fitting.linear_algebra.conjugate_gradients import IterativeEquations
from observer.fitting.linear_algebra.least_squares import pack, parameter_count, residual, unpack
from observer.fitting.linear_algebra.linear_part import refit_linear_part
from observer.fitting.linear_algebra.normal_equations import DenseEquations
from observer.fitting.problem import Problem
from observer.fitting.solvers.damping import DampingRule, Point
from observer.networks.ren.explicit import ExplicitREN

DENSE_PARAMETERS = 3000  # above, steps are solved by conjugate gradients
BARRIER = 0.1  # mu / f: small enough not to be seen in the fit, large enough to stay off the boundary while there is far to go
RULE = DampingRule()


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

    def point(self, network: ExplicitREN, multipliers: np.ndarray) -> Point:
        """A network as a point to begin from."""
        return Point(pack(network), self.problem.metric, multipliers, self.loss(network))

    def initial_point(self, number: int = 0) -> Point:
        """The initial network of the problem, whose neurons are drawn by the seed and ``number``."""
        return self.point(*initial_network(self.problem, number))

    def certified(self, point: Point) -> tuple[ExplicitREN, np.ndarray, np.ndarray]:
        """The network with its metric and multipliers."""
        return self.network(point.theta), point.metric, point.multipliers

    def _derivatives(self, point: Point) -> tuple | None:
        """(normal equations, (Q, its factor)) at the point; None where they are not finite."""
        if point.derivatives is not None:
            return point.derivatives
        network = self.network(point.theta)
        factored = barrier.factor(network, point.metric, point.multipliers, self.problem.rate)
        if factored is None:
            return None
        equations = self.equations(self.problem, network, point.multipliers, self.root, factored[1])
        return (equations, factored) if equations.finite else None

    def step(self, point: Point) -> Point:
        """One trial step, accepted or refused."""
        metric, multipliers, rate = point.metric, point.multipliers, self.problem.rate
        point = replace(point, derivatives=self._derivatives(point))
        if point.derivatives is None:
            return point.non_finite()
        equations, (q, lower) = point.derivatives
        f = point.loss
        mu = BARRIER * f
        right = -equations.gradient
        right[: equations.constrained] += mu * equations.slope
        move = equations.solve(point.damping * f + mu, right)
        if not np.isfinite(move).all():
            return point.refuse(RULE).judged()
        change = barrier.certificate_matrix(self.network(point.theta + move), metric, multipliers, rate) - q
        move = move * barrier.longest_step(lower, change)
        stepped = self.network(point.theta + move)
        network = refit_linear_part(stepped, self.problem.train, metric, multipliers, rate, mu)
        loss = np.inf if network is None else self.loss(network)
        if network is None or not loss < f:
            network, loss = stepped, self.loss(stepped)
        if not loss < f or barrier.factor(network, metric, multipliers, rate) is None:
            return point.refuse(RULE).judged()
        predicted = -(equations.gradient @ move + 0.5 * equations.quadratic(move))
        damping = RULE.accepted(point.damping, f - loss, predicted)
        multipliers = barrier.centre_multipliers(network, metric, multipliers, rate)
        return point.accept(damping, pack(network), metric, multipliers, loss).judged()
