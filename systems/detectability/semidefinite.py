"""The metric search as semidefinite programs: bisection on alpha, with cvxpy and Clarabel (the extra ``sdp``).

    maximise s   subject to   N_k' (alpha^2 M - A_k' M A_k) N_k >= s I for each k,   I <= M <= kappa I

A positive s proves alpha; the rate that its M really has is where the bisection goes on. It checks the method of centres, and
is the more exact of the two where many Jacobians compete.
"""

import numpy as np

from systems.base.errors import InputError
from systems.detectability.jacobians import FULL_METRIC_UP_TO, rates

BISECTIONS = 30
TOLERANCE = 1e-5  # of a rate


class SemidefiniteSearch:
    """Metrics of a few Jacobians; ``metric`` is the best so far (the identity to begin with)."""

    def __init__(self, size: int, condition: float) -> None:
        try:
            import cvxpy
        except ImportError as error:
            raise InputError(
                "method 'sdp' needs cvxpy and clarabel, which are not installed; "
                "install them with `pip install ren-observer[sdp]`, or take method 'centres'"
            ) from error
        self.cvxpy, self.condition = cvxpy, condition
        self.metric = np.eye(size)

    def minimise(self, a: np.ndarray, n: np.ndarray, target: float | None) -> np.ndarray:
        """The metric with the smallest rate over these Jacobians and kernels, or one that reaches ``target``."""
        cp, size = self.cvxpy, a.shape[1]
        diagonal = size > FULL_METRIC_UP_TO
        unknown = cp.Variable(size) if diagonal else cp.Variable((size, size), symmetric=True)
        metric = cp.diag(unknown) if diagonal else unknown
        margin, squared = cp.Variable(), cp.Parameter(nonneg=True)
        eye = np.eye(size)
        constraints = [metric >> eye, metric << self.condition * eye]
        for jacobian, kernel in zip(a, n, strict=True):
            basis = kernel[:, np.any(kernel, axis=0)]  # without padding
            mapped, unit = jacobian @ basis, np.eye(basis.shape[1])
            constraints.append(squared * (basis.T @ metric @ basis) - mapped.T @ metric @ mapped >> margin * unit)
        problem = cp.Problem(cp.Maximize(margin), constraints)
        high = float(rates(self.metric, a, n)[0].max())
        low = 0.0
        for _ in range(BISECTIONS):
            if high - low <= TOLERANCE * high or (target is not None and high <= target):
                break
            trial = 0.5 * (low + high)
            squared.value = trial**2
            found = self._solved(problem, metric)
            reached = np.inf if found is None else float(rates(found, a, n)[0].max())
            if found is not None and reached < high:
                self.metric, high = found, reached
            if margin.value is None or not float(margin.value) > 0:
                low = trial
        return self.metric

    def _solved(self, problem: object, metric: object) -> np.ndarray | None:
        """The metric of a solved program, pulled inside its bounds; None where the solver gave none."""
        try:
            problem.solve(solver=self.cvxpy.CLARABEL)  # type: ignore[attr-defined]
        except self.cvxpy.error.SolverError:
            return None
        value = metric.value  # type: ignore[attr-defined]
        if value is None or not np.isfinite(value).all():
            return None
        values, vectors = np.linalg.eigh(0.5 * (value + value.T))
        return (vectors * np.clip(values, 1.0, self.condition)) @ vectors.T
