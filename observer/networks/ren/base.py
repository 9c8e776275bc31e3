"""What every REN shares: sizes and options, direct parameters, the direct map with its inverse, and the guarantee."""

from collections.abc import Mapping
from typing import Any, ClassVar, TypedDict

import numpy as np
import torch

from observer.networks.activations import get_activation
from observer.networks.network import (
    RecurrentNetwork,
    check_positive,
    check_rate,
    check_sizes,
    make_generator,
    random_values,
)
from observer.networks.proofs.ren import RENGuarantee, Supply
from observer.networks.ren.direct_map import DirectMap
from observer.networks.ren.explicit import ExplicitREN
from observer.networks.ren.initial_values import initial_values
from observer.networks.ren.supply import inner_shapes
from systems.base.errors import InputError

Tensors = Mapping[str, torch.Tensor]
Triple = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class RENOptions(TypedDict, total=False):
    """Keywords of every REN, explained in :class:`REN`."""

    contraction_rate: float
    activation: str
    polar: bool
    identity_output: bool
    feedthrough: str
    eps: float
    norm_eps: float
    initial: str
    seed: int | torch.Generator
    dtype: str | torch.dtype


class REN(RecurrentNetwork):
    """Recurrent equilibrium network in direct (free) parameters; its matrices are those of ``DirectMap``.

    Direct parameters: X (2 nx + nv, 2 nx + nv), Y1 (nx, nx), p (1,) if polar, B2 = B2~ (nx, nu), D12 = D12~ (nv, nu),
    bx (nx,), bv (nv,), and without identity output C2 (ny, nx), D21 (ny, nv), by (ny,). With them D22 (ny, nu) where the
    feedthrough is free, X3, Y3, Z3 where it is constructed, and Y2 (nv, nv), l (nv,) where D11 is full.

    Parameters
    ----------
    nu, nx, nv, ny : numbers of inputs, states, neurons and outputs; nv = 0: linear; nx = 0: memoryless; ny = nx for
        identity output.
    contraction_rate : the bound per step, in (0, 1]. At 1 no rate is prescribed: error bounds need less than 1.
    activation : "relu", "tanh" or "sigmoid".
    polar : scale of H as one parameter of its own.
    identity_output : y = x; C2, D21, D22 and by are then constants and no parameters.
    feedthrough : one of ``feedthroughs`` of the class: "free" (D22 is a parameter), "constructed" (D22 within the supply)
        or "zero" (D22 = 0). Left out: the first of them.
    eps : added to the diagonal of H. norm_eps : added inside the norm of the polar form; zero except for weights
        that came from an implementation which adds it.
    initial : "random", "random_qr" (X orthogonal: H as well conditioned as can be), or "long_memory" (A near rate * I,
        and the neurons small enough for that rate). From a linear system: ``observer.networks.load_linear``.
    seed : an integer or a ``torch.Generator``. dtype : "float64", "float32" or the torch dtype.

    Raises
    ------
    InputError
        For sizes, a rate or options out of range.

    Notes
    -----
    Source: Revay, Wang, Manchester, arXiv 2104.05942, sections IV and V.
    """

    feedthroughs: ClassVar[tuple[str, ...]] = ("free", "zero")
    acyclic: ClassVar[bool] = True

    Y1: torch.Tensor

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
        identity_output: bool = False,
        feedthrough: str | None = None,
        eps: float = 1e-9,
        norm_eps: float = 0.0,
        initial: str = "random",
        seed: int | torch.Generator = 0,
        dtype: str | torch.dtype = "float64",
    ) -> None:
        super().__init__()
        self.nu, self.nx, self.nv, self.ny = check_sizes(nu=nu, nx=nx, nv=nv, ny=ny)
        self.contraction_rate = check_rate(contraction_rate)
        self.activation = get_activation(activation).name
        self.polar, self.identity_output = bool(polar), bool(identity_output)
        self.eps, self.norm_eps = (check_positive(n, v, zero=True) for n, v in (("eps", eps), ("norm_eps", norm_eps)))
        self.feedthrough = self._check_feedthrough(self.feedthroughs[0] if feedthrough is None else feedthrough)
        generator = make_generator(seed)
        values = random_values(self.parameter_shapes(), generator) | self._own_values()
        self._check_room(values)
        self._register(initial_values(self, initial, values, generator), dtype)

    def extra_repr(self) -> str:
        """One line for ``print``."""
        sizes = f"nu={self.nu}, nx={self.nx}, nv={self.nv}, ny={self.ny}"
        return (
            f"{sizes}, contraction_rate={self.contraction_rate:g}, activation={self.activation!r}, polar={self.polar}"
        )

    @property
    def direct_map(self) -> DirectMap:
        """The map from the direct parameters to A, B1, B2, C1, D11, D12, with its inverse."""
        return DirectMap(self.contraction_rate, self.polar, self.eps, self.norm_eps, self.acyclic)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """The direct parameters of this network and their shapes."""
        nu, nx, nv, ny = self.nu, self.nx, self.nv, self.ny
        shapes: dict[str, tuple[int, ...]] = {"X": (2 * nx + nv, 2 * nx + nv), "Y1": (nx, nx)}
        if not self.acyclic:
            shapes |= {"Y2": (nv, nv), "l": (nv,)}
        if self.polar:
            shapes["p"] = (1,)
        shapes |= {"B2": (nx, nu), "D12": (nv, nu), "bx": (nx,), "bv": (nv,)}
        if not self.identity_output:
            free = {"D22": (ny, nu)} if self.feedthrough == "free" else {}
            shapes |= {"C2": (ny, nx), "D21": (ny, nv), **free, "by": (ny,)}
        if self.feedthrough == "constructed":
            shapes |= inner_shapes(nu, ny)
        return shapes | {name: tuple(value.shape) for name, value in self._own_values().items()}

    # What a kind may have of its own; ``direct`` are direct parameters by name, as they are or as they will be.

    def supply(self, direct: Tensors | None = None) -> Triple | None:
        """Q, S, R of the guarantee, differentiable where a parameter sets them; None for contraction alone."""
        return None

    def dissipation(self, direct: Tensors) -> torch.Tensor | None:
        """G (2 nx + nv, 2 nx + nv): what the supply adds to H; None for contraction alone."""
        return None

    def constructed_feedthrough(self, direct: Tensors) -> torch.Tensor:
        """D22 (ny, nu) within the supply, from X3, Y3, Z3."""
        raise NotImplementedError

    def inner_of(self, D22: np.ndarray, direct: Tensors) -> dict[str, np.ndarray]:
        """The inverse: X3, Y3, Z3 whose constructed feedthrough is ``D22``; ValueError where there are none."""
        raise NotImplementedError

    @property
    def meaning(self) -> str:
        """What the supply means, a clause."""
        return ""

    def _own_values(self) -> dict[str, torch.Tensor]:
        """Parameters that only this kind has, at their initial values."""
        return {}

    def _check_room(self, values: Tensors) -> None:
        """InputError where the supply does not allow the output of these options."""

    def _check_feedthrough(self, feedthrough: str) -> str:
        if feedthrough not in self.feedthroughs:
            raise InputError(f"feedthrough {feedthrough!r} is not known; expected {' or '.join(self.feedthroughs)}")
        if self.identity_output and self.ny != self.nx:
            raise InputError(
                f"ny is {self.ny} with identity output; expected ny = nx = {self.nx}, or identity_output=False"
            )
        return "zero" if self.identity_output else feedthrough

    def output(self, direct: Tensors) -> tuple[torch.Tensor, ...]:
        """C2, D21, D22, by."""
        zeros = direct["B2"].new_zeros
        if self.identity_output:
            eye = zeros(self.nx, self.nx).fill_diagonal_(1)
            return eye, zeros(self.nx, self.nv), zeros(self.nx, self.nu), zeros(self.nx)
        if self.feedthrough == "constructed":
            D22 = self.constructed_feedthrough(direct)
        else:
            D22 = direct["D22"] if self.feedthrough == "free" else zeros(self.ny, self.nu)
        return direct["C2"], direct["D21"], D22, direct["by"]

    def _of_output(self, explicit: ExplicitREN, direct: Tensors) -> dict[str, np.ndarray]:
        """The inverse of ``output``."""
        self.check_output(explicit.C2, explicit.D22)
        if self.identity_output:
            return {}
        values = {name: getattr(explicit, name) for name in ("C2", "D21", "by")}
        if self.feedthrough == "constructed":
            return values | self.inner_of(explicit.D22, direct)
        return values | ({"D22": explicit.D22} if self.feedthrough == "free" else {})

    def check_output(self, C2: np.ndarray, D22: np.ndarray) -> None:
        """InputError where the network cannot have this output."""
        if self.identity_output and not (np.array_equal(C2, np.eye(self.nx)) and not D22.any()):
            raise InputError("the network has identity output; expected C = I and D = 0, or identity_output=False")
        if self.feedthrough == "zero" and D22.any():
            raise InputError("the network has no feedthrough; expected D = 0, or a network with feedthrough")

    def explicit(self, kernel: str = "auto") -> Any:
        """The explicit network, differentiable in the parameters. Computed at each call: hoist it out of time loops.

        ``kernel``: as in ``DirectMap.explicit``; "reference" for second derivatives and ``torch.func``.
        """
        direct = self.tensors()
        C2, D21, D22, by = self.output(direct)
        A, B1, B2, C1, D11, D12 = self.direct_map.explicit(direct, self.dissipation(direct), kernel)
        return ExplicitREN(A, B1, B2, C1, C2, D11, D12, D21, D22, self.bx, self.bv, by, self.activation)

    def witness(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The metric M (nx, nx) and the multipliers Lam (nv,) that prove the guarantee."""
        direct = self.tensors()
        return self.direct_map.witness(direct, self.dissipation(direct))

    def metric(self) -> torch.Tensor:
        """M = E' P^-1 E (nx, nx), in which the network contracts."""
        return self.witness()[0]

    def multipliers(self) -> torch.Tensor:
        """The diagonal of Lam (nv,)."""
        return self.witness()[1]

    def guarantee(self) -> RENGuarantee:
        """Rate and supply, with the metric and the multipliers that prove them, in float64."""
        M, Lam = (value.detach().double().cpu().numpy() for value in self.witness())
        supply = self.supply_arrays()
        return RENGuarantee(self.contraction_rate, M, Lam, supply, acyclic=self.acyclic, text=self.meaning)

    def supply_arrays(self) -> Supply | None:
        """Q, S, R as they are now, NumPy float64; None for contraction alone."""
        supply = self.supply()
        if supply is None:
            return None
        Q, S, R = (matrix.detach().double().cpu().numpy() for matrix in supply)
        return Q, S, R

    @torch.no_grad()
    def inverse(
        self, explicit: Any, metric: np.ndarray, multipliers: np.ndarray, direct: Tensors
    ) -> dict[str, torch.Tensor]:
        """Direct parameters, float64, whose explicit network is ``explicit``: the inverse of ``explicit()``.

        ``direct``: direct parameters, of which those are kept that no matrix shows. Errors: as ``load_explicit``.
        """
        explicit = getattr(explicit, "matrices", explicit).to_numpy()
        values = _doubles(direct)
        values |= _doubles(self._of_output(explicit, values))

        def added(found: dict[str, np.ndarray]) -> np.ndarray:
            G = self.dissipation(values | _doubles(found))
            assert G is not None
            return G.numpy()

        alone = self.supply(values) is None
        try:
            found = self.direct_map.direct(explicit, metric, multipliers, None if alone else added)
        except torch.linalg.LinAlgError:  # pyright: ignore[reportPrivateImportUsage]
            raise ValueError("the feedthrough D22 does not satisfy the supply strictly") from None
        return values | _doubles(found)

    def load_explicit(self, explicit: Any, metric: np.ndarray, multipliers: np.ndarray) -> "REN":
        """Take over, in place, direct parameters whose explicit network is ``explicit``, to rounding (MATH 3, step 11).

        metric M (nx, nx) and multipliers Lam (nv,) must certify the rate and the supply of this network.

        Raises
        ------
        ValueError
            With the smallest eigenvalue where they do not.
        InputError
            For a wrong shape, or an output that the network cannot have.
        """
        found = self.inverse(explicit, metric, multipliers, self.tensors())
        self.load_direct({name: value.numpy() for name, value in found.items()})
        return self

    load_linear_part = load_explicit


def _doubles(values: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    return {name: torch.as_tensor(value).detach().double().cpu() for name, value in values.items()}
