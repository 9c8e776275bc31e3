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
    from systems.library.bioreactor import bioreactor as bioreactor
    from systems.library.box import box as box
    from systems.library.cart_pole import cart_pole as cart_pole
    from systems.library.continuous_stirred_tank import continuous_stirred_tank as continuous_stirred_tank
    from systems.library.double_integrator import double_integrator as double_integrator
    from systems.library.duffing import duffing as duffing
    from systems.library.epidemic import epidemic as epidemic
    from systems.library.fitzhugh_nagumo import fitzhugh_nagumo as fitzhugh_nagumo
    from systems.library.induction_motor import induction_motor as induction_motor
    from systems.library.lorenz import lorenz as lorenz
    from systems.library.lotka_volterra import lotka_volterra as lotka_volterra
    from systems.library.mass_spring_damper import mass_spring_damper as mass_spring_damper
    from systems.library.pendulum import pendulum as pendulum
    from systems.library.quadruple_tank import quadruple_tank as quadruple_tank
    from systems.library.quanser_qube import quanser_qube as quanser_qube
    from systems.library.reaction_diffusion import reaction_diffusion as reaction_diffusion
    from systems.library.reaction_diffusion_parity import reaction_diffusion_parity as reaction_diffusion_parity
    from systems.library.reverse_duffing import reverse_duffing as reverse_duffing
    from systems.library.rossler import rossler as rossler
    from systems.library.two_link_arm import two_link_arm as two_link_arm
    from systems.library.van_der_pol import van_der_pol as van_der_pol
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
    "search": "detectability",
    "MetricSearch": "detectability",
    "ALL_SYSTEMS": "library",
    "bioreactor": "library.bioreactor",
    "box": "library.box",
    "cart_pole": "library.cart_pole",
    "continuous_stirred_tank": "library.continuous_stirred_tank",
    "double_integrator": "library.double_integrator",
    "duffing": "library.duffing",
    "epidemic": "library.epidemic",
    "fitzhugh_nagumo": "library.fitzhugh_nagumo",
    "induction_motor": "library.induction_motor",
    "lorenz": "library.lorenz",
    "lotka_volterra": "library.lotka_volterra",
    "mass_spring_damper": "library.mass_spring_damper",
    "pendulum": "library.pendulum",
    "quadruple_tank": "library.quadruple_tank",
    "quanser_qube": "library.quanser_qube",
    "reaction_diffusion": "library.reaction_diffusion",
    "reaction_diffusion_parity": "library.reaction_diffusion_parity",
    "reverse_duffing": "library.reverse_duffing",
    "rossler": "library.rossler",
    "two_link_arm": "library.two_link_arm",
    "van_der_pol": "library.van_der_pol",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'systems' has no attribute '{name}'")
    return getattr(import_module(f"systems.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
