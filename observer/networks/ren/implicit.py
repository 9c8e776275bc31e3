"""The implicit REN: all neurons are connected, and the network is well posed by construction."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Unpack

import torch

from observer.networks.explicit_weights import RecurrentWeights
from observer.networks.network import check_positive, disturb
from observer.networks.ren.base import REN, RENOptions
from observer.networks.ren.explicit import ExplicitREN
from observer.networks.ren.splitting import solve_implicit


@dataclass(frozen=True, eq=False)
class ExplicitImplicitREN(RecurrentWeights):
    """A REN whose D11 is full: x+ = A x + B1 w + B2 u + bx,  w = sigma(C1 x + D11 w + D12 u + bv),  y = C2 x + ... + by.

    ``matrices``: the twelve weights (an ``ExplicitREN``, whose own step would read the lower triangle of D11 only).
    ``tolerance``: of the equilibrium, relative to 1 + |w| in every entry.
    """

    matrices: ExplicitREN
    tolerance: float = 1e-12

    def equilibrium(self, x: Any, u: Any) -> Any:
        """The neurons w (..., nv) for x (..., nx) and u (..., nu)."""
        m = self.matrices
        return solve_implicit(m.D11, x @ m.C1.T + u @ m.D12.T + m.bv, m.activation, self.tolerance)

    def step(self, x: Any, u: Any) -> tuple[Any, Any]:
        """One step: (x+ (..., nx), y (..., ny)) for x (..., nx) and u (..., nu)."""
        m, w = self.matrices, self.equilibrium(x, u)
        return x @ m.A.T + w @ m.B1.T + u @ m.B2.T + m.bx, x @ m.C2.T + w @ m.D21.T + u @ m.D22.T + m.by

    def weights(self) -> dict[str, Any]:
        """The twelve weights by name."""
        return self.matrices.weights()

    def with_weights(self, **changes: Any) -> "ExplicitImplicitREN":
        """A copy with some of the weights replaced, by name."""
        return replace(self, matrices=self.matrices.with_weights(**changes))


class ImplicitREN(REN):
    """Contracting REN with a full D11, for every value of its parameters (MATH 2a; the paper's general form).

        D11 = I - Lam^-1 (H22 + Y2 - Y2')/2,   Lam = diag(exp l),   so that  2 Lam - Lam D11 - D11'Lam = H22 > 0

    That inequality makes the equilibrium unique, for any input, and bounds it; it is solved to ``tolerance`` by operator
    splitting and Newton's method, and differentiated by the implicit function theorem (``splitting``).

    Parameters: as in ``REN``, with eps above zero; ``tolerance`` of the equilibrium.
    Errors: InputError for sizes or numbers out of range. Source: arXiv 2104.05942, section IV.
    """

    acyclic: ClassVar[bool] = False

    Y2: torch.Tensor
    l: torch.Tensor

    def __init__(
        self, nu: int, nx: int, nv: int, ny: int, *, tolerance: float | None = None, **options: Unpack[RENOptions]
    ) -> None:
        # Without eps nothing would keep the equilibrium well conditioned where X is singular.
        options["eps"] = check_positive("eps", options.get("eps", 1e-6))
        self._tolerance = None if tolerance is None else check_positive("tolerance", tolerance)
        super().__init__(nu, nx, nv, ny, **options)

    @property
    def tolerance(self) -> float:
        """Of the equilibrium; unless given, 1e-12, or 1e-5 in float32."""
        if self._tolerance is not None:
            return self._tolerance
        return 1e-12 if self.X.dtype == torch.float64 else 1e-5

    def explicit(self, kernel: str = "auto") -> ExplicitImplicitREN:
        """The explicit network, differentiable in the parameters. Computed at each call: hoist it out of time loops."""
        return ExplicitImplicitREN(super().explicit(kernel), self.tolerance)

    @classmethod
    def example(cls, seed: int = 0) -> "ImplicitREN":
        """Few neurons, all connected."""
        return disturb(cls(2, 3, 5, 2, contraction_rate=0.9, seed=seed), seed + 1, 0.3)
