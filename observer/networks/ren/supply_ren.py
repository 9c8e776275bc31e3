"""The REN that is incrementally dissipative for a supply rate: what its Lipschitz, passive and general kinds share."""

import abc
from typing import Any

import numpy as np
import torch

from observer.networks.activations import get_activation
from observer.networks.network import Network, check_positive, check_sizes, disturb, make_generator
from observer.networks.proofs.guarantees import RENClaim, Supply
from observer.networks.ren.contracting import check_rate
from observer.networks.ren.explicit import ExplicitREN
from observer.networks.ren.initial_values import supply_start
from observer.networks.ren.supply import inner_shapes, residual_supply
from observer.networks.ren.supply_inverse import supply_parameters
from systems.base.errors import InputError

FEEDTHROUGHS: tuple[str, ...] = ("constructed", "zero")

Tensors = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class SupplyREN(Network):
    """Acyclic REN with V+ <= rate^2 V + s(dy, du), V = |dx|_M^2, for every value of its parameters (MATH 2b).

        Rc  = R + S D22 + D22'S' + D22'Q D22 > 0   by the construction of D22
        C2t = (D22'Q + S) C2,   D21t = (D22'Q + S) D21 - D12~'
        H   = X'X + eps I + [C2t D21t B2~']' Rc^-1 [C2t D21t B2~'] - [C2 D21 0]'Q [C2 D21 0]

    with X'X scaled to p^2 X'X / (|X|_F^2 + norm_eps) in the polar form; the matrices follow from H as in
    ``ContractingREN``. As Q <= 0, the network also contracts: |dx+|_M <= rate |dx|_M under the same input.

    Direct parameters: those of ``ContractingREN`` without D22, and X3, Y3, Z3 of the feedthrough unless it is zero.
    With identity output C2 = I, D21 = 0, D22 = 0, by = 0 are constants.

    Parameters (beyond those of ``ContractingREN``): ``feedthrough`` "constructed", or "zero" where R > 0.
    """

    X: torch.Tensor
    Y1: torch.Tensor
    p: torch.Tensor
    B2: torch.Tensor
    C2: torch.Tensor
    D12: torch.Tensor
    D21: torch.Tensor
    bx: torch.Tensor
    bv: torch.Tensor
    by: torch.Tensor
    X3: torch.Tensor
    Y3: torch.Tensor
    Z3: torch.Tensor

    def __init__(
        self,
        nu: int,
        nx: int,
        nv: int,
        ny: int,
        *,
        contraction_rate: float,
        activation: str,
        polar: bool,
        identity_output: bool,
        feedthrough: str,
        eps: float,
        norm_eps: float,
        start: str,
        seed: int | torch.Generator,
        dtype: str | torch.dtype,
    ) -> None:
        super().__init__()
        self.nu, self.nx, self.nv, self.ny = check_sizes(nu=nu, nx=nx, nv=nv, ny=ny)
        self.contraction_rate = check_rate(contraction_rate)
        self.activation = get_activation(activation).name
        self.polar, self.identity_output = bool(polar), bool(identity_output)
        self.eps, self.norm_eps = (
            check_positive("eps", eps, zero=True),
            check_positive("norm_eps", norm_eps, zero=True),
        )
        if feedthrough == "free":
            raise InputError(
                "feedthrough is 'free': no bound holds for every D22; expected 'constructed' or 'zero', or a"
                " ContractingREN, whose D22 is free"
            )
        if feedthrough not in FEEDTHROUGHS:
            raise InputError(f"feedthrough {feedthrough!r} is not known; expected {' or '.join(FEEDTHROUGHS)}")
        if self.identity_output and ny != nx:
            raise InputError(f"ny is {ny} with identity output; expected ny = nx = {nx}, or identity_output=False")
        self.feedthrough = "zero" if self.identity_output else feedthrough
        if self.feedthrough == "zero":
            self._refuse_without_room()
        self._register(supply_start(self, start, make_generator(seed)), dtype)

    @abc.abstractmethod
    def supply(self) -> Tensors:
        """Q, S, R of the promise, differentiable where a parameter sets them."""

    @abc.abstractmethod
    def strict(self) -> torch.Tensor:
        """The Q that the construction uses: that of the supply, or a smaller one."""

    @abc.abstractmethod
    def constructed_feedthrough(self) -> torch.Tensor:
        """D22 (ny, nu) with Rc > 0, from X3, Y3, Z3."""

    @abc.abstractmethod
    def inner_of(self, D22: np.ndarray) -> dict[str, np.ndarray]:
        """X3, Y3, Z3 whose constructed feedthrough is ``D22``; ValueError where there are none."""

    @property
    @abc.abstractmethod
    def promise(self) -> str:
        """What the supply means, a clause."""

    def _own_shapes(self) -> dict[str, tuple[int, ...]]:
        """Parameters that only this kind has."""
        return {}

    def _start_values(self) -> dict[str, torch.Tensor]:
        """Start values of ``_own_shapes``."""
        return {}

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """The direct parameters of this network and their shapes."""
        nu, nx, nv, ny = self.nu, self.nx, self.nv, self.ny
        shapes: dict[str, tuple[int, ...]] = {"X": (2 * nx + nv, 2 * nx + nv), "Y1": (nx, nx)}
        if self.polar:
            shapes["p"] = (1,)
        shapes |= {"B2": (nx, nu), "D12": (nv, nu), "bx": (nx,), "bv": (nv,)}
        if not self.identity_output:
            shapes |= {"C2": (ny, nx), "D21": (ny, nv), "by": (ny,)}
        if self.feedthrough == "constructed":
            shapes |= inner_shapes(nu, ny)
        return shapes | self._own_shapes()

    def output(self) -> tuple[torch.Tensor, ...]:
        """C2, D21, D22, by."""
        zeros = self.B2.new_zeros
        if self.identity_output:
            eye = torch.eye(self.nx, dtype=self.B2.dtype, device=self.B2.device)
            return eye, zeros(self.nx, self.nv), zeros(self.nx, self.nu), zeros(self.nx)
        constructed = self.feedthrough == "constructed"
        return self.C2, self.D21, self.constructed_feedthrough() if constructed else zeros(self.ny, self.nu), self.by

    def _implicit(self, C2: torch.Tensor, D21: torch.Tensor, D22: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """H, E and the diagonal of Lam."""
        n, q, rate = self.nx, self.nv, self.contraction_rate
        H = self.X.T @ self.X
        if self.polar:
            H = self.p**2 * H / (self.X.square().sum() + self.norm_eps)
        H = H + self.eps * torch.eye(2 * n + q, dtype=H.dtype, device=H.device)
        (_, S, R), Q = self.supply(), self.strict()
        if self.nu:
            to_output = D22.T @ Q + S
            G = torch.cat((to_output @ C2, to_output @ D21 - self.D12.T, self.B2.T), dim=1)
            H = H + G.T @ torch.cholesky_solve(G, torch.linalg.cholesky(residual_supply(Q, S, R, D22)))
        seen = torch.cat((C2, D21, C2.new_zeros(self.ny, n)), dim=1)
        H = H - seen.T @ Q @ seen
        E = (H[:n, :n] + H[n + q :, n + q :] / rate**2 + self.Y1 - self.Y1.T) / 2
        return H, E, H.diagonal()[n : n + q] / 2

    def explicit(self) -> ExplicitREN:
        """The explicit network, differentiable in the parameters. Computed at each call: hoist it out of time loops."""
        n, m = self.nx, self.nx + self.nv
        C2, D21, D22, by = self.output()
        H, E, Lam = self._implicit(C2, D21, D22)
        A, B1, B2 = torch.linalg.solve(E, torch.cat((H[m:, :m], self.B2), dim=1)).split((n, self.nv, self.nu), dim=1)
        C1, D11, D12 = (matrix / Lam[:, None] for matrix in (-H[n:m, :n], -H[n:m, n:m].tril(-1), self.D12))
        return ExplicitREN(A, B1, B2, C1, C2, D11, D12, D21, D22, self.bx, self.bv, by, self.activation)

    def forward(self, x: torch.Tensor, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One step: (x+ (..., nx), y (..., ny)) for x (..., nx) and u (..., nu)."""
        return self.explicit().step(x, u)

    @torch.no_grad()
    def certificate(self) -> RENClaim:
        """Rate and supply, with the metric M = E'P^-1 E and the multipliers Lam of the construction."""
        H, E, Lam = (value.double() for value in self._implicit(*self.output()[:3]))
        M = E.T @ torch.linalg.solve(H[self.nx + self.nv :, self.nx + self.nv :], E)
        return RENClaim(
            self.contraction_rate, ((M + M.T) / 2).numpy(), Lam.numpy(), self.supply_arrays(), text=self.promise
        )

    def supply_arrays(self) -> Supply:
        """Q, S, R as they are now, NumPy float64."""
        Q, S, R = (matrix.detach().double().cpu().numpy() for matrix in self.supply())
        return Q, S, R

    def load_explicit(self, explicit: ExplicitREN, metric: np.ndarray, multipliers: np.ndarray) -> "SupplyREN":
        """Take over, in place, direct parameters whose explicit network is ``explicit``, to rounding.

        metric M (nx, nx) and multipliers Lam (nv,) must certify the rate and the supply of this network.
        Errors: ValueError with the smallest eigenvalue where they do not.
        """
        values = supply_parameters(self, explicit.to_numpy(), metric, multipliers)
        kept = {name: value for name, value in self.direct().items() if name in self._own_shapes()}
        self.load_direct(values | kept)
        return self

    def _refuse_without_room(self) -> None:
        _, _, R = self.supply_arrays()
        least = np.linalg.eigvalsh(R)[0] if R.size else 1.0
        if least <= 0:
            what = "identity_output=True" if self.identity_output else "feedthrough='zero'"
            raise InputError(
                f"{what} makes D22 = 0, and then R of the supply must be positive definite; got the eigenvalue"
                f" {least:.3g}: use feedthrough='constructed' without identity output"
            )

    @classmethod
    def _disturbed_example(cls, seed: int, **options: Any) -> "SupplyREN":
        return disturb(cls(2, 3, 5, seed=seed, **options), seed + 1)
