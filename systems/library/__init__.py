"""Plants that people recognise. To add one: a file here, and its name in ``NAMES``; the contract tests then run on it."""

from collections.abc import Callable
from importlib import import_module

from systems.library.facts import Facts
from systems.system import System

NAMES = (
    "box", "double_integrator", "mass_spring_damper", "pendulum", "van_der_pol", "duffing", "reverse_duffing", "lorenz",
    "rossler", "fitzhugh_nagumo", "lotka_volterra", "epidemic", "quadruple_tank", "continuous_stirred_tank", "bioreactor",
    "induction_motor", "cart_pole", "two_link_arm", "quanser_qube", "reaction_diffusion", "reaction_diffusion_parity",
)  # fmt: skip

#: name -> factory
ALL_SYSTEMS: dict[str, Callable[..., System]] = {
    name: getattr(import_module(f"systems.library.{name}"), name) for name in NAMES
}

#: name -> what is known of the plant without simulating it
ALL_FACTS: dict[str, Facts] = {name: import_module(f"systems.library.{name}").FACTS for name in NAMES}
