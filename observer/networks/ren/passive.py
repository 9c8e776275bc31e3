"""The incrementally passive REN: strict in its input, in its output, or in both."""

from typing import Unpack

import numpy as np
import torch

from observer.networks.network import check_positive
from observer.networks.ren.base import RENOptions, Tensors, Triple
from observer.networks.ren.supply import inner_from_matrix, inner_matrix
from observer.networks.ren.supply_ren import SupplyREN
from systems.base.errors import InputError


class PassiveREN(SupplyREN):
    """REN with V+ <= rate^2 V + 2 du'dy - 2 nu |du|^2 - 2 rho |dy|^2 between any two solutions, V = |dx|_M^2.

    So sum du'dy >= nu sum |du|^2 + rho sum |dy|^2 from the same initial state. The supply is Q = -2 rho I, S = I,
    R = -2 nu I:

        rho = 0:  D22 = nu I + Mm, whose symmetric part exceeds nu I
        rho > 0:  D22 = I/(2 rho) + sqrt((1/(2 rho) - 2 nu)/(2 rho)) N,  N'N < I: the general formula, which unlike
                  (I + Mm)^-1 / rho keeps Rc > 0 for nu > 0 as well

    Parameters: nu = ny = ``size`` channels; ``input_strictness`` nu >= 0 and ``output_strictness`` rho >= 0 with
    nu rho < 1/4 (a memoryless gain g has nu = g - rho g^2, at most 1/(4 rho)). The rest as in ``SupplyREN``.

    Errors: InputError for indices that no system has, and for a zero feedthrough or identity output: then du'dy has no
    direct term, and no positive multiple of |du|^2 is left. Source: arXiv 2104.05942, section V.
    """

    def __init__(
        self, size: int, nx: int, nv: int, *, input_strictness: float = 0.0, output_strictness: float = 0.0,
        **options: Unpack[RENOptions],
    ) -> None:  # fmt: skip
        self.input_strictness = check_positive("input_strictness", input_strictness, zero=True)
        self.output_strictness = check_positive("output_strictness", output_strictness, zero=True)
        product = self.input_strictness * self.output_strictness
        if not product < 0.25:
            raise InputError(
                f"input_strictness times output_strictness is {product:.3g}; expected less than 1/4: no system, not"
                " even a constant gain, has more: lower one of them"
            )
        super().__init__(size, nx, nv, size, **options)

    def supply(self, direct: Tensors | None = None) -> Triple:
        """-2 rho I, I, -2 nu I."""
        eye = torch.eye(self.nu).to((self.tensors() if direct is None else direct)["X"])
        return -2 * self.output_strictness * eye, eye, -2 * self.input_strictness * eye

    def constructed_feedthrough(self, direct: Tensors) -> torch.Tensor:
        """D22 with Rc > 0: see the class."""
        if self.output_strictness == 0:
            X3, Y3, Z3 = (direct[name] for name in ("X3", "Y3", "Z3"))
            return self.input_strictness * self.supply(direct)[1] + inner_matrix(X3, Y3, Z3, self.eps)
        return super().constructed_feedthrough(direct)

    def inner_of(self, D22: np.ndarray, direct: Tensors) -> dict[str, np.ndarray]:
        """X3, Y3, Z3 of a given feedthrough."""
        if self.output_strictness == 0:
            none = np.zeros((0, self.nu))
            inner = D22 - self.input_strictness * np.eye(self.nu)
            return {**inner_from_matrix(inner, none, self.eps), "Z3": none}
        return super().inner_of(D22, direct)

    @property
    def meaning(self) -> str:
        """The passivity indices."""
        return (
            f"and sum du'dy >= {self.input_strictness:.6g} sum |du|^2 + {self.output_strictness:.6g} sum |dy|^2"
            " from the same initial state"
        )

    @classmethod
    def example(cls, seed: int = 0) -> "PassiveREN":
        """Strict in input and output."""
        options = {"input_strictness": 0.5, "output_strictness": 0.4, "contraction_rate": 0.9}
        return cls._disturbed_example(seed, **options)  # type: ignore[return-value]
