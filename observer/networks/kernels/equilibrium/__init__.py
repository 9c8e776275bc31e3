"""The equilibrium layer w = sigma(D11 w + b), D11 strictly lower triangular: one entry, several kernels.

``reference`` is the plain loop over rows (torch autograd to any order, or NumPy). ``cpu`` is a compiled kernel with its
own backward pass, ``triton`` one for GPUs, and ``cuda`` a blocked one of torch operations for GPUs without Triton (it runs
on any device). ``auto`` takes the one that measured faster for the size and the device at hand.
"""

from typing import Any

import numpy as np

from observer.networks.activations import Activation, get_activation
from observer.networks.shapes import check_shape
from systems.base.errors import InputError

KERNELS: tuple[str, ...] = ("reference", "cpu", "triton", "cuda")

# Measured on two cores, batches of 1 to 4096: from a few neurons on the compiled pair is always the faster one.
_COMPILED_FROM_NEURONS = 3


def solve_equilibrium(D11: Any, b: Any, activation: str, kernel: str = "auto") -> Any:
    """Solve w = sigma(D11 w + b) for w (..., nv).

    D11 (nv, nv): only its strictly lower triangle is read, so row i needs w_1 .. w_{i-1} and no iteration. b (..., nv):
    leading axes are batched; nv = 0 is allowed. NumPy arrays or torch tensors; the result is of the same kind.

    ``kernel``: "auto", "reference", "cpu", "triton" or "cuda". The last three are differentiable once; inside ``torch.func``
    transforms and for second derivatives use "reference" (``auto`` does so for dtypes other than float32 and float64,
    and off the CPU except for CUDA).

    Errors: InputError for an unknown kernel or activation, wrong shapes, or tensors that the kernel cannot take.
    """
    function = get_activation(activation)
    nv = int(b.shape[-1])
    check_shape("D11", D11, (nv, nv), "(nv, nv)")
    if kernel not in ("auto", *KERNELS):
        raise InputError(
            f"equilibrium kernel {kernel!r} is not known; expected auto, {', '.join(KERNELS[:-1])} or {KERNELS[-1]}"
        )
    if nv == 0:
        return b
    if kernel == "auto":
        kernel = _choose(D11, b)
    numpy_given = isinstance(b, np.ndarray)
    if kernel == "reference":
        from observer.networks.kernels.equilibrium.reference import solve_numpy, solve_torch

        return (solve_numpy if numpy_given else solve_torch)(D11, b, function)
    if kernel in ("triton", "cuda"):
        return _solve_on_gpu(D11, b, function, kernel)
    if not _compilable(D11, b):
        raise InputError(
            f"equilibrium kernel 'cpu': got {D11.dtype} and {b.dtype} {'arrays' if numpy_given else 'tensors'};"
            " expected both float32 or both float64 in main memory: convert them, or use kernel='reference'"
        )
    if numpy_given:
        from observer.networks.kernels.equilibrium.cpu import forward

        return forward(D11, b.reshape(-1, nv), function.code).reshape(b.shape)
    from observer.networks.kernels.equilibrium.cpu_autograd import solve_cpu_torch

    return solve_cpu_torch(D11, b, function)


def _solve_on_gpu(D11: Any, b: Any, function: Activation, kernel: str) -> Any:
    if isinstance(b, np.ndarray):
        raise InputError(
            f"equilibrium kernel {kernel!r} takes torch tensors; got NumPy arrays: use 'cpu' or 'reference'"
        )
    if kernel == "cuda":
        from observer.networks.kernels.equilibrium.cuda import solve_blocked_torch

        return solve_blocked_torch(D11, b, function)
    from observer.networks.kernels.equilibrium.triton_autograd import solve_triton, takes

    if not takes(D11, b):
        raise InputError(
            f"equilibrium kernel 'triton': got {D11.dtype} on {D11.device} and {b.dtype} on {b.device}; expected both"
            " float32 or both float64, on one GPU, and Triton installed (pip install 'ren-observer[gpu]'): use kernel='auto'"
        )
    return solve_triton(D11, b, function)


def _compilable(D11: Any, b: Any) -> bool:
    """Whether the compiled kernel can take these: one dtype, float32 or float64, in main memory."""
    in_memory = isinstance(b, np.ndarray) or (b.device.type == "cpu" and D11.device.type == "cpu")
    return in_memory and D11.dtype == b.dtype and str(b.dtype).removeprefix("torch.") in ("float32", "float64")


def _choose(D11: Any, b: Any) -> str:
    if int(b.shape[-1]) < _COMPILED_FROM_NEURONS:
        return "reference"
    if _compilable(D11, b):
        return "cpu"
    if isinstance(b, np.ndarray) or b.device.type != "cuda" or D11.device != b.device or D11.dtype != b.dtype:
        return "reference"
    from observer.networks.kernels.equilibrium.triton_autograd import takes

    return "triton" if takes(D11, b) else "cuda"
