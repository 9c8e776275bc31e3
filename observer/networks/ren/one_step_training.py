"""Training steps of a contracting REN on one-step transitions: gradients and Adam without autograd, on the CPU or a GPU."""

from typing import Any

import numpy as np
import torch

from observer.networks.activations import get_activation
from observer.networks.ren.contracting import ContractingREN
from observer.networks.shapes import check_shape
from systems.base.errors import InputError


class OneStepTraining:
    """Adam on the one-step loss of a network with identity output.

        f = (1/2m) sum_k |f_o(x_k, u_k) - x_next_k|_M^2

    The same gradients as ``ren.explicit().next_state`` under autograd, to rounding, in less than half of its time
    (docs/performance.md). torch only holds the parameters, which are updated in place. Where they are on a GPU a step is
    one CUDA graph (docs/gpu.md), and the loss stays there: a tensor (), for which float() waits.

    ``ren``: contracting, identity output, parameters in main memory or on a GPU. ``lr``: the rate, or one per parameter by
    name. ``metric`` (nx, nx): M, the identity when left out; it is data, the gradient does not run through it.
    Errors: InputError for a network with another output, on another device, or arrays of a wrong shape.
    """

    def __init__(
        self, ren: ContractingREN, lr: float | dict[str, float] = 1e-3, *, metric: np.ndarray | None = None
    ) -> None:
        if not ren.identity_output:
            raise InputError("the network has an output of its own; one-step training needs identity_output=True")
        self.ren = ren
        names = [name for name, _ in ren.named_parameters()]
        rates = lr if isinstance(lr, dict) else dict.fromkeys(names, lr)
        if metric is not None:
            check_shape("metric", metric, (ren.nx, ren.nx), "(nx, nx)")
        kind = {"cpu": _InMemory, "cuda": _OnDevice}.get(ren.X.device.type)
        if kind is None:
            raise InputError(f"the parameters are on {ren.X.device}; expected main memory or a GPU: use ren.to('cuda')")
        self._steps = kind(ren, rates, metric)
        self.optimizer = self._steps.optimizer

    def gradients(self, x: Any, u: Any, x_next: Any) -> Any:
        """f over the samples x (m, nx), u (m, nu), x_next (m, nx), tensors or arrays; gradients into ``.grad``.

        nan where the parameters are not finite, or so large or small that E is singular in their precision.
        """
        return self._steps.gradients(self._rows(x, u, x_next))

    def update(self, x: Any, u: Any, x_next: Any) -> Any:
        """One step of Adam; the loss before it. Without effect where the loss is not finite."""
        return self._steps.update(self._rows(x, u, x_next))

    def _rows(self, *samples: Any) -> tuple[Any, ...]:
        ren = self.ren
        rows = tuple(self._steps.array(sample) for sample in samples)
        for name, array, width in zip(("x", "u", "x_next"), rows, (ren.nx, ren.nu, ren.nx), strict=True):
            check_shape(name, array, (len(rows[0]), width), "(m, width)")
        return rows


class _InMemory:
    """By compiled calls, on the CPU."""

    def __init__(self, ren: ContractingREN, rates: dict[str, float], metric: Any) -> None:
        from observer.networks.kernels.optimizer import Adam

        named = dict(ren.named_parameters())
        self.optimizer = Adam([(value, rates[name]) for name, value in named.items()])
        self._values = {name: value.detach().numpy() for name, value in named.items()}
        self._gradients = {name: np.empty_like(value) for name, value in self._values.items()}
        self._filled = [(value, torch.from_numpy(self._gradients[name])) for name, value in named.items()]
        self._metric = None if metric is None else self.array(metric)
        self._numbers = (ren.contraction_rate, ren.eps, ren.norm_eps)
        self._code = get_activation(ren.activation).code

    def array(self, value: Any) -> np.ndarray:
        return np.ascontiguousarray(value, self._values["X"].dtype)

    def gradients(self, rows: tuple[np.ndarray, ...]) -> float:
        from observer.networks.kernels.equilibrium.cpu_autograd import patience
        from observer.networks.kernels.equilibrium.cpu_training import one_step_gradients

        for parameter, gradient in self._filled:
            parameter.grad = gradient
        given = (self._values, rows, self._metric, self._numbers, self._code, self._gradients)
        return one_step_gradients(*given, patience())

    def update(self, rows: tuple[np.ndarray, ...]) -> float:
        loss = self.gradients(rows)
        if np.isfinite(loss):
            self.optimizer.step()
        return loss


class _OnDevice:
    """By operations of torch and a Triton kernel, in a CUDA graph where the device is a GPU."""

    def __init__(self, ren: ContractingREN, rates: dict[str, float], metric: Any) -> None:
        from observer.networks.kernels.captured_training import CapturedTraining
        from observer.networks.kernels.device_training import one_step_gradients

        named = dict(ren.named_parameters())
        self._like = ren.X.detach()
        values = {name: value.detach() for name, value in named.items()}
        numbers, code = (ren.contraction_rate, ren.eps, ren.norm_eps), get_activation(ren.activation).code
        self._metric = None if metric is None else self.array(metric)

        def gradients(samples: tuple[torch.Tensor, ...], into: list[torch.Tensor]) -> torch.Tensor:
            return one_step_gradients(values, samples, self._metric, numbers, code, dict(zip(named, into, strict=True)))

        self._training = CapturedTraining([(value, rates[name]) for name, value in named.items()], gradients)
        self.optimizer = self._training.optimizer

    def array(self, value: Any) -> torch.Tensor:
        return torch.as_tensor(value, dtype=self._like.dtype, device=self._like.device)

    def gradients(self, rows: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return self._training.gradients(*rows)

    def update(self, rows: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return self._training.update(*rows)
