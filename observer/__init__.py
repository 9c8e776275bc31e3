"""State observers that converge by construction: networks, fitting, certificates and validation."""

from importlib import import_module
from typing import Any

_HOMES = {
    "fit": "fitting.fit",
    "FitResult": "fitting.result",
    "Progress": "fitting.result",
    "certify": "certification.certificate",
    "Certificate": "certification.certificate",
    "validate": "validation",
    "Validation": "validation",
    "Criterion": "validation",
    "StateObserver": "state_observer",
    "RENObserver": "state_observer",
    "Scaling": "scaling",
    "ExplicitREN": "networks.explicit",
    "ContractingREN": "networks.ren",
    "load_run": "runs",
    "Run": "runs",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'observer' has no attribute '{name}'")
    return getattr(import_module(f"observer.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
