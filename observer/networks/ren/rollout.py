"""A REN over a whole input sequence: for long simulations, at the price of one call."""

import math
from typing import Any

import numpy as np

from observer.networks.activations import get_activation
from observer.networks.ren.explicit import ExplicitREN
from observer.networks.shapes import check_shape
from systems.base.errors import InputError


def rollout(explicit: ExplicitREN, x0: Any, u: Any) -> tuple[np.ndarray, np.ndarray]:
    """(x (..., N + 1, nx), y (..., N, ny)) with x[0] = x0 and (x[k+1], y[k]) = step(x[k], u[k]), N steps.

    x0 (..., nx), u (..., N, nu); leading axes are batched and broadcast against each other, N may be 0. The result is
    in the precision of the weights (float32 or float64) and agrees with the loop over ``explicit.step`` to rounding.
    The weights are laid out once for all steps: build ``explicit`` from direct parameters once, not per step.

    Errors: InputError for wrong shapes, or weights that are neither float32 nor float64.
    """
    if not isinstance(explicit.A, np.ndarray):
        explicit = explicit.to_numpy(str(explicit.A.dtype).removeprefix("torch."))
    dtype = explicit.A.dtype
    if dtype not in (np.float32, np.float64):
        raise InputError(f"the weights are of type {dtype}; expected float32 or float64: use to_numpy()")
    x0, u = np.asarray(x0, dtype), np.asarray(u, dtype)
    if u.ndim < 2:
        raise InputError(f"u has shape {u.shape}; expected (..., N, nu), one row per step")
    check_shape("x0", x0, (*x0.shape[:-1], explicit.nx), "(..., nx)")
    check_shape("u", u, (*u.shape[:-1], explicit.nu), "(..., N, nu)")
    batch = np.broadcast_shapes(x0.shape[:-1], u.shape[:-2])
    steps = u.shape[-2]
    from observer.networks.kernels.equilibrium.cpu_rollout import rollout_arrays

    x, y = rollout_arrays(
        np.concatenate((explicit.C1, explicit.A, explicit.C2)).T,
        np.concatenate((explicit.D12, explicit.B2, explicit.D22)).T,
        explicit.D11,
        np.concatenate((explicit.B1, explicit.D21)).T,
        np.concatenate((explicit.bv, explicit.bx, explicit.by)),
        np.broadcast_to(x0, (*batch, explicit.nx)).reshape(math.prod(batch), explicit.nx),
        np.broadcast_to(u, (*batch, *u.shape[-2:])).reshape(math.prod(batch), steps, explicit.nu),
        get_activation(explicit.activation).code,
    )
    return x.reshape(*batch, steps + 1, explicit.nx), y.reshape(*batch, steps, explicit.ny)
