"""The equilibrium w = sigma(D11 w + b) of a full D11, by operator splitting and Newton's method.

Well posed where some diagonal Lam > 0 has 2 Lam - Lam D11 - D11'Lam > 0: then I - D11 is strongly monotone in the
metric Lam, and sigma, whose slope stays in [0, 1], is the resolvent of a monotone operator. Peaceman and Rachford's
iteration with the step tau = 1,

    x = (I + tau (I - D11))^-1 (z + tau b),   z' = 2 x - z,   w = sigma_tau(z'),   z+ = 2 w - z'

converges linearly from any initial value; for tau = 1 the resolvent sigma_tau is sigma itself. Newton's step on
w - sigma(D11 w + b) then takes over, quadratic near the solution, and is kept only where it lowers the residual.
"""

from typing import Any

import numpy as np
import torch

from observer.networks.activations import Activation, get_activation
from systems.base.errors import InputError

_SWEEPS = 8  # splitting iterations between two tries of Newton's method


@np.errstate(over="ignore", invalid="ignore")  # what runs away is answered with a sentence
def solve_numpy(
    D11: np.ndarray, b: np.ndarray, activation: str, tolerance: float = 1e-12, most: int = 1600
) -> np.ndarray:
    """w (..., nv) with |w - sigma(D11 w + b)| <= tolerance (1 + |w|) in every entry, for b (..., nv).

    Errors: InputError where ``most`` iterations do not get there: then no multiplier makes D11 well posed, or the
    tolerance is below the rounding of the weights.
    """
    sigma, nv = get_activation(activation), b.shape[-1]
    if not b.size:
        return b
    rows = b.reshape(-1, nv)
    resolvent = np.linalg.inv(2 * np.eye(nv) - D11)
    w, z, residual = np.zeros_like(rows), rows.copy(), np.full(len(rows), np.inf)
    for k in range(0, most, _SWEEPS):
        open_ = np.flatnonzero(~(residual <= tolerance))
        w[open_], z[open_] = _split(D11, rows[open_], z[open_], resolvent, sigma)
        w[open_] = _newton(D11, rows[open_], w[open_], sigma)
        residual[open_] = _residual(D11, rows[open_], w[open_], sigma)
        if (residual <= tolerance).all():
            return w.reshape(b.shape)
        if not np.isfinite(residual).all() and k > 0:
            break
    worst = residual[np.isfinite(residual)].max(initial=-np.inf)
    raise InputError(
        f"the equilibrium was not found to {tolerance:.1g}: the residual is still {worst:.3g}; expected a well-posed D11"
        " (some Lam > 0 with 2 Lam - Lam D11 - D11'Lam > 0) and finite inputs; or ask for a larger tolerance"
    )


def _split(D11: np.ndarray, b: np.ndarray, z: np.ndarray, resolvent: np.ndarray, sigma: Activation) -> Any:
    w = z
    for _ in range(_SWEEPS):
        reflected = 2 * (z + b) @ resolvent.T - z
        w = sigma(reflected)
        z = 2 * w - reflected
    return w, z


def _newton(D11: np.ndarray, b: np.ndarray, w: np.ndarray, sigma: Activation) -> np.ndarray:
    """Two Newton steps, each kept for the samples whose residual it lowers."""
    eye = np.eye(len(D11), dtype=D11.dtype)
    for _ in range(2):
        v = w @ D11.T + b
        found = sigma(v)
        slope = sigma.slope(found)
        try:
            step = np.linalg.solve(eye - slope[:, :, None] * D11, (found - w)[:, :, None])[:, :, 0]
        except np.linalg.LinAlgError:  # not well posed: the splitting alone will show it
            return w
        better = _residual(D11, b, w + step, sigma) < _residual(D11, b, w, sigma)
        w = np.where(better[:, None], w + step, w)
    return w


def _residual(D11: np.ndarray, b: np.ndarray, w: np.ndarray, sigma: Activation) -> np.ndarray:
    return (np.abs(w - sigma(w @ D11.T + b)) / (1 + np.abs(w))).max(axis=1)


class ImplicitEquilibrium(torch.autograd.Function):
    """w of D11 (nv, nv) and b (..., nv) with the gradient of the implicit function theorem.

    dw = (I - S D11)^-1 S (dD11 w + db),  S = diag(sigma'):  with g = dL/dw and delta = S (I - D11'S)^-1 g

        dL/db = delta,   dL/dD11 = sum of delta w'

    No iteration is recorded, and none is repeated backwards: one linear system per sample. Differentiable once.
    """

    @staticmethod
    def forward(ctx: Any, D11: torch.Tensor, b: torch.Tensor, activation: str, tolerance: float) -> torch.Tensor:
        found = solve_numpy(D11.detach().cpu().numpy(), b.detach().cpu().numpy(), activation, tolerance)
        w = torch.from_numpy(np.ascontiguousarray(found)).to(b)
        ctx.save_for_backward(D11, w)
        ctx.activation = activation
        return w

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        D11, w = ctx.saved_tensors
        nv = len(D11)
        rows, g = w.reshape(-1, nv), gradients[0].reshape(-1, nv)
        slope = get_activation(ctx.activation).slope(rows)
        eye = torch.eye(nv, dtype=D11.dtype, device=D11.device)
        delta = slope * torch.linalg.solve(eye - D11.T * slope[:, None, :], g[:, :, None])[:, :, 0]
        return delta.T @ rows, delta.reshape(w.shape), None, None


def solve_implicit(D11: Any, b: Any, activation: str, tolerance: float) -> Any:
    """w (..., nv) of w = sigma(D11 w + b), NumPy arrays or torch tensors."""
    if isinstance(b, np.ndarray):
        return solve_numpy(D11, b, activation, tolerance)
    return ImplicitEquilibrium.apply(D11, b, activation, tolerance)
