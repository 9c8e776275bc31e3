"""Networks: free parameters to explicit matrices to a step. Names resolve when first used: torch takes a second."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from observer.networks.activations import ACTIVATIONS, get_activation
    from observer.networks.catalogue import NETWORKS
    from observer.networks.claims import Verdict
    from observer.networks.conv_lbdn import ConvLBDN
    from observer.networks.dissipative import DissipativeREN
    from observer.networks.equilibrium import solve_equilibrium
    from observer.networks.explicit import ExplicitREN
    from observer.networks.implicit import ImplicitREN
    from observer.networks.lbdn import LBDN
    from observer.networks.linear_start import load_linear
    from observer.networks.lipschitz import LipschitzREN
    from observer.networks.passive import PassiveREN
    from observer.networks.r2dn import R2DN
    from observer.networks.ren import ContractingREN
    from observer.networks.unrolling import unroll

_HOMES = {
    "ACTIVATIONS": "activations",
    "ContractingREN": "ren",
    "ConvLBDN": "conv_lbdn",
    "DissipativeREN": "dissipative",
    "ExplicitREN": "explicit",
    "ImplicitREN": "implicit",
    "LBDN": "lbdn",
    "LipschitzREN": "lipschitz",
    "NETWORKS": "catalogue",
    "PassiveREN": "passive",
    "R2DN": "r2dn",
    "Verdict": "claims",
    "get_activation": "activations",
    "load_linear": "linear_start",
    "solve_equilibrium": "equilibrium",
    "unroll": "unrolling",
}
__all__ = [
    "ACTIVATIONS",
    "LBDN",
    "NETWORKS",
    "R2DN",
    "ContractingREN",
    "ConvLBDN",
    "DissipativeREN",
    "ExplicitREN",
    "ImplicitREN",
    "LipschitzREN",
    "PassiveREN",
    "Verdict",
    "get_activation",
    "load_linear",
    "solve_equilibrium",
    "unroll",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
