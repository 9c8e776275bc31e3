"""A recurrent network over many steps in torch, differentiable: the explicit matrices once, then only the loop."""

import math
from typing import Any

import torch

from observer.networks.activations import get_activation
from observer.networks.kernels.equilibrium import solve_equilibrium
from observer.networks.kernels.fused_unroll import UnrolledDeep, UnrolledREN, fits
from observer.networks.r2dn import ExplicitR2DN
from observer.networks.ren.explicit import ExplicitREN
from observer.networks.ren.implicit import ExplicitImplicitREN
from observer.networks.ren.splitting import solve_implicit
from observer.networks.shapes import check_shape
from systems.base.errors import InputError


def unroll(explicit: Any, x0: torch.Tensor, u: torch.Tensor, kernel: str = "auto") -> tuple[torch.Tensor, torch.Tensor]:
    """(x (..., N + 1, nx), y (..., N, ny)) with x[0] = x0 and (x[k+1], y[k]) = step(x[k], u[k]), N steps.

    ``explicit``: of a REN, an implicit REN or an R2DN, in torch tensors. x0 (..., nx), u (..., N, nu), with the same
    leading axes; N may be 0. The same numbers as the loop over ``explicit.step``, to rounding, and differentiable.

    ``kernel``: "fused" takes all steps in one operation with a backward pass of its own (``fused_unroll``), differentiable
    once, in main memory or on a GPU; "loop" takes one step after the other, recorded by torch, on any device and for implicit RENs. "auto"
    takes the fused one where it can. Second derivatives: a loop over ``explicit.step(x, u, kernel="reference")``. For NumPy,
    without gradients, see the compiled ``observer.networks.ren.rollout``.

    Errors: InputError for wrong shapes, a network that is not recurrent, or a kernel that cannot take it.
    """
    matrices = explicit.matrices if isinstance(explicit, ExplicitImplicitREN) else explicit
    if not isinstance(matrices, ExplicitREN | ExplicitR2DN):
        raise InputError(f"got a {type(explicit).__name__}; expected the explicit() of a REN or of an R2DN")
    if kernel not in ("auto", "fused", "loop"):
        raise InputError(f"unroll kernel {kernel!r} is not known; expected auto, fused or loop")
    if u.ndim < 2:
        raise InputError(f"u has shape {tuple(u.shape)}; expected (..., N, nu), one row per step")
    batch, steps = u.shape[:-2], u.shape[-2]
    check_shape("x0", x0, (*batch, matrices.nx), "(..., nx)")
    check_shape("u", u, (*batch, steps, matrices.nu), "(..., N, nu)")
    size = math.prod(batch)
    x0, u = x0.reshape(size, matrices.nx), u.reshape(size, steps, matrices.nu)
    able = _can_fuse(explicit, x0, u)
    if kernel == "fused" and not able:
        raise InputError(
            "unroll kernel 'fused' takes a REN, or an R2DN with a hidden layer, of one dtype, float32 or float64,"
            " in main memory or on one GPU; use kernel='auto'"
        )
    x, y = (_fused if able and kernel != "loop" else _loop)(explicit, matrices, x0, u)
    return x.reshape(*batch, steps + 1, matrices.nx), y.reshape(*batch, steps, matrices.ny)


def _can_fuse(explicit: Any, x0: torch.Tensor, u: torch.Tensor) -> bool:
    if isinstance(explicit, ExplicitREN):
        deep = explicit.nv > 0
    else:
        deep = isinstance(explicit, ExplicitR2DN) and len(explicit.inner.matrices) > 1
    return deep and len(x0) > 0 and u.shape[1] > 0 and fits(x0, u, *explicit.weights().values())


def _fused(explicit: Any, m: Any, x0: torch.Tensor, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """x (batch, N + 1, nx) and y (batch, N, ny) by one operation."""
    x0, u = x0.T, u.permute(2, 1, 0)
    if isinstance(explicit, ExplicitR2DN):
        (first, *inner, last), (first_bias, *inner_biases, last_bias) = explicit.inner.matrices, explicit.inner.biases
        F, E = torch.cat((first @ m.C1, m.A)), torch.cat((first @ m.D12, m.B2))
        b = torch.cat((first @ m.bv + first_bias, m.bx + m.B1 @ last_bias))
        layers = [value for pair in zip(inner, inner_biases, strict=True) for value in pair]
        x, w = UnrolledDeep.apply(x0, u, F, E, b, m.B1 @ last, explicit.inner.activation, *layers)
        D21, by = m.D21 @ last, m.by + m.D21 @ last_bias
    else:
        F, E, b = torch.cat((m.C1, m.A)), torch.cat((m.D12, m.B2)), torch.cat((m.bv, m.bx))
        x, w = UnrolledREN.apply(x0, u, F, E, b, m.D11, m.B1, get_activation(m.activation).code)
        D21, by = m.D21, m.by
    y = torch.matmul(m.C2, x[:-1]) + torch.matmul(D21, w) + torch.matmul(m.D22, u.transpose(0, 1)) + by[:, None]
    return x.permute(2, 0, 1), y.permute(2, 0, 1)


def _loop(explicit: Any, m: Any, x: torch.Tensor, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """x (batch, N + 1, nx) and y (batch, N, ny) step by step.

    All that does not wait for the state is taken out of the loop: D12 u + bv and B2 u + bx are one product for all
    steps, y another at the end, and a step is [C1; A] x, the neurons, and B1 w.
    """
    size, steps = u.shape[:2]
    inputs = u.transpose(0, 1)  # steps first: a step is one block of memory
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
    return x.transpose(0, 1), y.transpose(0, 1)


def _neurons(explicit: Any, v: torch.Tensor) -> torch.Tensor:
    """w for v without its part D11 w."""
    if isinstance(explicit, ExplicitR2DN):
        return explicit.inner(v)
    if isinstance(explicit, ExplicitImplicitREN):
        return solve_implicit(explicit.matrices.D11, v, explicit.matrices.activation, explicit.tolerance)
    return solve_equilibrium(explicit.D11, v, explicit.activation)
