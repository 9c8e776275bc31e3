"""One Gauss-Newton step inside the barrier, as dense linear algebra (up to some 3000 weights).

    (J'J/m + w N  [constrained weights] + 0.01 w I  [free weights]) d = right

N is the Hessian of -logdet Q (:mod:`observer.fitting.linear_algebra.barrier`); w is the damping.
"""

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from observer.fitting.linear_algebra import barrier
from observer.fitting.linear_algebra.least_squares import constrained
from observer.fitting.linear_algebra.structured import normal_system
from observer.fitting.problem import Problem
from observer.networks.ren.explicit import ExplicitREN

RIDGE = 0.01


class DenseEquations:
    """Normal equations at one network: ``gradient`` of f and ``slope`` of logdet Q (constrained weights only)."""

    def __init__(
        self, problem: Problem, network: ExplicitREN, multipliers: np.ndarray, root: np.ndarray, lower: np.ndarray
    ) -> None:
        r, gradient, hessian = normal_system(network, problem.train, root)
        m = len(problem.train)
        self.finite = bool(np.isfinite(r).all() and np.isfinite(hessian).all())
        self.gradient = gradient / m
        hessian /= m
        self.hessian = hessian
        a, b = barrier.directions(problem.metric, multipliers)
        self.slope, self.curvature = barrier.derivatives(lower, a, b)
        self.constrained = constrained(network.nx, network.nv)

    def solve(self, weight: float, right: np.ndarray) -> np.ndarray:
        """The step for damping ``weight``; nan where the matrix is not numerically positive definite."""
        k = self.constrained
        matrix = self.hessian.copy()
        matrix[:k, :k] += weight * self.curvature
        free = np.arange(k, len(matrix))
        matrix[free, free] += RIDGE * weight
        try:
            return cho_solve(cho_factor(matrix, check_finite=False), right, check_finite=False)
        except np.linalg.LinAlgError:
            return np.full(len(right), np.nan)

    def quadratic(self, move: np.ndarray) -> float:
        """move' (J'J/m) move."""
        return float(move @ self.hessian @ move)
