"""The REN that is incrementally dissipative for a supply rate: what its Lipschitz, passive and general kinds share."""

import abc
from typing import Any, ClassVar

import numpy as np
import torch

from observer.networks.linear_solves import cholesky
from observer.networks.network import disturb
from observer.networks.ren.base import REN, Tensors, Triple
from observer.networks.ren.supply import (
    block_from_feedthrough,
    contraction_block,
    feedthrough,
    inner_from_block,
    residual_supply,
)
from systems.base.errors import InputError


class SupplyREN(REN):
    """Acyclic REN with V+ <= rate^2 V + s(dy, du), V = |dx|_M^2, for every value of its parameters (MATH 2b).

        D22 = -Q^-1 S' + L_Q^-1 N L_R,   -Q = L_Q'L_Q,   R - S Q^-1 S' = L_R'L_R,   N'N < I from X3, Y3, Z3
        Rc  = R + S D22 + D22'S' + D22'Q D22 > 0   by this D22
        C2t = (D22'Q + S) C2,   D21t = (D22'Q + S) D21 - D12~'
        G   = [C2t D21t B2~']' Rc^-1 [C2t D21t B2~'] - [C2 D21 0]'Q [C2 D21 0]

    in the map of ``DirectMap``. As Q <= 0, the network also contracts: |dx+|_M <= rate |dx|_M under the same input.

    Parameters: those of ``REN``; ``feedthrough`` "constructed", or "zero" where R > 0.
    """

    feedthroughs: ClassVar[tuple[str, ...]] = ("constructed", "zero")

    X3: torch.Tensor
    Y3: torch.Tensor
    Z3: torch.Tensor

    @abc.abstractmethod
    def supply(self, direct: Tensors | None = None) -> Triple:
        """Q, S, R of the guarantee, differentiable where a parameter sets them."""

    def strict(self, direct: Tensors | None = None) -> torch.Tensor:
        """The Q that the construction uses: that of the supply, or a smaller one."""
        return self.supply(direct)[0]

    def constructed_feedthrough(self, direct: Tensors) -> torch.Tensor:
        """D22 of X3, Y3, Z3."""
        X3, Y3, Z3 = (direct[name] for name in ("X3", "Y3", "Z3"))
        N = contraction_block(X3, Y3, Z3, self.eps, wide=self.nu > self.ny)
        return feedthrough(self.strict(direct), *self.supply(direct)[1:], N)

    def inner_of(self, D22: np.ndarray, direct: Tensors) -> dict[str, np.ndarray]:
        """X3, Y3, Z3 of a given feedthrough."""
        Q, S, R = (matrix.detach().numpy() for matrix in (self.strict(direct), *self.supply(direct)[1:]))
        return inner_from_block(block_from_feedthrough(Q, S, R, D22), self.eps)

    def dissipation(self, direct: Tensors) -> torch.Tensor:
        """G (2 nx + nv, 2 nx + nv), what the supply adds to H."""
        (_, S, R), Q = self.supply(direct), self.strict(direct)
        C2, D21, D22, _ = self.output(direct)
        seen = torch.cat((C2, D21, C2.new_zeros(self.ny, self.nx)), dim=1)
        G = -seen.T @ Q @ seen
        if self.nu:
            to_output = D22.T @ Q + S
            K = torch.cat((to_output @ C2, to_output @ D21 - direct["D12"].T, direct["B2"].T), dim=1)
            G = G + K.T @ torch.cholesky_solve(K, cholesky(residual_supply(Q, S, R, D22)))
        return G

    def _check_feedthrough(self, feedthrough: str) -> str:
        if feedthrough == "free":
            raise InputError(
                "feedthrough is 'free': no bound holds for every D22; expected 'constructed' or 'zero', or a"
                " ContractingREN, whose D22 is free"
            )
        return super()._check_feedthrough(feedthrough)

    def _check_room(self, values: Tensors) -> None:
        R = self.supply(values)[2].numpy()
        least = np.linalg.eigvalsh(R)[0] if R.size else 1.0
        if self.feedthrough == "zero" and least <= 0:
            what = "identity_output=True" if self.identity_output else "feedthrough='zero'"
            raise InputError(
                f"{what} makes D22 = 0, and then R of the supply must be positive definite; got the eigenvalue"
                f" {least:.3g}: use feedthrough='constructed' without identity output"
            )

    @classmethod
    def _disturbed_example(cls, seed: int, **options: Any) -> "SupplyREN":
        return disturb(cls(2, 3, 5, seed=seed, **options), seed + 1)
