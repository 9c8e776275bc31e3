"""The compiled CPU kernels as a differentiable torch operation.

    dL/db = delta,      dL/dD11 = stril(sum over the batch of delta w')

Denormals are flushed in all that runs here, also in the matrix product: gradients that fade on their way through a
saturated or converged network would make each operation a hundred times slower.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from observer.networks.activations import Activation
from observer.networks.kernels.equilibrium import cpu
from observer.networks.kernels.equilibrium.machine import compiled

# Two pools of threads on the same cores stop one another: after each operation on several threads torch's idle ones spin
# for milliseconds. So unless torch has one thread, only work that lasts longer than that is shared out.
_PATIENCE = 1000
_STRIPE = 128  # rows of dL/dD11 per product: what lies above the diagonal is left out, stripe by stripe


@contextmanager
def without_denormals() -> Iterator[None]:
    """Treat denormals as zero on the calling thread, in torch as in compiled code; for a training loop."""
    before = compiled.flush_denormals()
    try:
        yield
    finally:
        compiled.restore_denormals(before)


def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (torch.from_numpy(left) @ torch.from_numpy(right)).numpy()


def patience() -> int:
    return 1 if torch.get_num_threads() == 1 else _PATIENCE


class _Equilibrium(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, D11: torch.Tensor, b: torch.Tensor, code: int) -> torch.Tensor:
        with without_denormals():
            found = cpu.forward(D11.detach().numpy(), b.detach().numpy(), code, product, patience())
        w = torch.from_numpy(found)
        ctx.save_for_backward(D11, w)
        ctx.code = code
        return w

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        D11, w = ctx.saved_tensors
        with without_denormals():
            found = cpu.backward(D11.detach().numpy(), w.numpy(), gradients[0].numpy(), ctx.code, product, patience())
            delta = torch.from_numpy(found)
            return gradient_of_matrix(delta, w) if ctx.needs_input_grad[0] else None, delta, None


def gradient_of_matrix(delta: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """stril(delta' w) (nv, nv) for delta, w (batch, nv)."""
    nv = w.shape[1]
    result = torch.empty((nv, nv), dtype=w.dtype)
    for low in range(0, nv, _STRIPE):
        high = min(nv, low + _STRIPE)
        torch.mm(delta.T[low:high], w[:, :high], out=result[low:high, :high])
    compiled.clear_upper(result.numpy())
    return result


def solve_cpu_torch(D11: torch.Tensor, b: torch.Tensor, activation: Activation) -> torch.Tensor:
    """w (..., nv) for CPU tensors of one dtype, float32 or float64; differentiable once in D11 and b."""
    return _Equilibrium.apply(D11, b.reshape(-1, b.shape[-1]), activation.code).reshape(b.shape)
