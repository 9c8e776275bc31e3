"""The plant: systems from equations, their discretisation, simulation and what can be known from their outputs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from systems.detectability import MetricSearch as MetricSearch
    from systems.detectability import search as search
    from systems.discretization import DiscreteSystem as DiscreteSystem
    from systems.discretization import discretize as discretize
    from systems.errors import InputError as InputError
    from systems.errors import NotDetectable as NotDetectable
    from systems.errors import SimulationError as SimulationError
    from systems.files import load_system as load_system
    from systems.library import ALL_SYSTEMS as ALL_SYSTEMS
    from systems.library.box import box as box
    from systems.library.double_integrator import double_integrator as double_integrator
    from systems.library.mass_spring_damper import mass_spring_damper as mass_spring_damper
    from systems.library.pendulum import pendulum as pendulum
    from systems.library.van_der_pol import van_der_pol as van_der_pol
    from systems.recordings import export as export
    from systems.recordings import read_recordings as read_recordings
    from systems.signals import Parameter as Parameter
    from systems.signals import Signal as Signal
    from systems.system import System as System
    from systems.trajectories import Trajectories as Trajectories
    from systems.trajectories import simulate as simulate

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
    "read_recordings": "recordings",
    "export": "recordings",
    "search": "detectability",
    "MetricSearch": "detectability",
    "ALL_SYSTEMS": "library",
    "box": "library.box",
    "double_integrator": "library.double_integrator",
    "mass_spring_damper": "library.mass_spring_damper",
    "pendulum": "library.pendulum",
    "van_der_pol": "library.van_der_pol",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'systems' has no attribute '{name}'")
    return getattr(import_module(f"systems.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
