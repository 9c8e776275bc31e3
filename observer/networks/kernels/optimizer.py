"""Adam for parameters in main memory: torch's rule in one compiled pass per parameter."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch

from observer.networks.kernels.equilibrium.machine import compiled
from systems.base.errors import InputError


@dataclass
class _Entry:
    parameter: torch.Tensor
    rate: float
    mean: torch.Tensor = field(init=False)
    square: torch.Tensor = field(init=False)
    steps: int = 0

    def __post_init__(self) -> None:
        value = self.parameter.detach()
        if value.device.type != "cpu" or value.dtype not in (torch.float32, torch.float64) or not value.is_contiguous():
            raise InputError(
                f"a parameter is {value.dtype} on {value.device}; expected float32 or float64, contiguous, in main"
                " memory: use torch.optim.Adam for others"
            )
        self.mean, self.square = torch.zeros_like(value), torch.zeros_like(value)


class Adam:
    """Adam on CPU parameters, each with a step length of its own.

        m = b1 m + (1 - b1) g,   s = b2 s + (1 - b2) g^2,   p -= rate m/(1 - b1^k) / (sqrt(s/(1 - b2^k)) + eps)

    The same updates as ``torch.optim.Adam`` to rounding. It exists because that class imports torch's compiler when it
    is first constructed, more than a second, and because the moments of parameters without gradient decay into denormals,
    which are flushed here. Without weight decay, closures or state dictionaries.

    ``parameters``: tensors, or pairs (tensor, rate). Source: Kingma, Ba, arXiv 1412.6980.
    """

    def __init__(
        self,
        parameters: Iterable[torch.Tensor | tuple[torch.Tensor, float]],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        pairs = [item if isinstance(item, tuple) else (item, lr) for item in parameters]
        self.entries = [_Entry(parameter, float(rate)) for parameter, rate in pairs]
        self.betas, self.eps = betas, eps

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for entry in self.entries:
            entry.parameter.grad = None

    def step(self) -> None:
        """One update of every parameter that has a gradient."""
        for entry in self.entries:
            gradient = entry.parameter.grad
            if gradient is None:
                continue
            entry.steps += 1
            arrays = [t.detach().reshape(-1).numpy() for t in (entry.parameter, gradient, entry.mean, entry.square)]
            compiled.adam_update(*arrays, entry.rate, *self.betas, self.eps, entry.steps)
