"""The REN that is incrementally dissipative for a supply of the user's choice."""

from typing import Any, Unpack

import numpy as np
import torch

from observer.networks.ren.base import RENOptions, Tensors, Triple
from observer.networks.ren.supply import check_supply, strict_supply
from observer.networks.ren.supply_ren import SupplyREN


class DissipativeREN(SupplyREN):
    """REN with V+ <= rate^2 V + dy'Q dy + 2 du'S dy + du'R du between any two solutions, V = |dx|_M^2.

    Any valid supply: Q <= 0 and, for some D22, R + S D22 + D22'S' + D22'Q D22 > 0. Where Q is singular the network is
    built for Q - delta I, with the largest delta of a sequence that leaves room (see ``supply.strict_supply``).

    Parameters: nu, nx, nv, ny sizes (all may be 0); ``supply`` (Q (ny, ny), S (nu, ny), R (nu, nu)); the rest as in
    ``SupplyREN``. Example: supply=(-I, 0, 4 I) bounds the gain by 2.

    Errors: InputError for a supply that no network satisfies, with the eigenvalue that shows it.
    Source: arXiv 2104.05942, section V; the case of singular Q is this project's.
    """

    def __init__(
        self, nu: int, nx: int, nv: int, ny: int, *, supply: Any, **options: Unpack[RENOptions]
    ) -> None:  # fmt: skip
        self._given = check_supply(supply, nu, ny)
        self._strict = strict_supply(*self._given)
        super().__init__(nu, nx, nv, ny, **options)

    def _like(self, matrix: np.ndarray, direct: Tensors | None) -> torch.Tensor:
        return torch.as_tensor(matrix).to((self.tensors() if direct is None else direct)["X"])

    def supply(self, direct: Tensors | None = None) -> Triple:
        """Q, S, R as given."""
        Q, S, R = self._given
        return self._like(Q, direct), self._like(S, direct), self._like(R, direct)

    def strict(self, direct: Tensors | None = None) -> torch.Tensor:
        """Q, or Q - delta I where Q is singular."""
        return self._like(self._strict, direct)

    @property
    def meaning(self) -> str:
        """The dissipation inequality."""
        return "and |dx+|_M^2 <= rate^2 |dx|_M^2 + dy'Q dy + 2 du'S dy + du'R du under any two inputs"

    @classmethod
    def example(cls, seed: int = 0) -> "DissipativeREN":
        """Two outputs, an indefinite supply with a cross term."""
        rng = np.random.default_rng(seed)
        root, S = rng.normal(size=(2, 2)), rng.normal(size=(2, 2))
        supply = (-root @ root.T - 0.1 * np.eye(2), S, 0.5 * np.eye(2))
        return cls._disturbed_example(seed, ny=2, supply=supply, contraction_rate=0.9)  # type: ignore[return-value]
