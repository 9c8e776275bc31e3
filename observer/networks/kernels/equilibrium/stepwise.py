"""The equilibrium inside operations that have a backward pass of their own: neurons-major tensors, in place, on any device."""

from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

from torch import Tensor


def sweeps(D11: Tensor, code: int) -> "InMemorySweeps | DeviceSweeps":
    """The sweeps of D11 (nv, nv) and the activation of that ``code``, where D11 is."""
    return (InMemorySweeps if D11.device.type == "cpu" else DeviceSweeps)(D11.detach(), code)


class InMemorySweeps:
    """By the compiled kernel. ``view`` first, once for all steps: what the sweeps take; an index of it is a view too."""

    def __init__(self, D11: Tensor, code: int) -> None:
        from observer.networks.kernels.equilibrium import cpu, cpu_autograd

        self._cpu, self._how, self._code = cpu, (cpu_autograd.product, cpu_autograd.patience()), code
        self._gradient = cpu_autograd.gradient_of_matrix
        self._D11 = D11.contiguous().numpy()

    @cached_property
    def _transposed(self) -> Any:
        return self._D11.T.copy()

    def view(self, tensor: Tensor) -> Any:
        return tensor.detach().numpy()

    def forward(self, b: Any, w: Any) -> None:
        """Write the equilibrium of b to w, both (nv, batch) and contiguous."""
        self._cpu.forward_into(self._D11, b, w, self._code, *self._how)

    def backward(self, w: Any, g: Any, delta: Any) -> None:
        """Write dL/db to delta from w and g = dL/dw, all (nv, batch) and contiguous."""
        self._cpu.backward_into(self._D11, self._transposed, w, g, delta, self._code, *self._how)

    def gradient(self, delta: Tensor, w: Tensor) -> Tensor:
        """dL/dD11 = stril(delta w') for (nv, samples)."""
        return self._gradient(delta.T, w.T)


class DeviceSweeps:
    """By the kernels of a GPU."""

    def __init__(self, D11: Tensor, code: int) -> None:
        from observer.networks.kernels.equilibrium import sweeps_on_device

        self._kernels, self._D11, self._code = sweeps_on_device, D11, code

    def view(self, tensor: Tensor) -> Tensor:
        return tensor.detach()

    def forward(self, b: Tensor, w: Tensor) -> None:
        """Write the equilibrium of b to w, both (nv, batch)."""
        self._kernels.forward_into(self._D11, b, w, self._code)

    def backward(self, w: Tensor, g: Tensor, delta: Tensor) -> None:
        """Write dL/db to delta from w and g = dL/dw, all (nv, batch)."""
        self._kernels.backward_into(self._D11, w, g, delta, self._code)

    def gradient(self, delta: Tensor, w: Tensor) -> Tensor:
        """dL/dD11 = stril(delta w') for (nv, samples)."""
        return (delta @ w.T).tril_(-1)


def without_denormals(like: Tensor) -> AbstractContextManager[None]:
    """As in ``cpu_autograd``, for tensors in main memory; GPUs are not slowed down by denormals."""
    if like.device.type != "cpu":
        return nullcontext()
    from observer.networks.kernels.equilibrium import cpu_autograd

    return cpu_autograd.without_denormals()
