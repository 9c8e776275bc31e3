"""State observers that converge by construction: networks, fitting, certificates and validation."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from observer.certification.certificate import Certificate as Certificate
    from observer.certification.certificate import certify as certify
    from observer.fitting.fine_tune import fine_tune as fine_tune
    from observer.fitting.fit import fit as fit
    from observer.fitting.result import FitResult as FitResult
    from observer.fitting.result import Progress as Progress
    from observer.networks.explicit import ExplicitREN as ExplicitREN
    from observer.networks.ren import ContractingREN as ContractingREN
    from observer.runs import Run as Run
    from observer.runs import load_run as load_run
    from observer.scaling import Scaling as Scaling
    from observer.state_observer import RENObserver as RENObserver
    from observer.state_observer import StateObserver as StateObserver
    from observer.validation import Criterion as Criterion
    from observer.validation import Validation as Validation
    from observer.validation import validate as validate

_HOMES = {
    "fit": "fitting.fit",
    "fine_tune": "fitting.fine_tune",
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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'observer' has no attribute '{name}'")
    return getattr(import_module(f"observer.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
