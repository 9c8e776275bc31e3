"""The estimators people have already, behind :class:`observer.StateObserver`: what a learned observer must be compared with.

To add one: a file here and its name in ``BASELINES``. The file has ``knobs(plant)``, what may be tuned, and
``make(plant, **values)``, the estimator for values of the knobs; it is then tuned, stressed, tabled and plotted.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from systems.base.errors import InputError

if TYPE_CHECKING:
    from observer.estimators.model import Knob
    from observer.state_observer import StateObserver
    from systems.discretization import DiscreteSystem

#: The files of the family, in the order in which tables show them.
BASELINES = (
    "open_loop", "steady_kalman", "projection", "high_gain", "extended_kalman", "unscented_kalman", "particle",
    "moving_horizon", "kkl",
)  # fmt: skip


def baseline(name: str) -> Any:
    """The module of a baseline. Raises :class:`InputError` for a name that is not in ``BASELINES``."""
    if name not in BASELINES:
        raise InputError(f"baseline is {name!r}; expected one of {', '.join(BASELINES)}")
    return import_module(f"observer.estimators.{name}")


def label(name: str) -> str:
    """What a person calls the estimator."""
    return str(baseline(name).LABEL)


def knobs(name: str, plant: "DiscreteSystem") -> "tuple[Knob, ...]":
    """What can be tuned of a baseline on this plant; none where there is nothing to choose."""
    return tuple(baseline(name).knobs(plant))


def make(name: str, plant: "DiscreteSystem", **values: float) -> "StateObserver":
    """The estimator for values of its knobs; those left out are at their defaults.

    Raises :class:`InputError` for an unknown baseline or knob, and where the plant allows no such estimator.
    """
    given = {knob.name: knob.default for knob in knobs(name, plant)}
    unknown = sorted(set(values) - set(given))
    if unknown:
        raise InputError(f"{name} has no knob '{unknown[0]}'; expected some of {', '.join(given) or 'none'}")
    for key, value in values.items():
        if not (value > 0 and value < float("inf")):
            raise InputError(f"{name}: knob '{key}' is {value!r}; expected a positive number")
    return baseline(name).make(plant, **(given | values))
