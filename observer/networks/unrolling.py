"""A recurrent network over many steps in torch, differentiable: the explicit matrices once, then only the loop."""

import math
from typing import Any

import torch

from observer.networks.equilibrium import solve_equilibrium
from observer.networks.explicit import ExplicitREN
from observer.networks.implicit import ExplicitImplicitREN
from observer.networks.r2dn import ExplicitR2DN
from observer.networks.shapes import check_shape
from observer.networks.splitting import solve_implicit
from systems.errors import InputError


def unroll(explicit: Any, x0: torch.Tensor, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(x (..., N + 1, nx), y (..., N, ny)) with x[0] = x0 and (x[k+1], y[k]) = step(x[k], u[k]), N steps.

    ``explicit``: of a REN, an implicit REN or an R2DN, in torch tensors. x0 (..., nx), u (..., N, nu), with the same
    leading axes; N may be 0. The same numbers as the loop over ``explicit.step``, to rounding, and differentiable.

    All that does not wait for the state is taken out of the loop: D12 u + bv and B2 u + bx are one product for all
    steps, y another at the end, and a step is [C1; A] x, the neurons, and B1 w. For NumPy, without gradients, the
    compiled ``observer.networks.rollout`` is faster still.

    Errors: InputError for wrong shapes, or a network that is not recurrent.
    """
    matrices = explicit.matrices if isinstance(explicit, ExplicitImplicitREN) else explicit
    if not isinstance(matrices, ExplicitREN | ExplicitR2DN):
        raise InputError(f"got a {type(explicit).__name__}; expected the explicit() of a REN or of an R2DN")
    if u.ndim < 2:
        raise InputError(f"u has shape {tuple(u.shape)}; expected (..., N, nu), one row per step")
    batch, steps = u.shape[:-2], u.shape[-2]
    check_shape("x0", x0, (*batch, matrices.nx), "(..., nx)")
    check_shape("u", u, (*batch, steps, matrices.nu), "(..., N, nu)")
    size = math.prod(batch)
    x, m = x0.reshape(size, matrices.nx), matrices
    inputs = u.reshape(size, steps, m.nu).transpose(0, 1)  # steps first: a step is one block of memory
    from_u = torch.cat((m.D12, m.B2)).T
    given = (inputs.reshape(steps * size, m.nu) @ from_u + torch.cat((m.bv, m.bx))).reshape(steps, size, m.nv + m.nx)
    from_x, from_w = torch.cat((m.C1, m.A)).T, m.B1.T
    states, neurons = [x], []
    for k in range(steps):
        v, rest = torch.addmm(given[k], x, from_x).split((m.nv, m.nx), dim=1)
        w = _neurons(explicit, v)
        x = torch.addmm(rest, w, from_w)
        states.append(x)
        neurons.append(w)
    x = torch.stack(states)
    w = torch.stack(neurons) if neurons else x.new_zeros(0, size, m.nv)
    y = x[:-1] @ m.C2.T + w @ m.D21.T + inputs @ m.D22.T + m.by
    return (
        x.transpose(0, 1).reshape(*batch, steps + 1, m.nx),
        y.transpose(0, 1).reshape(*batch, steps, m.ny),
    )


def _neurons(explicit: Any, v: torch.Tensor) -> torch.Tensor:
    """w for v without its part D11 w."""
    if isinstance(explicit, ExplicitR2DN):
        return explicit.inner(v)
    if isinstance(explicit, ExplicitImplicitREN):
        return solve_implicit(explicit.matrices.D11, v, explicit.matrices.activation, explicit.tolerance)
    return solve_equilibrium(explicit.D11, v, explicit.activation)
