"""The classical estimators, behind :class:`observer.StateObserver`: a learned observer is compared with them.

To add one: a file here and its name in ``ESTIMATORS``. The file has ``LABEL``, its name in tables; ``tuning_parameters(plant)``; and
``make(plant, **values)``, the estimator for values of its tuning parameters. ``observer compare`` then tunes, runs and shows it.
Optional: ``RUNS``, what executes its steps, and ``EXPENSE``: tuning takes one evaluation in so many.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from systems.base.errors import InputError

if TYPE_CHECKING:
    from observer.estimators.parameters import TuningParameter
    from observer.state_observer import StateObserver
    from systems.discretization import DiscreteSystem

#: The files of the family, in the order in which tables show them.
ESTIMATORS = (
    "open_loop", "steady_kalman", "projection", "high_gain", "extended_kalman", "unscented_kalman", "particle",
    "moving_horizon", "kkl",
)  # fmt: skip


def get_estimator(name: str) -> ModuleType:
    """The module of an estimator. Raises :class:`InputError` for a name that is not in ``ESTIMATORS``."""
    if name not in ESTIMATORS:
        raise InputError(f"estimator is {name!r}; expected one of {', '.join(ESTIMATORS)}")
    return import_module(f"observer.estimators.{name}")


def label(name: str) -> str:
    """The name of the estimator in tables."""
    return str(get_estimator(name).LABEL)


def tuning_parameters(name: str, plant: "DiscreteSystem") -> "tuple[TuningParameter, ...]":
    """The tuning parameters of an estimator on this plant; none where there is nothing to choose."""
    return tuple(get_estimator(name).tuning_parameters(plant))


def make(name: str, plant: "DiscreteSystem", **values: float) -> "StateObserver":
    """The estimator for values of its tuning parameters; those left out are at their defaults.

    Raises
    ------
    InputError
        For an unknown estimator or tuning parameter, and where the plant allows no such estimator.
    """
    given = {parameter.name: parameter.default for parameter in tuning_parameters(name, plant)}
    unknown = sorted(set(values) - set(given))
    if unknown:
        known = ", ".join(given) or "none"
        raise InputError(f"{name} has no tuning parameter '{unknown[0]}'; expected some of {known}")
    for key, value in values.items():
        if not 0 < value < float("inf"):
            raise InputError(f"{name}: tuning parameter '{key}' is {value!r}; expected a positive number")
    return get_estimator(name).make(plant, **(given | values))
