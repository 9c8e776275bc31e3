"""Plants that people recognise. To add one: a file here, and its name in ``NAMES``; the contract tests then run on it."""

from collections.abc import Callable
from importlib import import_module

from systems.system import System

NAMES = ("box", "double_integrator", "mass_spring_damper", "pendulum", "van_der_pol")

#: name -> factory
ALL_SYSTEMS: dict[str, Callable[..., System]] = {
    name: getattr(import_module(f"systems.library.{name}"), name) for name in NAMES
}
