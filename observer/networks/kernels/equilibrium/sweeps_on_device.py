"""The equilibrium and its way back for neurons-major tensors on a GPU: by Triton, or by blocks of torch without it."""

from torch import Tensor

from observer.networks.activations import ACTIVATIONS, get_activation
from observer.networks.kernels.equilibrium import cuda, triton_autograd


def forward_into(D11: Tensor, b: Tensor, w: Tensor, code: int) -> None:
    """Write the equilibrium of b to w, both (nv, batch), two arrays; ``code`` is that of the Activation."""
    if not b.numel():
        return
    if triton_autograd.takes(D11, b, w):
        triton_autograd.forward_into(D11, b, w, code)
    else:
        w.copy_(cuda.forward(D11, b, get_activation(ACTIVATIONS[code])))


def backward_into(D11: Tensor, w: Tensor, g: Tensor, delta: Tensor, code: int) -> None:
    """Write dL/db to delta from w and g = dL/dw, all (nv, batch)."""
    if not w.numel():
        return
    if triton_autograd.takes(D11, w, g, delta):
        triton_autograd.backward_into(D11, w, g, delta, code)
    else:
        delta.copy_(cuda.backward(D11, w, g, get_activation(ACTIVATIONS[code])))
