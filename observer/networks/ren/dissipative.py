"""The REN that is incrementally dissipative for a supply of the user's choice."""

from typing import Any

import numpy as np
import torch

from observer.networks.ren.supply import (
    block_from_feedthrough,
    check_supply,
    contraction_block,
    feedthrough,
    inner_from_block,
    strict_supply,
)
from observer.networks.ren.supply_ren import SupplyREN, Tensors


class DissipativeREN(SupplyREN):
    """REN with V+ <= rate^2 V + dy'Q dy + 2 du'S dy + du'R du between any two solutions, V = |dx|_M^2.

    Any valid supply: Q <= 0 and, for some D22, R + S D22 + D22'S' + D22'Q D22 > 0. Where Q is singular the network is
    built for Q - delta I, with the largest delta of a sequence that leaves room (see ``supply.strict_supply``).

        D22 = -Q^-1 S' + L_Q^-1 N L_R,   -Q = L_Q'L_Q,   R - S Q^-1 S' = L_R'L_R,   N'N < I from X3, Y3, Z3

    Parameters: nu, nx, nv, ny sizes (all may be 0); ``supply`` (Q (ny, ny), S (nu, ny), R (nu, nu)); the rest as in
    ``SupplyREN``. Example: supply=(-I, 0, 4 I) bounds the gain by 2.

    Errors: InputError for a supply that no network satisfies, with the eigenvalue that shows it.
    Source: arXiv 2104.05942, section V; the case of singular Q is this project's.
    """

    def __init__(
        self,
        nu: int,
        nx: int,
        nv: int,
        ny: int,
        *,
        supply: Any,
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
        Q, S, R = check_supply(supply, nu, ny)
        self._given = (Q, S, R)
        self._strict = strict_supply(Q, S, R)
        super().__init__(
            nu, nx, nv, ny,
            contraction_rate=contraction_rate, activation=activation, polar=polar, identity_output=identity_output,
            feedthrough=feedthrough, eps=eps, norm_eps=norm_eps, start=start, seed=seed, dtype=dtype,
        )  # fmt: skip

    def _like(self, matrix: np.ndarray) -> torch.Tensor:
        like = getattr(self, "X", None)  # not there yet while the start is found
        return torch.as_tensor(matrix, dtype=torch.float64) if like is None else torch.as_tensor(matrix).to(like)

    def supply(self) -> Tensors:
        """Q, S, R as given."""
        Q, S, R = self._given
        return self._like(Q), self._like(S), self._like(R)

    def strict(self) -> torch.Tensor:
        """Q, or Q - delta I where Q is singular."""
        return self._like(self._strict)

    def constructed_feedthrough(self) -> torch.Tensor:
        """D22 = -Q^-1 S' + L_Q^-1 N L_R."""
        N = contraction_block(self.X3, self.Y3, self.Z3, self.eps, wide=self.nu > self.ny)
        return feedthrough(self.strict(), *self.supply()[1:], N)

    def inner_of(self, D22: np.ndarray) -> dict[str, np.ndarray]:
        """X3, Y3, Z3 of a given feedthrough."""
        _, S, R = self._given
        return inner_from_block(block_from_feedthrough(self._strict, S, R, D22), self.eps)

    @property
    def promise(self) -> str:
        """The dissipation inequality."""
        return "and |dx+|_M^2 <= rate^2 |dx|_M^2 + dy'Q dy + 2 du'S dy + du'R du under any two inputs"

    @classmethod
    def example(cls, seed: int = 0) -> "DissipativeREN":
        """Two outputs, an indefinite supply with a cross term."""
        rng = np.random.default_rng(seed)
        root, S = rng.normal(size=(2, 2)), rng.normal(size=(2, 2))
        supply = (-root @ root.T - 0.1 * np.eye(2), S, 0.5 * np.eye(2))
        return cls._disturbed_example(seed, ny=2, supply=supply, contraction_rate=0.9)  # type: ignore[return-value]
