"""Levenberg-Marquardt with the metric free: the certificate's factor moves along with the weights (MATH 3, step 12).

The state is a network with the metric M and multipliers that certify it. In each iteration it is written as the map of MATH 2a,
H = X'X + eps I, and H moves as

    H <- X'(I + 2 Xi)X + eps I,   Xi symmetric,  I + 2 Xi > 0;      B2, D12, bx, bv move freely

so that every step is feasible and |Xi| is how much it changes H relative to H. With T = d(A, B1, C1, D11)/d Xi at Xi = 0,

    (T'J'J T/m + lam f I  [Xi] + 0.01 lam f I  [free]) d = -T' grad f

After the step the linear weights are solved anew at the metric reached (:mod:`observer.fitting.linear_algebra.linear_part`).
Where the initial metric is too narrow, this finds another; where it is good, :mod:`observer.fitting.solvers.gauss_newton` is faster.
"""

from dataclasses import replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from observer.fitting.linear_algebra import barrier
from observer.fitting.linear_algebra.least_squares import constrained, pack
from observer.fitting.linear_algebra.linear_part import refit_linear_part
from observer.fitting.linear_algebra.normal_equations import RIDGE
from observer.fitting.linear_algebra.structured import normal_system
from observer.fitting.problem import Problem
from observer.fitting.result import Status
from observer.fitting.solvers.damping import DampingRule, Point
from observer.fitting.solvers.interior_point import BARRIER, Stepper
from observer.fitting.solvers.loop import Look, Monitor, drive
from observer.fitting.solvers.solver import Solution, ended, look_at, look_is_due, problem_key
from observer.networks.ren.direct_map import DirectMap
from systems.base.errors import InputError

ITERATIONS = 300
LARGEST = 5000  # unknowns of the certificate's factor
EPS = 1e-9  # of the direct parameters, as they are shipped
RULE = DampingRule()


def levenberg_marquardt(problem: Problem, monitor: Monitor) -> Solution:
    """From the initial network; ``monitor.iterations`` trial steps at most. Deterministic; resumes exactly."""
    n, q = problem.train.x.shape[1], problem.neurons
    unknowns = (2 * n + q) * (2 * n + q + 1) // 2
    if unknowns > LARGEST:
        raise InputError(
            f"solver levenberg_marquardt solves dense equations in {unknowns} unknowns for {n} states and {q} neurons; "
            f"expected at most {LARGEST}: use gauss_newton, or fewer neurons"
        )
    method = _Method(problem, monitor)
    point, status = drive(method, monitor)
    return Solution(*method.stepper.certified(point), status, point.iteration)


class _Method:
    name, kind = "levenberg_marquardt", Point

    def __init__(self, problem: Problem, monitor: Monitor) -> None:
        self.stepper, self.limits, self.key = Stepper(problem), monitor.limits, problem_key(problem)

    def initial(self) -> Point:
        return self.stepper.initial_point()

    def finished(self, point: Point) -> Status | None:
        return ended(point, self.limits.iterations)

    def step(self, point: Point) -> Point:
        return _step(self.stepper, point)

    def look(self, point: Point) -> Look | None:
        total = self.limits.iterations
        if not look_is_due(point, total):
            return None
        return look_at(
            self.stepper.problem, self.limits, self.stepper.certified(point), "levenberg-marquardt", point.iteration,
            total, point.damping,
        )  # fmt: skip


def blocks(H: np.ndarray, rate: float, n: int, q: int) -> tuple[np.ndarray, ...]:
    """E, F, B1~, C1~, Lam, D11~ of H ``(..., 2n + q, 2n + q)``, linear in it (MATH 2a with Y1 = 0)."""
    h, v, p = slice(0, n), slice(n, n + q), slice(n + q, 2 * n + q)
    E = (H[..., h, h] + H[..., p, p] / rate**2) / 2
    middle = H[..., v, v]
    return (
        E,
        H[..., p, h],
        H[..., p, v],
        -H[..., v, h],
        np.diagonal(middle, axis1=-2, axis2=-1) / 2,
        -np.tril(middle, -1),
    )


def tangent(X: np.ndarray, rate: float, n: int, q: int) -> np.ndarray:
    """d(A, B1, C1, D11)/d Xi ``(constrained weights, s (s + 1)/2)``, s = 2n + q, for H <- X'(I + 2 Xi)X + eps I."""
    E, F, B, C, lam, D = blocks(X.T @ X + EPS * np.eye(len(X)), rate, n, q)
    a, b = np.triu_indices(len(X))
    # Off the diagonal Xi_ab = Xi_ba = 1/sqrt(2), so that |Xi|_F is the Euclidean norm of the unknowns.
    scale = np.where(a == b, 1.0, np.sqrt(2))[:, None, None]  # H moves by 2 X'Xi X
    dH = scale * X[a][:, :, None] * X[b][:, None, :]
    dE, dF, dB, dC, dlam, dD = blocks(dH + dH.transpose(0, 2, 1), rate, n, q)
    A, B1 = np.linalg.solve(E, F), np.linalg.solve(E, B)
    C1, D11 = C / lam[:, None], D / lam[:, None]
    dA, dB1 = np.linalg.solve(E, dF - dE @ A), np.linalg.solve(E, dB - dE @ B1)
    dC1, dD11 = (dC - dlam[:, :, None] * C1) / lam[:, None], (dD - dlam[:, :, None] * D11) / lam[:, None]
    rows, columns = np.tril_indices(q, -1)
    count = len(a)
    return np.concatenate(
        [dA.reshape(count, -1), dB1.reshape(count, -1), dC1.reshape(count, -1), dD11[:, rows, columns]], axis=1
    ).T


def _derivatives(stepper: Stepper, point: Point) -> tuple | None:
    """(X, tangent, gradient, Hessian) at the point; None where they are not finite."""
    if point.derivatives is not None:
        return point.derivatives
    problem, network = stepper.problem, stepper.network(point.theta)
    n, q, _ = stepper.sizes
    m = len(problem.train)
    r, gradient, hessian = normal_system(network, problem.train, stepper.root)
    if not (np.isfinite(r).all() and np.isfinite(hessian).all()):
        return None
    try:
        X = DirectMap(problem.rate, polar=False, eps=EPS).direct(network, point.metric, point.multipliers)["X"]
    except (ValueError, np.linalg.LinAlgError):
        return None
    k, T = constrained(n, q), tangent(X, problem.rate, n, q)
    half = T.T @ hessian[:k]
    full = np.block([[half[:, :k] @ T, half[:, k:]], [half[:, k:].T, hessian[k:, k:]]]) / m
    return X, T, np.concatenate([T.T @ gradient[:k], gradient[k:]]) / m, full


def _step(stepper: Stepper, point: Point) -> Point:
    """One trial step, accepted or refused."""
    point = replace(point, derivatives=_derivatives(stepper, point))
    if point.derivatives is None:
        return point.non_finite()
    X, T, gradient, hessian = point.derivatives
    f, moving = point.loss, T.shape[1]
    matrix = hessian.copy()
    matrix[np.diag_indices_from(matrix)] += point.damping * f * np.where(np.arange(len(matrix)) < moving, 1.0, RIDGE)
    try:
        d = -cho_solve(cho_factor(matrix, check_finite=False), gradient, check_finite=False)
    except np.linalg.LinAlgError:
        return point.refuse(RULE).judged()
    if not np.isfinite(d).all():
        return point.refuse(RULE).judged()
    a, b = np.triu_indices(len(X))
    xi = np.zeros_like(X)
    xi[a, b] = np.where(a == b, 1.0, 1 / np.sqrt(2)) * d[:moving]
    xi = xi + np.triu(xi, 1).T
    least = float(np.linalg.eigvalsh(2 * xi)[0])
    length = 1.0 if least > -0.9 else -0.9 / least
    d, xi = length * d, length * xi
    found = _trial(stepper, point, X.T @ (np.eye(len(X)) + 2 * xi) @ X + EPS * np.eye(len(X)), d[moving:])
    if found is None:
        return point.refuse(RULE).judged()
    predicted = -(gradient @ d + 0.5 * d @ hessian @ d)
    return point.accept(RULE.accepted(point.damping, f - found[3], predicted), *found).judged()


def _trial(
    stepper: Stepper, point: Point, H: np.ndarray, free: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float] | None:
    """(weights, metric, multipliers, loss) at H, with the linear weights solved anew and the multipliers centred."""
    problem = stepper.problem
    n, q, _ = stepper.sizes
    E, F, B, C, lam, D = blocks(H, problem.rate, n, q)
    try:
        A, B1 = np.linalg.solve(E, F), np.linalg.solve(E, B)
        metric = E.T @ np.linalg.solve(H[n + q :, n + q :], E)
    except np.linalg.LinAlgError:
        return None
    if not (np.isfinite(A).all() and np.isfinite(metric).all() and (lam > 0).all()):
        return None
    size = float(np.linalg.eigvalsh(metric)[-1])
    metric, lam = (metric + metric.T) / (2 * size), lam / size
    rows, columns = np.tril_indices(q, -1)
    scaled = [A, B1, C / lam[:, None] / size, (D / lam[:, None] / size)[rows, columns]]
    theta = np.concatenate([*(part.reshape(-1) for part in scaled), point.theta[constrained(n, q) :] + free])
    stepped = stepper.network(theta)
    best = refit_linear_part(
        stepped, problem.train, metric, lam, problem.rate, BARRIER * point.loss, weighting=problem.metric
    )
    for network in (best, stepped):
        loss = np.inf if network is None else stepper.loss(network)
        if network is not None and loss < point.loss and barrier.factor(network, metric, lam, problem.rate) is not None:
            return pack(network), metric, barrier.centre_multipliers(network, metric, lam, problem.rate), loss
    return None
