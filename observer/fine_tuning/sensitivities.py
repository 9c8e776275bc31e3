"""The multi-step residual and its derivatives in the explicit weights, by the sensitivity recursion.

    e[k] = x_hat[k] - x[k],   f = 1/2 mean |e[k]|^2,      S[k] = d x_hat[k] / d theta,   S[0] = 0

    S[k+1] = (df_o/dx + df_o/dy H) S[k] + df_o/dtheta,       H = dh/dx where y[k] is missing and h(x_hat, u) stands in

The partial derivatives of one step are those of :mod:`observer.fitting.linear_algebra.least_squares`; with G_i = d x+ / d v_i,

    df_o/dx = A + sum_i G_i C1_i,      df_o/d(input) = B2 + sum_i G_i D12_i
"""

import numpy as np

from observer.fine_tuning.rollouts import Rollouts
from observer.fitting.linear_algebra.least_squares import parameter_count, residual_and_jacobian
from observer.fitting.problem import Samples
from observer.networks.ren.explicit import ExplicitREN

BLOCK = 6_000_000  # numbers of one block of sensitivities: 48 MB


def sensitivities(network: ExplicitREN, rollouts: Rollouts) -> tuple[np.ndarray, np.ndarray]:
    """(e ``(nx, N, K)``, S ``(parameters, nx, N, K)``) of x_hat[1..N]."""
    x_hat, v = rollouts.estimates(network)
    trials, steps = v.shape[:2]
    n, q = network.nx, network.nv

    def flat(values: np.ndarray) -> np.ndarray:  # time first, so that one step of all trajectories lies together
        return np.ascontiguousarray(np.swapaxes(values, 0, 1)).reshape(trials * steps, values.shape[2])

    now = Samples(flat(x_hat[:, :-1]), flat(v), flat(x_hat[:, 1:]))
    _, jacobian = residual_and_jacobian(network, now, np.eye(n))
    effect = jacobian[len(jacobian) - q :].reshape(q, n, trials * steps)  # the columns of bv
    slope = network.A[:, :, None] + np.tensordot(network.C1, effect, axes=(0, 0)).transpose(1, 0, 2)
    missing = np.isnan(flat(rollouts.v)[:, rollouts.outputs])
    gone = np.flatnonzero(missing.any(axis=1))
    if len(gone):
        through = network.B2[:, :, None] + np.tensordot(network.D12, effect[:, :, gone], axes=(0, 0)).transpose(1, 0, 2)
        h = rollouts.expected_slope(now.x[gone], flat(rollouts.u)[gone]) * missing[gone][:, :, None]
        slope[:, :, gone] += np.einsum("iym,myj->ijm", through[:, rollouts.outputs], h)
    s = jacobian.reshape(len(jacobian), n, steps, trials)
    slope = slope.reshape(n, n, steps, trials)
    for k in range(1, steps):
        for i in range(n):
            for j in range(n):
                s[:, i, k] += slope[i, j, k] * s[:, j, k - 1]
    e = np.transpose(x_hat[:, 1:] - rollouts.x[:, 1:], (2, 1, 0))
    return e, s


def normal_equations(network: ExplicitREN, rollouts: Rollouts, thin: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Gradient ``(p,)`` of f and its Gauss-Newton matrix ``(p, p)``, the latter from every ``thin``-th sample.

    Neighbouring samples of an estimate are much alike: the curvature needs only some of them, the gradient needs all.
    """
    trials, steps = rollouts.v.shape[:2]
    size = parameter_count(network.nx, network.nv, network.nu)
    block = max(1, BLOCK // (size * network.nx * steps))
    gradient, hessian = np.zeros(size), np.zeros((size, size))
    rows = 0
    for first in range(0, trials, block):
        part = rollouts.subset(slice(first, first + block))
        e, s = sensitivities(network, part)
        e, s = e[:, rollouts.skip :], s[:, :, rollouts.skip :]
        gradient += s.reshape(size, -1) @ e.reshape(-1)
        few = s[:, :, thin - 1 :: thin].reshape(size, -1)
        hessian += few @ few.T
        rows += few.shape[1] // network.nx
    return gradient / (trials * (steps - rollouts.skip)), hessian / rows
