"""The proved bound of the one-step residual over a region, and of the error that it builds up over N steps (MATH 4)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from observer.certification.residual.bound import ResidualBound, bound_residual
    from observer.certification.residual.horizon import HorizonBound, bound_horizon
    from observer.certification.residual.program import Unprovable

_HOMES = {
    "ResidualBound": "bound",
    "bound_residual": "bound",
    "HorizonBound": "horizon",
    "bound_horizon": "horizon",
    "Unprovable": "program",
}
__all__ = ["HorizonBound", "ResidualBound", "Unprovable", "bound_horizon", "bound_residual"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
