"""What every network of the family does besides being a torch module: it names its parameters and verifies its guarantee."""

import abc
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from observer.networks.proofs.ren import Supply
from observer.networks.proofs.verification import Verification
from observer.networks.shapes import check_shape
from systems.base.errors import InputError

DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "float64": torch.float64}


class Network(torch.nn.Module, abc.ABC):
    """A network in direct (free) parameters, whose guarantee holds for every value of them.

    Direct parameters and explicit matrices are two types: this module holds the former and computes the latter anew at
    each call of ``explicit()``. Used once per update, call the module; used many times per update, take ``explicit()``
    once (``observer.networks.unroll`` takes all steps from there).
    """

    @abc.abstractmethod
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """The direct parameters of this network and their shapes."""

    @abc.abstractmethod
    def explicit(self) -> Any:
        """The explicit network, differentiable in the parameters. Hoist it out of time loops."""

    @abc.abstractmethod
    def guarantee(self) -> Any:
        """What the network guarantees, with the witness that proves it, for the present parameters."""

    @classmethod
    @abc.abstractmethod
    def example(cls, seed: int = 0) -> "Network":
        """A small network at random parameters, far from any initial values: what the contract tests run on."""

    def verify(self, explicit: Any = None) -> Verification:
        """Recompute the guarantee in float64 from ``explicit`` (the network's own where it is left out) alone."""
        with torch.no_grad():
            return self.guarantee().verify(self.explicit() if explicit is None else explicit)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The direct parameters as they are, by name."""
        return {name: getattr(self, name) for name in self.parameter_shapes()}

    def direct(self) -> dict[str, np.ndarray]:
        """The direct parameters as NumPy arrays, by name: what ``load_direct`` takes."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.tensors().items()}

    def load_direct(self, direct: Mapping[str, Any]) -> "Network":
        """Take over all direct parameters (in place); InputError for a wrong name or shape."""
        shapes = self.parameter_shapes()
        if shapes.keys() != direct.keys():
            raise InputError(
                f"direct parameters: got {', '.join(sorted(direct))}; expected {', '.join(sorted(shapes))}"
            )
        with torch.no_grad():
            for name, shape in shapes.items():
                value = np.asarray(direct[name])
                check_shape(f"direct parameter {name}", value, shape, name)
                getattr(self, name).copy_(torch.as_tensor(value))
        return self

    def _register(self, values: Mapping[str, Any], dtype: str | torch.dtype) -> None:
        kind = check_dtype(dtype)
        for name in self.parameter_shapes():
            self.register_parameter(name, torch.nn.Parameter(torch.as_tensor(values[name]).to(kind)))


class RecurrentNetwork(Network):
    """A network with a state: x+, y of x and u, contracting at a rate, with a supply or without.

    Sizes nu, nx, nv, ny; ``contraction_rate`` per step; ``activation`` by name.
    """

    nu: int
    nx: int
    nv: int
    ny: int
    contraction_rate: float
    activation: str

    # Direct parameters of REN and R2DN alike; an option may leave out some of them.
    X: torch.Tensor
    p: torch.Tensor
    B2: torch.Tensor
    C2: torch.Tensor
    D12: torch.Tensor
    D21: torch.Tensor
    D22: torch.Tensor
    bx: torch.Tensor
    bv: torch.Tensor
    by: torch.Tensor

    @abc.abstractmethod
    def supply_arrays(self) -> Supply | None:
        """Q, S, R of the guarantee as they are now, NumPy float64; None for contraction alone."""

    @abc.abstractmethod
    def check_output(self, C2: np.ndarray, D22: np.ndarray) -> None:
        """InputError where the network cannot have this output."""

    @abc.abstractmethod
    def load_linear_part(self, explicit: Any, metric: np.ndarray, multipliers: np.ndarray) -> "RecurrentNetwork":
        """Take over, in place, a REN whose neurons act on nothing (B1 = 0, D11 = 0, D21 = 0); ValueError without room.

        C1 and D12 may become smaller. metric M (nx, nx) and multipliers (nv,) certify the linear part.
        """

    def forward(self, x: torch.Tensor, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One step: (x+ (..., nx), y (..., ny)) for x (..., nx) and u (..., nu)."""
        return self.explicit().step(x, u)


def random_values(shapes: Mapping[str, tuple[int, ...]], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Glorot normal matrices and small normal vectors, float64."""
    return {
        name: math.sqrt(2 / max(1, sum(shape))) * torch.randn(shape, generator=generator, dtype=torch.float64)
        for name, shape in shapes.items()
    }


def disturb(network: Any, seed: int, spread: float = 0.5) -> Any:
    """Add spread * N(0, 1) to every direct parameter, in place; the same network."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.parameters():
            value += spread * torch.randn(value.shape, generator=generator, dtype=torch.float64).to(value.dtype)
    return network


def check_sizes(least: int = 0, **sizes: int) -> tuple[int, ...]:
    """The sizes as integers of at least ``least``, or InputError naming the one that is not."""
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise InputError(f"{name} is {value!r}; expected a whole number, at least {least}")
    return tuple(int(value) for value in sizes.values())


def check_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """The torch dtype meant: float32 or float64."""
    found = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if found not in DTYPES.values():
        raise InputError(f"dtype is {dtype!r}; expected {' or '.join(DTYPES)}")
    return found  # type: ignore[return-value]


def check_rate(rate: float) -> float:
    """``rate`` as a float in (0, 1], or InputError."""
    if not (isinstance(rate, int | float | np.floating) and 0 < rate <= 1):
        raise InputError(f"contraction_rate is {rate!r}; expected a number in (0, 1], the factor per step: try 0.95")
    return float(rate)


def check_positive(name: str, value: float, *, zero: bool = False) -> float:
    """``value`` as a finite float above zero (or zero, where that is allowed)."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise InputError(f"{name} is {value!r}; expected a number")
    if not (math.isfinite(value) and (value > 0 or (zero and value == 0))):
        raise InputError(f"{name} is {value!r}; expected a finite number, {'zero or ' if zero else ''}positive")
    return float(value)


def make_generator(seed: int | torch.Generator) -> torch.Generator:
    """A generator of its own for ``seed``; a generator is used as it is."""
    return seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(int(seed))
