"""Certificates: what is proved about an observer from its explicit weights alone, in float64."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from observer.certification.certificate import Certificate, certify
    from observer.certification.contraction import contraction_rate, find_fault, input_gain, lmi_margin

_HOMES = {
    "Certificate": "certificate",
    "certify": "certificate",
    "contraction_rate": "contraction",
    "find_fault": "contraction",
    "input_gain": "contraction",
    "lmi_margin": "contraction",
}
__all__ = ["Certificate", "certify", "contraction_rate", "find_fault", "input_gain", "lmi_margin"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
