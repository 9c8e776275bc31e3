"""The implicit REN: neurons that all see one another, well posed by construction."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from observer.networks.activations import get_activation
from observer.networks.network import Network, check_positive, check_sizes, disturb, make_generator
from observer.networks.proofs.guarantees import RENClaim
from observer.networks.ren.contracting import check_rate
from observer.networks.ren.explicit import ExplicitREN
from observer.networks.ren.initial_values import polar_scale, random_values
from observer.networks.ren.splitting import solve_implicit


@dataclass(frozen=True, eq=False)
class ExplicitImplicitREN:
    """A REN whose D11 is full: x+ = A x + B1 w + B2 u + bx,  w = sigma(C1 x + D11 w + D12 u + bv),  y = C2 x + ... + by.

    ``matrices``: the twelve weights (an ``ExplicitREN``, whose own step would read the lower triangle of D11 only).
    ``tolerance``: of the equilibrium, relative to 1 + |w| in every entry.
    """

    matrices: ExplicitREN
    tolerance: float = 1e-12

    @property
    def nx(self) -> int:
        """Number of states."""
        return self.matrices.nx

    @property
    def nu(self) -> int:
        """Number of inputs."""
        return self.matrices.nu

    @property
    def nv(self) -> int:
        """Number of neurons."""
        return self.matrices.nv

    @property
    def ny(self) -> int:
        """Number of outputs."""
        return self.matrices.ny

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

    def to_numpy(self, dtype: Any = np.float64) -> "ExplicitImplicitREN":
        """A copy with NumPy arrays of ``dtype``, detached from any autograd graph."""
        return replace(self, matrices=self.matrices.to_numpy(dtype))


class ImplicitREN(Network):
    """Contracting REN with a full D11, for every value of its parameters (MATH 2a; the paper's general form).

        H = X'X + eps I, or polar, in blocks (nx | nv | nx) as in ``ContractingREN``;   Lam = diag(exp l)
        D11 = I - Lam^-1 (H22 + Y2 - Y2')/2,   so that  2 Lam - Lam D11 - D11'Lam = H22 > 0

    That inequality makes the equilibrium unique, for any input, and bounds it; it is solved to ``tolerance`` by operator
    splitting and Newton's method, and differentiated by the implicit function theorem (``splitting``).

    Direct parameters: those of ``ContractingREN`` without identity output, Y2 (nv, nv) and l (nv,).
    Parameters: as in ``ContractingREN``; ``tolerance`` of the equilibrium.
    Errors: InputError for sizes or numbers out of range. Source: arXiv 2104.05942, section IV.
    """

    X: torch.Tensor
    Y1: torch.Tensor
    Y2: torch.Tensor
    l: torch.Tensor
    p: torch.Tensor
    B2: torch.Tensor
    C2: torch.Tensor
    D12: torch.Tensor
    D21: torch.Tensor
    D22: torch.Tensor
    bx: torch.Tensor
    bv: torch.Tensor
    by: torch.Tensor

    def __init__(
        self,
        nu: int,
        nx: int,
        nv: int,
        ny: int,
        *,
        contraction_rate: float = 0.95,
        activation: str = "tanh",
        polar: bool = True,
        eps: float = 1e-6,
        norm_eps: float = 0.0,
        tolerance: float | None = None,
        seed: int | torch.Generator = 0,
        dtype: str | torch.dtype = "float64",
    ) -> None:
        super().__init__()
        self.nu, self.nx, self.nv, self.ny = check_sizes(nu=nu, nx=nx, nv=nv, ny=ny)
        self.contraction_rate, self.activation = check_rate(contraction_rate), get_activation(activation).name
        self.polar = bool(polar)
        # Without eps nothing would keep the equilibrium well conditioned where X is singular.
        self.eps, self.norm_eps = check_positive("eps", eps), check_positive("norm_eps", norm_eps, zero=True)
        self._tolerance = None if tolerance is None else check_positive("tolerance", tolerance)
        values = random_values(self.parameter_shapes(), make_generator(seed))
        if self.polar:
            values["p"] = polar_scale(values["X"], self.norm_eps)
        n, q = self.nx, self.nv
        # H22/2 at the start, so that D11 starts small: its diagonal at zero.
        values["l"] = (values["X"].square().sum(0)[n : n + q].clamp(min=1e-3) / 2).log()
        self._register(values, dtype)

    @property
    def tolerance(self) -> float:
        """Of the equilibrium; unless given, 1e-12, or 1e-5 in float32."""
        if self._tolerance is not None:
            return self._tolerance
        return 1e-12 if self.X.dtype == torch.float64 else 1e-5

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """The direct parameters of this network and their shapes."""
        nu, nx, nv, ny = self.nu, self.nx, self.nv, self.ny
        shapes: dict[str, tuple[int, ...]] = {"X": (2 * nx + nv, 2 * nx + nv), "Y1": (nx, nx), "Y2": (nv, nv)}
        shapes |= {"l": (nv,), **({"p": (1,)} if self.polar else {})}
        shapes |= {"B2": (nx, nu), "D12": (nv, nu), "bx": (nx,), "bv": (nv,)}
        return shapes | {"C2": (ny, nx), "D21": (ny, nv), "D22": (ny, nu), "by": (ny,)}

    def _implicit(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """H, E and the diagonal of Lam."""
        n, m, rate = self.nx, self.nx + self.nv, self.contraction_rate
        H = self.X.T @ self.X
        if self.polar:
            H = self.p**2 * H / (self.X.square().sum() + self.norm_eps)
        H = H + self.eps * torch.eye(len(H), dtype=H.dtype, device=H.device)
        return H, (H[:n, :n] + H[m:, m:] / rate**2 + self.Y1 - self.Y1.T) / 2, self.l.exp()

    def explicit(self) -> ExplicitImplicitREN:
        """The explicit network, differentiable in the parameters. Computed at each call: hoist it out of time loops."""
        n, m = self.nx, self.nx + self.nv
        H, E, Lam = self._implicit()
        A, B1, B2 = torch.linalg.solve(E, torch.cat((H[m:, :m], self.B2), dim=1)).split((n, self.nv, self.nu), dim=1)
        eye = torch.eye(self.nv, dtype=H.dtype, device=H.device)
        D11 = eye - (H[n:m, n:m] + self.Y2 - self.Y2.T) / 2 / Lam[:, None]
        C1, D12 = -H[n:m, :n] / Lam[:, None], self.D12 / Lam[:, None]
        values = (A, B1, B2, C1, self.C2, D11, D12, self.D21, self.D22, self.bx, self.bv, self.by)
        return ExplicitImplicitREN(ExplicitREN(*values, self.activation), self.tolerance)

    def forward(self, x: torch.Tensor, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One step: (x+ (..., nx), y (..., ny)) for x (..., nx) and u (..., nu)."""
        return self.explicit().step(x, u)

    @torch.no_grad()
    def certificate(self) -> RENClaim:
        """The rate, with M = E'P^-1 E and Lam; that the equilibrium is unique follows from the same form."""
        H, E, Lam = (value.double() for value in self._implicit())
        M = E.T @ torch.linalg.solve(H[self.nx + self.nv :, self.nx + self.nv :], E)
        return RENClaim(self.contraction_rate, ((M + M.T) / 2).numpy(), Lam.numpy(), acyclic=False)

    @classmethod
    def example(cls, seed: int = 0) -> "ImplicitREN":
        """Few neurons, all connected."""
        return disturb(cls(2, 3, 5, 2, contraction_rate=0.9, seed=seed), seed + 1, 0.3)
