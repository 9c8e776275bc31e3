"""The compiled CPU kernels as a differentiable torch operation."""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from observer.networks.activations import Activation
from observer.networks.equilibrium import cpu


class _Equilibrium(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, D11: torch.Tensor, b: torch.Tensor, code: int) -> torch.Tensor:
        w = torch.from_numpy(cpu.forward(D11.detach().numpy(), b.detach().numpy(), code))
        ctx.save_for_backward(D11, w)
        ctx.code = code
        return w

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        D11, w = ctx.saved_tensors
        delta = torch.from_numpy(cpu.backward(D11.detach().numpy(), w.numpy(), gradients[0].numpy(), ctx.code))
        return (delta.T @ w).tril(-1) if ctx.needs_input_grad[0] else None, delta, None


def solve_cpu_torch(D11: torch.Tensor, b: torch.Tensor, activation: Activation) -> torch.Tensor:
    """w (..., nv) for CPU tensors of one dtype, float32 or float64; differentiable once in D11 and b."""
    return _Equilibrium.apply(D11, b.reshape(-1, b.shape[-1]), activation.code).reshape(b.shape)
