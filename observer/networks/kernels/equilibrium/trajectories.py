"""A REN over many steps of one trajectory after the other: no call, no allocation and no copy per step.

The matrices are stored column by column: a neuron that is known is at once added to all later ones, a loop that vectorises
without reordering any sum.
"""

import numpy as np

from observer.networks.kernels.equilibrium.intrinsics import flush, looked_up, restore


def rollout_kernel(from_x, from_u, D, from_w, bias, x, u, y, nx, code, table):
    """Fill x (batch, N + 1, nx) behind its row 0 and y (batch, N, ny) from u (batch, N, nu).

    One row of ``from_x`` (nx, nv + nx + ny), of ``from_u`` and of ``from_w`` (nv, nx + ny) is what one state, input or
    neuron adds to [v; x+; y] or [x+; y]; D (nv, nv) is D11'; ``bias`` is [bv; bx; by]; ``table`` that of tanh.
    """
    before = flush()
    nv, one = D.shape[0], x.dtype.type(1)
    half = x.dtype.type(0.5)
    total = np.empty_like(bias)
    for trajectory in range(x.shape[0]):
        for k in range(u.shape[1]):
            total[:] = bias
            for i in range(nx):
                value, row = x[trajectory, k, i], from_x[i]
                for j in range(total.size):
                    total[j] += value * row[j]
            for i in range(u.shape[2]):
                value, row = u[trajectory, k, i], from_u[i]
                for j in range(total.size):
                    total[j] += value * row[j]
            rest = total[nv:]
            for i in range(nv):
                v = total[i]
                if code == 0:
                    w = one - one if v < 0 else v  # nan stays nan
                elif code == 1:
                    w = looked_up(v, table)
                else:
                    w = half * looked_up(half * v, table) + half
                row = D[i]
                for j in range(i + 1, nv):
                    total[j] += w * row[j]
                row = from_w[i]
                for j in range(rest.size):
                    rest[j] += w * row[j]
            x[trajectory, k + 1] = rest[:nx]
            y[trajectory, k] = rest[nx:]
    restore(before)
