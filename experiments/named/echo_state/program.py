"""Youla parameters with fixed dynamics and a free output layer, and the convex program that finds it.

    z = T0 d + T1 u,   y~ = T2 d,   u = Q(y~) = theta' phi(y~)         T0 = T1 = -T2 = T = 0.3 / (q^2 - 2 rho cos(a) q + rho^2)

with rho = 0.8, a = 0.2 pi. T is stable, so that every stable Q gives a stable closed loop (Youla), and z is affine in theta:

    minimise  |z|_1 + 1e-4 (|u|_2^2 + |theta|_2)   subject to   -5 <= u <= 5

over the samples of one disturbance. Source: Revay, Wang, Manchester (arXiv 2104.05942), section IX; here |z|_1 is the mean
over the samples times their number, as there.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from systems.base.errors import InputError

RADIUS, ANGLE, GAIN = 0.8, 0.2 * math.pi, 0.3
LIMIT, WEIGHT, HOLD, REACH = 5.0, 1e-4, 50, 10.0
REST = 1000  # samples after which a contracting network without input has come to rest
STATIC = GAIN / (1 - 2 * RADIUS * math.cos(ANGLE) + RADIUS**2)  # gain of T at rest

Features = Callable[[np.ndarray], np.ndarray]


def response(signal: np.ndarray) -> np.ndarray:
    """T applied along the last axis, from rest."""
    from scipy.signal import lfilter

    return np.asarray(lfilter([0.0, 0.0, GAIN], [1.0, -2 * RADIUS * math.cos(ANGLE), RADIUS**2], signal))


def steps(count: int, reach: float, seed: int) -> np.ndarray:
    """A disturbance: ``count`` levels uniform in [-reach, reach], each held for 50 samples."""
    return np.repeat(np.random.default_rng(seed).uniform(-reach, reach, count), HOLD)


def pairs(levels: int, reach: float) -> np.ndarray:
    """A disturbance that goes from each of ``levels`` even levels in [-reach, reach] to each (also to itself), once.

    Within 50 samples T and Q forget nearly all but the last two levels, so that these are all disturbances of held levels,
    up to what lies between the grid. The order: de Bruijn's, the Lyndon words of length one and two in turn.
    """
    order = [k for first in range(levels) for k in (first, *(k for j in range(first + 1, levels) for k in (first, j)))]
    return np.repeat(np.linspace(-reach, reach, levels)[[*order, 0]], HOLD)


def squares(amplitudes: Any) -> np.ndarray:
    """A disturbance: for each amplitude a, a for 50 samples, -a for 50, and rest for 50."""
    return np.repeat([level for a in amplitudes for level in (a, -a, 0.0)], HOLD)


def finite_impulse(taps: int) -> Features:
    """phi = (y~[k], y~[k-1], ..., 1): every stable linear Q, up to what it remembers beyond ``taps`` samples."""

    def features(y: np.ndarray) -> np.ndarray:
        shifted = [np.concatenate([np.zeros(k), y[: len(y) - k]]) for k in range(taps)]
        return np.stack([*shifted, np.ones_like(y)], axis=1)

    return features


def echo_state(network: Any) -> Features:
    """phi = (x, w, y~, 1) of a contracting REN that is run on y~ from its rest under y~ = 0; its own output is not used."""
    from observer.networks.ren.rollout import rollout

    explicit = network.explicit().to_numpy()
    nx, nv, nu = explicit.nx, explicit.nv, explicit.nu
    ny = nx + nv + nu
    seen = explicit.with_weights(
        C2=np.eye(ny, nx), D21=np.eye(ny, nv, -nx), D22=np.eye(ny, nu, -nx - nv), by=np.zeros(ny)
    )

    rest = rollout(seen, np.zeros(nx), np.zeros((REST, nu)))[0][-1]  # from x = 0 it would move before anything happens

    def features(y: np.ndarray) -> np.ndarray:
        _, outputs = rollout(seen, rest, y[:, None])
        return np.hstack([outputs, np.ones((len(y), 1))])

    return features


@dataclass(frozen=True)
class YoulaDesign:
    """theta, and how the solver ended."""

    theta: np.ndarray
    status: str
    objective: float
    seconds: float


def solver() -> Any:
    """The module cvxpy, with Clarabel beside it; InputError naming the extra where one is missing."""
    try:
        import clarabel  # noqa: F401
        import cvxpy
    except ImportError as error:
        raise InputError("this experiment needs CVXPY and Clarabel: pip install 'ren-observer[sdp]'") from error
    return cvxpy


def solve(features: Features, d: np.ndarray, limit: float = LIMIT, cuts: np.ndarray | None = None) -> YoulaDesign:
    """The theta of the program for the disturbance ``d`` (N,), by Clarabel through CVXPY.

    ``cuts`` (rows, features): further values of phi at which |u| <= limit as well.
    Errors: InputError where the extra ``sdp`` is missing, or the solver finds no solution.
    """
    cp = solver()
    z0, phi = response(d), features(-response(d))
    # In the singular vectors of the features, the program is as well conditioned as can be: with phi = U S V',
    # u = sqrt(N) U a and |theta| = sqrt(N) |S^-1 a|. Directions below rounding are left out.
    U, S, Vt = np.linalg.svd(phi, full_matrices=False)
    keep, root = S[0] * 1e-9 < S, math.sqrt(len(d))
    U, S, Vt = root * U[:, keep], S[keep] / root, Vt[keep]
    a, z, u = cp.Variable(len(S)), cp.Variable(len(d)), cp.Variable(len(d))
    constraints: list[Any] = [z == z0 + response(U.T).T @ a, u == U @ a, u <= limit, u >= -limit]
    if cuts is not None and len(cuts):
        constraints.append(cp.abs((cuts @ Vt.T / S) @ a) <= limit)
    problem = cp.Problem(
        cp.Minimize(cp.norm1(z) + WEIGHT * (cp.sum_squares(u) + cp.norm2(cp.multiply(1 / S, a)))), constraints
    )
    try:
        problem.solve(solver=cp.CLARABEL)
    except cp.SolverError as error:
        raise InputError(f"Clarabel found no solution: {error}") from error
    if a.value is None:
        raise InputError(f"Clarabel found no solution: {problem.status}")
    seconds = float(problem.solver_stats.solve_time or 0.0)
    return YoulaDesign(
        Vt.T @ (np.asarray(a.value) / S), str(problem.status), float(np.real(np.asarray(problem.value))), seconds
    )


def solve_with_cuts(
    features: Features, d: np.ndarray, more: np.ndarray, rounds: int, margin: float, report: Callable[[str], None]
) -> tuple[YoulaDesign, list[dict[str, Any]]]:
    """The program, then again with the samples of ``more`` where |u| comes out too large, until none does.

    Added are the samples where |u| peaks beyond the limit. ``margin``: share by which the limit is tightened from the second
    round on. Returns the last solution, and what each round found.
    """
    phi, cuts, course = features(-response(more)), np.zeros((0, 0)), []
    solution = solve(features, d)
    for k in range(rounds + 1):
        u = np.abs(phi @ solution.theta)
        course.append(
            {
                "largest": float(u.max()), "violated": float(np.mean(u > LIMIT * (1 + 1e-6))), "objective": solution.objective,
                "seconds": solution.seconds, "cuts": len(cuts), "status": solution.status,
            }
        )  # fmt: skip
        report(f"round {k}: |u| up to {u.max():.4f} on {len(more)} further samples, {len(cuts)} of them in the program")
        if u.max() <= LIMIT * (1 + 1e-6) or k == rounds:
            break
        peaks = np.flatnonzero((u > LIMIT * (1 - margin)) & (u > np.roll(u, 1)) & (u >= np.roll(u, -1)))
        chosen = phi[peaks]
        cuts = np.vstack([cuts, chosen]) if len(cuts) else chosen
        solution = solve(features, d, LIMIT * (1 - margin), cuts)
    return solution, course


def closed_loop(features: Features, theta: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(z, u) for a disturbance from rest."""
    u = features(-response(d)) @ theta
    return response(d) + response(u), u


def attainable(d: np.ndarray) -> np.ndarray:
    """Where z comes to rest at best for a constant disturbance: |u| <= 5 leaves T(1) (|d| - 5)."""
    return STATIC * np.sign(d) * np.maximum(np.abs(d) - LIMIT, 0.0)
