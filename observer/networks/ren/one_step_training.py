"""Training steps of a contracting REN on one-step transitions: gradients and Adam without autograd, on the CPU."""

from typing import Any

import numpy as np
import torch

from observer.networks.activations import get_activation
from observer.networks.kernels.equilibrium.cpu_autograd import patience
from observer.networks.kernels.equilibrium.cpu_training import one_step_gradients
from observer.networks.kernels.optimizer import Adam
from observer.networks.ren.contracting import ContractingREN
from observer.networks.shapes import check_shape
from systems.base.errors import InputError


class OneStepTraining:
    """Adam on the one-step loss of a network with identity output.

        f = (1/2m) sum_k |f_o(x_k, u_k) - x_next_k|_M^2

    The same gradients as ``ren.explicit().next_state`` under autograd, to rounding, in less than half of its time
    (docs/performance.md). torch only holds the parameters, which are updated in place.

    ``ren``: contracting, identity output, parameters in main memory. ``lr``: the rate, or one per parameter by name.
    ``metric`` (nx, nx): M, the identity when left out; it is data, the gradient does not run through it.
    Errors: InputError for a network with another output, on another device, or arrays of a wrong shape.
    """

    def __init__(
        self, ren: ContractingREN, lr: float | dict[str, float] = 1e-3, *, metric: np.ndarray | None = None
    ) -> None:
        if not ren.identity_output:
            raise InputError("the network has an output of its own; one-step training needs identity_output=True")
        self.ren = ren
        named = dict(ren.named_parameters())
        rates = lr if isinstance(lr, dict) else dict.fromkeys(named, lr)
        self.optimizer = Adam([(value, rates[name]) for name, value in named.items()])
        self._values = {name: value.detach().numpy() for name, value in named.items()}
        self._gradients = {name: np.empty_like(value) for name, value in self._values.items()}
        self._filled = [(value, torch.from_numpy(self._gradients[name])) for name, value in named.items()]
        self._metric = None
        if metric is not None:
            self._metric = np.ascontiguousarray(metric, self._values["X"].dtype)
            check_shape("metric", self._metric, (ren.nx, ren.nx), "(nx, nx)")
        self._code = get_activation(ren.activation).code

    def gradients(self, x: Any, u: Any, x_next: Any) -> float:
        """f over the samples x (m, nx), u (m, nu), x_next (m, nx), tensors or arrays; gradients into ``.grad``.

        nan where the parameters are not finite, or so large or small that E is singular in their precision.
        """
        ren, kind = self.ren, self._values["X"].dtype
        rows = tuple(np.ascontiguousarray(array, kind) for array in (x, u, x_next))
        for name, array, width in zip(("x", "u", "x_next"), rows, (ren.nx, ren.nu, ren.nx), strict=True):
            check_shape(name, array, (len(rows[0]), width), "(m, width)")
        numbers = (ren.contraction_rate, ren.eps, ren.norm_eps)
        for parameter, gradient in self._filled:
            parameter.grad = gradient
        return one_step_gradients(self._values, rows, self._metric, numbers, self._code, self._gradients, patience())

    def update(self, x: Any, u: Any, x_next: Any) -> float:
        """One step of Adam; the loss before it. Without effect where the loss is not finite."""
        loss = self.gradients(x, u, x_next)
        if np.isfinite(loss):
            self.optimizer.step()
        return loss
