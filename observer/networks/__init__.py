"""Networks: free parameters to explicit matrices to a step. Names resolve when first used: torch takes a second."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from observer.networks.activations import ACTIVATIONS, get_activation
    from observer.networks.equilibrium import solve_equilibrium
    from observer.networks.explicit import ExplicitREN
    from observer.networks.ren import ContractingREN

_HOMES = {
    "ACTIVATIONS": "activations",
    "get_activation": "activations",
    "ContractingREN": "ren",
    "ExplicitREN": "explicit",
    "solve_equilibrium": "equilibrium",
}
__all__ = ["ACTIVATIONS", "ContractingREN", "ExplicitREN", "get_activation", "solve_equilibrium"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
