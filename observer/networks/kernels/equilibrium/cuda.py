"""The equilibrium layer in blocks of ordinary torch operations, on any device: the kernel for GPUs.

    V_I = b_I + D11_I,<I W_<I   (one matrix product per block),   then in the block   w_i = sigma(v_i),  v += D11_.i w_i

and backwards from the last block and row, with dL/dw in the place of b and the transposed matrix. Two launches per
neuron and one product per block, instead of a product with all previous neurons per neuron.
"""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from observer.networks.activations import Activation

_BLOCK = 32


def forward(D11: torch.Tensor, b: torch.Tensor, activation: Activation) -> torch.Tensor:
    """W (nv, batch) for b (nv, batch)."""
    nv, W = len(b), torch.empty_like(b)
    for low in range(0, nv, _BLOCK):
        high = min(nv, low + _BLOCK)
        V = torch.addmm(b[low:high], D11[low:high, :low], W[:low]) if low else b[:high].clone()
        for i in range(low, high):
            W[i] = activation(V[i - low])
            if i + 1 < high:
                V[i - low + 1 :].addr_(D11[i + 1 : high, i], W[i])
    return W


def backward(D11: torch.Tensor, W: torch.Tensor, g: torch.Tensor, activation: Activation) -> torch.Tensor:
    """dL/db (nv, batch) from W and g = dL/dW, both (nv, batch)."""
    nv, slope, delta = len(W), activation.slope(W), torch.empty_like(W)
    for low in reversed(range(0, nv, _BLOCK)):
        high = min(nv, low + _BLOCK)
        V = torch.addmm(g[low:high], D11[high:, low:high].T, delta[high:]) if high < nv else g[low:].clone()
        for i in reversed(range(low, high)):
            torch.mul(slope[i], V[i - low], out=delta[i])
            if i > low:
                V[: i - low].addr_(D11[i, low:i], delta[i])
    return delta


class _Blocked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, D11: torch.Tensor, b: torch.Tensor, activation: Activation) -> torch.Tensor:
        W = forward(D11.detach(), b.detach().T.contiguous(), activation)
        ctx.save_for_backward(D11, W)
        ctx.activation = activation
        return W.T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        D11, W = ctx.saved_tensors
        delta = backward(D11, W, gradients[0].T.contiguous(), ctx.activation)
        return (delta @ W.T).tril(-1) if ctx.needs_input_grad[0] else None, delta.T, None


def solve_blocked_torch(D11: torch.Tensor, b: torch.Tensor, activation: Activation) -> torch.Tensor:
    """w (..., nv) for tensors on one device, of one dtype; differentiable once in D11 and b."""
    return _Blocked.apply(D11, b.reshape(-1, b.shape[-1]), activation).reshape(b.shape)
