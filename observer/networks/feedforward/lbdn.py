"""The Lipschitz-bounded deep network: dense layers with a bound on the whole that holds for every parameter."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from observer.networks.activations import get_activation
from observer.networks.explicit_weights import ExplicitWeights, to_array
from observer.networks.feedforward.sandwich import SQRT2, layer_shapes, scaled_cayley
from observer.networks.network import Network, check_positive, check_sizes, disturb, make_generator, random_values
from observer.networks.proofs.lipschitz import LipschitzGuarantee


@dataclass(frozen=True, eq=False)
class ExplicitLBDN(ExplicitWeights):
    """z_0 = u, z_{k+1} = sigma(W_k z_k + b_k), y = W_L z_L + b_L: folded weights, one matrix per layer.

    ``matrices`` W_0 .. W_L and ``biases`` b_0 .. b_L, all NumPy arrays or all torch tensors; ``activation`` by name.
    """

    matrices: tuple[Any, ...]
    biases: tuple[Any, ...]
    activation: str

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(nu,)."""
        return (int(self.matrices[0].shape[1]),)

    def __call__(self, u: Any) -> Any:
        """y (..., ny) for u (..., nu)."""
        sigma, h = get_activation(self.activation), u
        for W, b in zip(self.matrices[:-1], self.biases[:-1], strict=True):
            h = sigma(h @ W.T + b)
        return h @ self.matrices[-1].T + self.biases[-1]

    def weights(self) -> dict[str, Any]:
        """W0, b0, W1, b1, ... by name."""
        pairs = zip(self.matrices, self.biases, strict=True)
        return {f"{name}{k}": value for k, pair in enumerate(pairs) for name, value in zip("Wb", pair, strict=True)}

    def with_weights(self, **changes: Any) -> "ExplicitLBDN":
        """A copy with some of the weights replaced, by name."""
        values, layers = self._replaced(changes), range(len(self.matrices))
        matrices, biases = (tuple(values[f"{name}{k}"] for k in layers) for name in "Wb")
        return replace(self, matrices=matrices, biases=biases)


class LBDN(Network):
    """Dense network with |y_a - y_b| <= gamma |u_a - u_b| for every value of its parameters (MATH 2d).

        h_0 = sqrt(gamma) u,   h_{k+1} = sqrt2 A_k' Psi_k sigma(sqrt2 Psi_k^-1 B_k h_k + b_k),   y = sqrt(gamma) B_L h_L + b_L

    with [A_k B_k] from the Cayley transform of a_k XY_k / sqrt(|XY_k|_F^2 + norm_eps) and Psi_k = diag(exp d_k).
    ``explicit()`` folds neighbours: W_k = 2 Psi_k^-1 B_k A_{k-1}' Psi_{k-1}. Single |W_k| may exceed the bound.

    Direct parameters, for each layer k: XYk, ak, dk, bk (no d for a linear output layer), and log_gamma if learnable.

    Parameters
    ----------
    nu, ny : inputs, outputs. hidden : the neurons of each layer; none: a linear map.
    gamma : the bound, and its initial value where ``learnable_gamma``: gamma = exp(log_gamma) is then a parameter.
    linear_output : the last layer is linear, as above. False gives the last layer a sandwich of its own,
        y = sqrt(gamma) h_{L+1}, as one published implementation does.
    activation, norm_eps, seed, dtype : as in ``ContractingREN``.

    Source: Wang, Manchester, "Direct parameterization of Lipschitz-bounded deep networks" (arXiv 2301.11526).
    """

    def __init__(
        self,
        nu: int,
        hidden: Sequence[int],
        ny: int,
        *,
        gamma: float = 1.0,
        learnable_gamma: bool = False,
        linear_output: bool = True,
        activation: str = "relu",
        norm_eps: float = 0.0,
        seed: int | torch.Generator = 0,
        dtype: str | torch.dtype = "float64",
    ) -> None:
        super().__init__()
        self.nu, self.ny = check_sizes(1, nu=nu, ny=ny)
        self.hidden = check_sizes(1, **{f"hidden[{k}]": size for k, size in enumerate(hidden)})
        self._given, self.learnable_gamma = check_positive("gamma", gamma), bool(learnable_gamma)
        self.linear_output, self.activation = bool(linear_output), get_activation(activation).name
        self.norm_eps = check_positive("norm_eps", norm_eps, zero=True)
        values = random_values(self.parameter_shapes(), make_generator(seed))
        for k in range(self.layers):
            # At its natural size the Cayley transform neither saturates nor vanishes.
            values[f"a{k}"] = (values[f"XY{k}"].square().sum() + self.norm_eps).sqrt()[None]
            if f"d{k}" in values:
                values[f"d{k}"] *= 0
        if self.learnable_gamma:
            values["log_gamma"] = torch.tensor([math.log(self._given)], dtype=torch.float64)
        self._register(values, dtype)

    @property
    def layers(self) -> int:
        """The number of layers, the last one included."""
        return len(self.hidden) + 1

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """The direct parameters of this network and their shapes."""
        sizes = (self.nu, *self.hidden, self.ny)
        shapes: dict[str, tuple[int, ...]] = {}
        for k in range(self.layers):
            linear = self.linear_output and k == self.layers - 1
            for name, shape in layer_shapes(sizes[k], sizes[k + 1]).items():
                if not (linear and name == "d"):
                    shapes[f"{name}{k}"] = shape
        return shapes | ({"log_gamma": (1,)} if self.learnable_gamma else {})

    def _layer(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        return scaled_cayley(getattr(self, f"XY{k}"), getattr(self, f"a{k}"), self.norm_eps)

    @property
    def gamma(self) -> torch.Tensor:
        """The bound (), differentiable where it is learnable."""
        if self.learnable_gamma:
            return self.log_gamma[0].exp()  # type: ignore[index, operator]
        return self.XY0.new_full((), self._given)  # type: ignore[operator]

    def explicit(self) -> ExplicitLBDN:
        """The folded weights, differentiable in the parameters. Computed at each call: hoist it out of loops."""
        root = self.gamma.sqrt()
        matrices, biases, before = [], [], None
        for k in range(self.layers):
            A_t, B_t = self._layer(k)
            reading = B_t.T if before is None else B_t.T @ before
            reading = root * reading if k == 0 else reading
            if self.linear_output and k == self.layers - 1:
                matrices.append(root * reading)
            else:
                d = getattr(self, f"d{k}")
                matrices.append(SQRT2 * torch.exp(-d)[:, None] * reading)
                before = SQRT2 * A_t * torch.exp(d)
            biases.append(getattr(self, f"b{k}"))
        if not self.linear_output:
            matrices.append(root * before)  # type: ignore[arg-type]
            biases.append(biases[-1].new_zeros(self.ny))
        return ExplicitLBDN(tuple(matrices), tuple(biases), self.activation)

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        """y (..., ny) for u (..., nu)."""
        return self.explicit()(u)

    def guarantee(self) -> LipschitzGuarantee:
        """The bound, with the multipliers Psi_k^2 that prove it."""
        neurons = range(self.layers - 1 if self.linear_output else self.layers)
        return LipschitzGuarantee(
            float(self.gamma.detach()), tuple(np.exp(2 * to_array(getattr(self, f"d{k}"))) for k in neurons)
        )

    @classmethod
    def example(cls, seed: int = 0) -> "LBDN":
        """Two hidden layers, a learnable bound."""
        return disturb(cls(3, (6, 5), 2, gamma=2.0, learnable_gamma=True, seed=seed), seed + 1)
