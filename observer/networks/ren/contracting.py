"""The contracting REN as a torch module: free parameters in, a network that contracts for every value of them out."""

from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np
import torch

from observer.networks.network import check_rate, disturb
from observer.networks.ren.base import REN, RENOptions
from observer.networks.ren.explicit import ExplicitREN
from systems.base.errors import InputError


class ContractingREN(REN):
    """Acyclic contracting REN with a rate bound: the map of ``DirectMap`` with G = 0 (MATH 2a).

    For every value of the parameters two solutions under the same input satisfy |dx+|_M <= rate |dx|_M with
    M = E' P^-1 E. Parameters: those of ``REN``; ny = nx where it is left out. ``feedthrough``: "free" or "zero".

    Examples
    --------
    >>> from observer.networks import ContractingREN
    >>> ContractingREN(nu=1, nx=2, nv=4, contraction_rate=0.9).verify().holds
    True
    """

    def __init__(self, nu: int, nx: int, nv: int, ny: int | None = None, **options: Unpack[RENOptions]) -> None:
        super().__init__(nu, nx, nv, nx if ny is None else ny, **options)

    @classmethod
    def example(cls, seed: int = 0) -> "ContractingREN":
        """A small network at random parameters, far from any initial values: what the contract tests run on."""
        return disturb(cls(2, 3, 5, 2, contraction_rate=0.9, seed=seed), seed + 1)

    @classmethod
    def from_direct(cls, direct: Mapping[str, Any], *, contraction_rate: float, **options: Any) -> "ContractingREN":
        """A network with the given direct parameters; sizes, ``polar`` and ``identity_output`` follow from them.

        ``options`` are those of the constructor (activation, eps, norm_eps, dtype). Without "p" the form is not
        polar, without "C2" the output is the state. Other names in ``direct`` are an error.
        """
        arrays = {name: np.asarray(value) for name, value in direct.items()}
        missing = {"X", "Y1", "B2", "D12", "bx", "bv"} - arrays.keys()
        if missing:
            raise InputError(
                f"direct parameters: {', '.join(sorted(missing))} missing; got {', '.join(sorted(arrays))}"
            )
        (nx, nu), nv = arrays["B2"].shape, arrays["D12"].shape[0]
        options.setdefault("dtype", str(arrays["X"].dtype))
        options.setdefault("polar", "p" in arrays)
        options.setdefault("identity_output", "C2" not in arrays)
        ny = nx if options["identity_output"] else arrays["C2"].shape[0]
        return cls(nu, nx, nv, ny, contraction_rate=contraction_rate, **options).load_direct(arrays)  # type: ignore[return-value]

    @classmethod
    def from_explicit(
        cls,
        explicit: ExplicitREN,
        metric: np.ndarray,
        multipliers: np.ndarray,
        contraction_rate: float,
        *,
        polar: bool = True,
        identity_output: bool | None = None,
        eps: float = 1e-9,
        norm_eps: float = 0.0,
        dtype: str | torch.dtype = "float64",
    ) -> "ContractingREN":
        """The network whose explicit matrices are those of ``explicit``, to rounding (MATH 3, step 11).

        metric M (nx, nx) and multipliers Lam (nv,) must certify the rate; the network's own metric is then a multiple of
        M. ``identity_output`` None takes it from the weights.

        Raises
        ------
        ValueError
            With the smallest eigenvalue where metric and multipliers do not certify the rate.
        InputError
            Where identity output is asked of a network that has another one.
        """
        rate, explicit = check_rate(contraction_rate), explicit.to_numpy()
        if identity_output is None:
            identity_output = explicit.has_identity_output
        elif identity_output and not explicit.has_identity_output:
            raise InputError(
                "identity_output is True, but the network has another output (C2, D21, D22, by); use False"
            )
        network = cls(
            explicit.nu, explicit.nx, explicit.nv, explicit.ny, contraction_rate=rate, activation=explicit.activation,
            polar=polar, identity_output=identity_output, eps=eps, norm_eps=norm_eps, dtype=dtype,
        )  # fmt: skip
        return network.load_explicit(explicit, metric, multipliers)  # type: ignore[return-value]
