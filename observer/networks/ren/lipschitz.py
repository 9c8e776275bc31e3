"""The REN with a bounded incremental gain."""

import math

import numpy as np
import torch

from observer.networks.network import check_positive
from observer.networks.ren.supply import contraction_block, inner_from_block
from observer.networks.ren.supply_ren import SupplyREN, Tensors


class LipschitzREN(SupplyREN):
    """REN with sum |dy|^2 <= gamma^2 sum |du|^2 over any horizon, between any two inputs, from the same start.

    The supply is Q = -I/gamma, S = 0, R = gamma I, the feedthrough D22 = gamma N with N'N < I:

        |dx+|_M^2 <= rate^2 |dx|_M^2 + gamma |du|^2 - |dy|^2 / gamma

    Parameters: ``gamma``, the bound. ``learnable_gamma``: gamma = exp(log_gamma) is a parameter that starts there.
    The rest as in ``SupplyREN``. Errors: InputError for gamma not positive. Source: arXiv 2104.05942, section V.
    """

    log_gamma: torch.Tensor

    def __init__(
        self,
        nu: int,
        nx: int,
        nv: int,
        ny: int,
        *,
        gamma: float,
        learnable_gamma: bool = False,
        contraction_rate: float = 0.95,
        activation: str = "tanh",
        polar: bool = True,
        identity_output: bool = False,
        feedthrough: str = "constructed",
        eps: float = 1e-9,
        norm_eps: float = 0.0,
        start: str = "random",
        seed: int | torch.Generator = 0,
        dtype: str | torch.dtype = "float64",
    ) -> None:
        self._given, self.learnable_gamma = check_positive("gamma", gamma), bool(learnable_gamma)
        super().__init__(
            nu, nx, nv, ny,
            contraction_rate=contraction_rate, activation=activation, polar=polar, identity_output=identity_output,
            feedthrough=feedthrough, eps=eps, norm_eps=norm_eps, start=start, seed=seed, dtype=dtype,
        )  # fmt: skip

    @property
    def gamma(self) -> torch.Tensor:
        """The bound (), differentiable where it is learnable."""
        if self.learnable_gamma and hasattr(self, "log_gamma"):
            return self.log_gamma[0].exp()
        like = getattr(self, "X", None)
        return torch.tensor(self._given, dtype=torch.float64 if like is None else like.dtype)

    def _own_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"log_gamma": (1,)} if self.learnable_gamma else {}

    def _start_values(self) -> dict[str, torch.Tensor]:
        value = torch.tensor([math.log(self._given)], dtype=torch.float64)
        return {"log_gamma": value} if self.learnable_gamma else {}

    def supply(self) -> Tensors:
        """-I/gamma, 0, gamma I."""
        gamma = self.gamma
        eye_y, eye_u = (torch.eye(size, dtype=gamma.dtype, device=gamma.device) for size in (self.ny, self.nu))
        return -eye_y / gamma, gamma.new_zeros(self.nu, self.ny), gamma * eye_u

    def strict(self) -> torch.Tensor:
        """-I/gamma."""
        return self.supply()[0]

    def constructed_feedthrough(self) -> torch.Tensor:
        """D22 = gamma N."""
        return self.gamma * contraction_block(self.X3, self.Y3, self.Z3, self.eps, wide=self.nu > self.ny)

    def inner_of(self, D22: np.ndarray) -> dict[str, np.ndarray]:
        """X3, Y3, Z3 of a given feedthrough."""
        return inner_from_block(D22 / float(self.gamma), self.eps)

    @property
    def promise(self) -> str:
        """The gain, in words."""
        return f"and outputs differ by at most {float(self.gamma):.6g} times as much as inputs, in the sum of squares"

    @classmethod
    def example(cls, seed: int = 0) -> "LipschitzREN":
        """Learnable gamma, more outputs than inputs."""
        return cls._disturbed_example(seed, ny=3, gamma=1.5, learnable_gamma=True, contraction_rate=0.9)  # type: ignore[return-value]
