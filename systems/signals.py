"""Named signals and parameters: what is known about each quantity, stated once and carried everywhere.

A range is the operating region of a signal: it sets the scaling, the sampling of training data and the region of
certificates. Units are labels and are never converted.
"""

import math
import re
from dataclasses import dataclass

from systems.base.errors import InputError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
EXCITATIONS = ("zero", "constant", "steps", "sine", "chirp", "square", "prbs", "walk", "drift")
ROLES = ("known", "disturbance")


def _interval(owner: str, what: str, value: object) -> tuple[float, float]:
    """A pair low < high of finite numbers, or an error that names the signal."""
    try:
        low, high = value  # type: ignore[misc]
        low, high = float(low), float(high)
    except (TypeError, ValueError) as error:
        raise InputError(f"{owner}: {what} is {value!r}; expected two numbers (low, high)") from error
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"{owner}: {what} is ({low}, {high}); expected two finite numbers, low < high")
    if not low < high:
        raise InputError(
            f"{owner}: {what} is ({low:g}, {high:g}); expected low < high, so swap or widen the two numbers"
        )
    return low, high


def check_name(kind: str, name: object) -> str:
    """Return ``name`` when it is an identifier (letters, digits, underscores); equations and files refer to it."""
    if not isinstance(name, str) or not _NAME.match(name):
        raise InputError(f"{kind} name {name!r}: expected letters, digits and underscores, not starting with a digit")
    return name


@dataclass(frozen=True)
class Signal:
    """One scalar state, input or output.

    Parameters
    ----------
    name : str
        Identifier by which equations, plots and messages refer to the signal.
    unit : str
        A label, for instance ``"m/s"``; units are never converted.
    range : (float, float), optional
        The operating region. Required for states and inputs; measured for outputs when left out.
    initial : (float, float), optional
        The set of initial states; the range when left out. States only.
    limits : (float, float), optional
        Physical bounds; a simulation that breaks them is an error. States only.
    period : float, optional
        The period of an angle (``2*pi`` for radians): errors are wrapped to half a period. States and outputs.
    role : {"known", "disturbance"}
        A disturbance is an input that the observer does not know. Inputs only.
    noise : float
        Standard deviation of the measurement noise, in the unit of the signal. Outputs only.
    excitation : str, optional
        Default excitation of an input, one of ``EXCITATIONS``; ``"steps"`` when left out. Inputs only.

    Raises
    ------
    InputError
        For a name that is no identifier, an interval that is not low < high, a number that is not finite.
    """

    name: str
    unit: str = ""
    range: tuple[float, float] | None = None
    initial: tuple[float, float] | None = None
    limits: tuple[float, float] | None = None
    period: float | None = None
    role: str = "known"
    noise: float = 0.0
    excitation: str | None = None

    def __post_init__(self) -> None:
        check_name("signal", self.name)
        owner = f"signal '{self.name}'"
        if not isinstance(self.unit, str):
            raise InputError(f'{owner}: unit is {self.unit!r}; expected a text such as "m/s"')
        for what in ("range", "initial", "limits"):
            if getattr(self, what) is not None:
                object.__setattr__(self, what, _interval(owner, what, getattr(self, what)))
        for what in ("noise", "period"):
            value = getattr(self, what)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                raise InputError(f"{owner}: {what} is {value!r}; expected a finite number, zero or positive")
        if self.period == 0:
            raise InputError(f"{owner}: period is 0; expected the period of the angle, for instance 6.283185307")
        if self.role not in ROLES:
            raise InputError(f"{owner}: role is {self.role!r}; expected one of {', '.join(ROLES)}")
        if self.excitation is not None and self.excitation not in EXCITATIONS:
            raise InputError(f"{owner}: excitation is {self.excitation!r}; expected one of {', '.join(EXCITATIONS)}")
        if self.limits is not None:
            for what in ("range", "initial"):
                inner = getattr(self, what)
                if inner is not None and (inner[0] < self.limits[0] or inner[1] > self.limits[1]):
                    raise InputError(f"{owner}: {what} {inner} reaches outside limits {self.limits}; narrow the {what}")

    @property
    def label(self) -> str:
        """Name and unit, as on the axis of a plot."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name


@dataclass(frozen=True)
class Parameter:
    """A constant of the plant that stays a symbol of its graph.

    Parameters
    ----------
    value : float
    unit : str
        A label.
    range : (float, float), optional
        Where the value may lie.
    """

    value: float
    unit: str = ""
    range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InputError(f"parameter value is {value!r}; expected a finite number")
        object.__setattr__(self, "value", float(value))
        if self.range is not None:
            object.__setattr__(self, "range", _interval("parameter", "range", self.range))
