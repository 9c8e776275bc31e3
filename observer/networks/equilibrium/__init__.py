"""The equilibrium layer w = sigma(D11 w + b), D11 strictly lower triangular: one entry, several kernels.

``reference`` is the plain loop over rows (torch autograd to any order, or NumPy). ``cpu`` is a compiled kernel with its
own backward pass. ``auto`` takes the one that measured faster for the size at hand.
"""

from typing import Any

import numpy as np

from observer.networks.activations import get_activation
from observer.networks.shapes import check_shape
from systems.errors import InputError

KERNELS: tuple[str, ...] = ("reference", "cpu")

# Measured on two cores (float64, 1 to 200 neurons, batches of 1 to 4096). Torch: the compiled pair is 2 to 100 times
# faster than the loop from a few neurons on. NumPy: the compiled sweep is 4 to 15 times faster for small batches, and
# the vectorised loop, whose tanh is vectorised too, up to 3 times faster for large ones.
_COMPILED_FROM_NEURONS = 3
_VECTORISED_FROM_BATCH = 256


def solve_equilibrium(D11: Any, b: Any, activation: str, kernel: str = "auto") -> Any:
    """Solve w = sigma(D11 w + b) for w (..., nv).

    D11 (nv, nv): only its strictly lower triangle is read, so row i needs w_1 .. w_{i-1} and no iteration. b (..., nv):
    leading axes are batched; nv = 0 is allowed. NumPy arrays or torch tensors; the result is of the same kind.

    ``kernel``: "auto", "reference" or "cpu". The compiled kernel is differentiable once; inside ``torch.func``
    transforms, for second derivatives and off the CPU, use "reference" (``auto`` does so off the CPU and for dtypes
    other than float32 and float64).

    Errors: InputError for an unknown kernel or activation, wrong shapes, or tensors that the kernel cannot take.
    """
    function = get_activation(activation)
    nv = int(b.shape[-1])
    check_shape("D11", D11, (nv, nv), "(nv, nv)")
    if kernel not in ("auto", *KERNELS):
        raise InputError(f"equilibrium kernel {kernel!r} is not known; expected auto, {' or '.join(KERNELS)}")
    if nv == 0:
        return b
    if kernel == "auto":
        kernel = _choose(D11, b)
    numpy_given = isinstance(b, np.ndarray)
    if kernel == "reference":
        from observer.networks.equilibrium.reference import solve_numpy, solve_torch

        return (solve_numpy if numpy_given else solve_torch)(D11, b, function)
    if not _compilable(D11, b):
        raise InputError(
            f"equilibrium kernel 'cpu': got {D11.dtype} and {b.dtype} {'arrays' if numpy_given else 'tensors'};"
            " expected both float32 or both float64 in main memory: convert them, or use kernel='reference'"
        )
    if numpy_given:
        from observer.networks.equilibrium.cpu import forward

        return forward(D11, b.reshape(-1, nv), function.code).reshape(b.shape)
    from observer.networks.equilibrium.cpu_autograd import solve_cpu_torch

    return solve_cpu_torch(D11, b, function)


def _compilable(D11: Any, b: Any) -> bool:
    """Whether the compiled kernel can take these: one dtype, float32 or float64, in main memory."""
    in_memory = isinstance(b, np.ndarray) or (b.device.type == "cpu" and D11.device.type == "cpu")
    return in_memory and D11.dtype == b.dtype and str(b.dtype).removeprefix("torch.") in ("float32", "float64")


def _choose(D11: Any, b: Any) -> str:
    nv = int(b.shape[-1])
    if nv < _COMPILED_FROM_NEURONS or not _compilable(D11, b):
        return "reference"
    if isinstance(b, np.ndarray) and b.size // nv >= _VECTORISED_FROM_BATCH:
        return "reference"
    return "cpu"
