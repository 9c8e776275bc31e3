"""The incrementally passive REN: strict in its input, in its output, or in both."""

import numpy as np
import torch

from observer.networks.network import check_positive
from observer.networks.ren.supply import (
    block_from_feedthrough,
    contraction_block,
    feedthrough,
    inner_from_block,
    inner_from_matrix,
    inner_matrix,
)
from observer.networks.ren.supply_ren import SupplyREN, Tensors
from systems.base.errors import InputError


class PassiveREN(SupplyREN):
    """REN with V+ <= rate^2 V + 2 du'dy - 2 nu |du|^2 - 2 rho |dy|^2 between any two solutions, V = |dx|_M^2.

    So sum du'dy >= nu sum |du|^2 + rho sum |dy|^2 from the same start. The supply is Q = -2 rho I, S = I, R = -2 nu I:

        rho = 0:  D22 = nu I + Mm, whose symmetric part exceeds nu I
        rho > 0:  D22 = I/(2 rho) + sqrt((1/(2 rho) - 2 nu)/(2 rho)) N,  N'N < I: the general formula, which unlike
                  (I + Mm)^-1 / rho keeps Rc > 0 for nu > 0 as well

    Parameters: nu = ny = ``size`` channels; ``input_strictness`` nu >= 0 and ``output_strictness`` rho >= 0 with
    nu rho < 1/4 (a memoryless gain g has nu = g - rho g^2, at most 1/(4 rho)). The rest as in ``SupplyREN``.

    Errors: InputError for indices that no system has, and for a zero feedthrough or identity output: then du'dy has no
    direct term, and no positive multiple of |du|^2 is left. Source: arXiv 2104.05942, section V.
    """

    def __init__(
        self,
        size: int,
        nx: int,
        nv: int,
        *,
        input_strictness: float = 0.0,
        output_strictness: float = 0.0,
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
        self.input_strictness = check_positive("input_strictness", input_strictness, zero=True)
        self.output_strictness = check_positive("output_strictness", output_strictness, zero=True)
        product = self.input_strictness * self.output_strictness
        if not product < 0.25:
            raise InputError(
                f"input_strictness times output_strictness is {product:.3g}; expected less than 1/4: no system, not"
                " even a constant gain, has more: lower one of them"
            )
        super().__init__(
            size, nx, nv, size,
            contraction_rate=contraction_rate, activation=activation, polar=polar, identity_output=identity_output,
            feedthrough=feedthrough, eps=eps, norm_eps=norm_eps, start=start, seed=seed, dtype=dtype,
        )  # fmt: skip

    def supply(self) -> Tensors:
        """-2 rho I, I, -2 nu I."""
        like = getattr(self, "X", None)
        eye = torch.eye(self.nu, dtype=torch.float64) if like is None else torch.eye(self.nu).to(like)
        return -2 * self.output_strictness * eye, eye, -2 * self.input_strictness * eye

    def strict(self) -> torch.Tensor:
        """-2 rho I."""
        return self.supply()[0]

    def constructed_feedthrough(self) -> torch.Tensor:
        """D22 with Rc > 0: see the class."""
        if self.output_strictness == 0:
            return self.input_strictness * self.supply()[1] + inner_matrix(self.X3, self.Y3, self.Z3, self.eps)
        return feedthrough(*self.supply(), contraction_block(self.X3, self.Y3, self.Z3, self.eps, wide=False))

    def inner_of(self, D22: np.ndarray) -> dict[str, np.ndarray]:
        """X3, Y3, Z3 of a given feedthrough."""
        if self.output_strictness == 0:
            none = np.zeros((0, self.nu))
            inner = D22 - self.input_strictness * np.eye(self.nu)
            return {**inner_from_matrix(inner, none, self.eps), "Z3": none}
        return inner_from_block(block_from_feedthrough(*self.supply_arrays(), D22), self.eps)

    @property
    def promise(self) -> str:
        """The passivity indices."""
        return (
            f"and sum du'dy >= {self.input_strictness:.6g} sum |du|^2 + {self.output_strictness:.6g} sum |dy|^2"
            " from the same start"
        )

    @classmethod
    def example(cls, seed: int = 0) -> "PassiveREN":
        """Strict in input and output."""
        options = {"input_strictness": 0.5, "output_strictness": 0.4, "contraction_rate": 0.9}
        return cls._disturbed_example(seed, **options)  # type: ignore[return-value]
