"""The REN with a bounded incremental gain."""

import math
from typing import Unpack

import torch

from observer.networks.network import check_positive
from observer.networks.ren.base import RENOptions, Tensors, Triple
from observer.networks.ren.supply_ren import SupplyREN


class LipschitzREN(SupplyREN):
    """REN with sum |dy|^2 <= gamma^2 sum |du|^2 over any horizon, between any two inputs, from the same initial state.

    The supply is Q = -I/gamma, S = 0, R = gamma I, so that the feedthrough is D22 = gamma N with N'N < I:

        |dx+|_M^2 <= rate^2 |dx|_M^2 + gamma |du|^2 - |dy|^2 / gamma

    Parameters: ``gamma``, the bound. ``learnable_gamma``: gamma = exp(log_gamma) is a parameter with that initial value.
    The rest as in ``SupplyREN``. Errors: InputError for gamma not positive. Source: arXiv 2104.05942, section V.
    """

    log_gamma: torch.Tensor

    def __init__(
        self, nu: int, nx: int, nv: int, ny: int, *, gamma: float, learnable_gamma: bool = False,
        **options: Unpack[RENOptions],
    ) -> None:  # fmt: skip
        self._given, self.learnable_gamma = check_positive("gamma", gamma), bool(learnable_gamma)
        super().__init__(nu, nx, nv, ny, **options)

    @property
    def gamma(self) -> torch.Tensor:
        """The bound (), differentiable where it is learnable."""
        return self._gamma(self.tensors())

    def _gamma(self, direct: Tensors) -> torch.Tensor:
        return direct["log_gamma"][0].exp() if self.learnable_gamma else direct["X"].new_full((), self._given)

    def _own_values(self) -> dict[str, torch.Tensor]:
        value = torch.tensor([math.log(self._given)], dtype=torch.float64)
        return {"log_gamma": value} if self.learnable_gamma else {}

    def supply(self, direct: Tensors | None = None) -> Triple:
        """-I/gamma, 0, gamma I."""
        gamma = self._gamma(self.tensors() if direct is None else direct)
        eye_y, eye_u = (torch.eye(size, dtype=gamma.dtype, device=gamma.device) for size in (self.ny, self.nu))
        return -eye_y / gamma, gamma.new_zeros(self.nu, self.ny), gamma * eye_u

    @property
    def meaning(self) -> str:
        """The gain, in words."""
        return f"and outputs differ by at most {float(self.gamma.detach()):.6g} times as much as inputs, in the sum of squares"

    @classmethod
    def example(cls, seed: int = 0) -> "LipschitzREN":
        """Learnable gamma, more outputs than inputs."""
        return cls._disturbed_example(seed, ny=3, gamma=1.5, learnable_gamma=True, contraction_rate=0.9)  # type: ignore[return-value]
