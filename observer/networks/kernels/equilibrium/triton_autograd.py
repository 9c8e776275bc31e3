"""The Triton kernel as a differentiable torch operation, and where it can be used.

    dL/db = delta,      dL/dD11 = stril(sum over the batch of delta w')

Nothing here waits for the GPU, so that it may be captured in a CUDA graph once it has run.
"""

# Triton's decorator changes what a kernel takes:
# pyright: reportMissingImports=false, reportIndexIssue=false, reportArgumentType=false

import os
import warnings
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from observer.networks.activations import Activation

# Neurons that wait for one another in registers (ROWS), columns of D11 per product of tiles, samples per program, warps, and
# tiles loaded ahead: four warps share a program's samples while the GPU has room for them, else each program has one.
# Forward and backward of 500 neurons, float32, on an H200: FEW .23 and .27 ms for 500 samples, .51 and .50 for 8192; MANY
# .36 and .48, .39 and .64 (200 neurons, 8192: FEW .11 and .11, MANY .08 and .09). ROWS 16 takes .18 and .18 (FEW), .37 and
# .37 (8192 samples), but compiles for seconds more, which only tens of thousands of steps pay back.
FEW = {"ROWS": 8, "DEPTH": 64, "COLS": 16, "num_warps": 4, "num_stages": 2}
MANY = {"ROWS": 8, "DEPTH": 32, "COLS": 16, "num_warps": 1, "num_stages": 1}
FEW_PER_PROCESSOR = 2  # programs
OLDEST = (3, 6)
_DTYPES = (torch.float32, torch.float64)


def interpreted() -> bool:
    """Whether Triton runs kernels by its interpreter, which takes tensors of any device."""
    return os.environ.get("TRITON_INTERPRET") == "1" and find_spec("triton") is not None


def takes(*tensors: torch.Tensor) -> bool:
    """Whether the kernel can take these: on one GPU that Triton compiles for, of one dtype, float32 or float64."""
    first = tensors[0]
    alike = all(t.device == first.device and t.dtype == first.dtype for t in tensors) and first.dtype in _DTYPES
    return alike and (interpreted() or (first.device.type == "cuda" and works_on(first.device.index or 0)))


@cache
def works_on(device: int) -> bool:
    """Whether Triton is there and compiles for this GPU: tried once, since it also needs a driver and a C compiler."""
    if find_spec("triton") is None:
        return False
    try:
        _probe(device)
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        warnings.warn(
            f"Triton does not compile for GPU {device} ({reason}); networks use slower operations of torch there:"
            " update Triton, and see that a C compiler is found (CC)",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


def _probe(device: int) -> None:
    import triton

    from observer.networks.kernels.equilibrium.triton_sweep import probe

    if tuple(map(int, triton.__version__.split(".")[:2])) < OLDEST:
        raise RuntimeError(f"it is version {triton.__version__}, older than {'.'.join(map(str, OLDEST))}")
    with torch.cuda.device(device):
        found = torch.zeros(1, device="cuda")
        probe[(1,)](found)
        if found.item() != 1:
            raise RuntimeError("a kernel did not write its result")


def forward_into(D11: torch.Tensor, b: torch.Tensor, w: torch.Tensor, code: int) -> None:
    """Write the equilibrium of b to w, both (nv, batch): b with any strides, w another array, of contiguous rows."""
    _launch(D11, b, w, w, code, False)


def backward_into(D11: torch.Tensor, w: torch.Tensor, g: torch.Tensor, delta: torch.Tensor, code: int) -> None:
    """Write dL/db to delta from w and g = dL/dw, all (nv, batch): g with any strides, the others of contiguous rows."""
    _launch(D11, g, w, delta, code, True)


def _launch(
    D11: torch.Tensor, given: torch.Tensor, outputs: torch.Tensor, found: torch.Tensor, code: int, back: bool
) -> None:
    from observer.networks.kernels.equilibrium.triton_sweep import sweep

    nv, batch = given.shape
    if not nv or not batch:
        return
    assert batch == 1 or outputs.stride(1) == found.stride(1) == 1, "rows of neurons that are not contiguous"
    strides = (*D11.stride(), *given.stride(), outputs.stride(0), found.stride(0))
    few = -(-batch // FEW["COLS"]) <= FEW_PER_PROCESSOR * _processors(given.device)
    blocks = FEW if few else MANY
    with torch.cuda.device_of(given):
        sweep[(-(-batch // blocks["COLS"]),)](
            D11, given, outputs, found, nv, batch, *strides, CODE=code, BACK=back, **blocks
        )


@cache
def _processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


class _Equilibrium(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, D11: torch.Tensor, b: torch.Tensor, code: int) -> torch.Tensor:
        w = b.new_empty(b.shape[::-1])
        forward_into(D11, b.T, w, code)
        ctx.save_for_backward(D11, w)
        ctx.code = code
        return w.T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        D11, w = ctx.saved_tensors
        delta = torch.empty_like(w)
        backward_into(D11, w, gradients[0].T, delta, ctx.code)
        return gradient_of_matrix(delta, w) if ctx.needs_input_grad[0] else None, delta.T, None


def gradient_of_matrix(delta: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """stril(delta w') (nv, nv) for delta, w (nv, batch)."""
    return (delta @ w.T).tril_(-1)


def solve_triton(D11: torch.Tensor, b: torch.Tensor, activation: Activation) -> torch.Tensor:
    """w (..., nv) for tensors on one GPU, of one dtype, float32 or float64; differentiable once in D11 and b."""
    return _Equilibrium.apply(D11, b.reshape(-1, b.shape[-1]), activation.code).reshape(b.shape)
