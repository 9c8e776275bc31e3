"""The plant: systems from equations, their discretisation, simulation and what can be known from their outputs."""

from importlib import import_module
from typing import Any

_HOMES = {
    "InputError": "errors",
    "SimulationError": "errors",
    "NotDetectable": "errors",
    "Signal": "signals",
    "Parameter": "signals",
    "System": "system",
    "load_system": "files",
    "discretize": "discretization",
    "DiscreteSystem": "discretization",
    "simulate": "trajectories",
    "Trajectories": "trajectories",
    "search": "detectability",
    "MetricSearch": "detectability",
    "ALL_SYSTEMS": "library",
    "box": "library.box",
    "double_integrator": "library.double_integrator",
    "mass_spring_damper": "library.mass_spring_damper",
    "pendulum": "library.pendulum",
    "van_der_pol": "library.van_der_pol",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'systems' has no attribute '{name}'")
    return getattr(import_module(f"systems.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
