"""Named signals and parameters: what is known about each quantity, stated once and carried everywhere.

A range is the operating region of a signal: it sets the scaling, the sampling of training data and the region of
certificates. Units are labels and are never converted.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from systems.base.errors import InputError
from systems.base.wording import shorten

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
EXCITATIONS = ("zero", "constant", "steps", "sine", "chirp", "square", "prbs", "walk", "drift")
ROLES = ("known", "disturbance")
#: Sizes of all numbers of a plant that are not zero: the square of the ratio of any two of them is a finite, normal double.
SMALLEST, LARGEST = 1e-75, 1e75
SIZE = f"zero or from {SMALLEST:g} to {LARGEST:g} in size"
NARROWEST = 1e-9  # width of an interval over its larger end: a millionth of it is still above the rounding
LONGEST_NAME = 100
MOST_TURNS = 1e6  # that a range may hold


def check_number(
    owner: str,
    what: str,
    value: object,
    expected: str = "a finite number",
    *,
    least: float = -math.inf,
    zero: bool = True,
) -> float:
    """``value`` as a float, when it is zero (if ``zero``) or of a size that can be computed with, and not below ``least``.

    Raises :class:`InputError` that names the owner and the bound.
    """
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:  # an integer of more than 308 digits
        number = math.inf
    if number != number or number < least or (number == 0 and not zero):
        raise InputError(f"{owner}: {what} is {shorten(value)}; expected {expected}")
    if number != 0 and not SMALLEST <= abs(number) <= LARGEST:
        raise InputError(f"{owner}: {what} is {shorten(value)}; expected {expected}, {SIZE}; choose other units")
    return number


def _interval(owner: str, what: str, value: object) -> tuple[float, float]:
    """A pair low < high of finite numbers, or an error that names the signal."""
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str) or len(value) != 2:
        raise InputError(f"{owner}: {what} is {shorten(value)}; expected two numbers (low, high)")
    expected = "two finite numbers, low < high"
    low, high = (
        check_number(owner, what, end.item() if isinstance(end, np.generic) else end, expected) for end in value
    )
    if not low < high:
        raise InputError(
            f"{owner}: {what} is ({low:g}, {high:g}); expected low < high, so swap or widen the two numbers"
        )
    if high - low < NARROWEST * max(abs(low), abs(high)):
        raise InputError(
            f"{owner}: {what} is ({low!r}, {high!r}); expected a width of at least {NARROWEST:g} of its ends, as rounding blurs a "
            "narrower one; widen it, or count from another zero"
        )
    return low, high


def check_name(kind: str, name: object) -> str:
    """Return ``name`` when it is an identifier (letters, digits, underscores); equations and files refer to it."""
    if not isinstance(name, str) or not _NAME.match(name):
        raise InputError(
            f"{kind} name {shorten(name)}: expected letters, digits and underscores, not starting with a digit"
        )
    if len(name) > LONGEST_NAME:
        raise InputError(f"{kind} name {shorten(name)} has {len(name)} characters; expected at most {LONGEST_NAME}")
    return name


def check_label(owner: str, what: str, text: object, expected: str) -> None:
    """Raises :class:`InputError` for what is no text, long, or not to be shown as it is (control characters)."""
    if not isinstance(text, str) or len(text) > LONGEST_NAME or not text.isprintable():
        raise InputError(
            f"{owner}: {what} is {shorten(text)}; expected {expected}, at most {LONGEST_NAME} printable characters"
        )


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
        The period of an angle (``2*pi`` for radians), which may be told on any branch: errors are wrapped to half a period. A state
        whose range is a period or more turns through (:mod:`systems.angles`). States and outputs.
    role : {"known", "disturbance"}
        A disturbance is an input that the observer does not know. Inputs only.
    noise : float
        Standard deviation of the measurement noise, in the unit of the signal. Outputs only.
    excitation : str, optional
        Default excitation of an input, one of ``EXCITATIONS``; ``"steps"`` when left out. Inputs only.
    process_noise : float
        Standard deviation per square root of a second of what moves the state beside its equation. States only.

    pair : (str, str), optional
        The columns of a log that hold the sine and the cosine of this angle, where none holds the angle itself
        (:mod:`systems.sine_cosine`). Outputs only.

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
    process_noise: float = 0.0
    pair: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        check_name("signal", self.name)
        owner = f"signal '{self.name}'"
        check_label(owner, "unit", self.unit, 'a text such as "m/s"')
        for what in ("range", "initial", "limits"):
            if getattr(self, what) is not None:
                object.__setattr__(self, what, _interval(owner, what, getattr(self, what)))
        if self.pair is not None:
            object.__setattr__(self, "pair", tuple(check_name("signal", name) for name in self.pair))
        for what, zero in (("noise", True), ("process_noise", True), ("period", False)):
            expected = (
                "a finite number, zero or positive" if zero else "the period of the angle, for instance 6.283185307"
            )
            if getattr(self, what) is not None:
                check_number(owner, what, getattr(self, what), expected, least=0.0, zero=zero)
        if self.period and self.range and self.range[1] - self.range[0] > MOST_TURNS * self.period:
            raise InputError(
                f"{owner}: the range {self.range} holds more than {MOST_TURNS:g} turns of the period {self.period:g}; correct one of them"
            )
        if self.role not in ROLES:
            raise InputError(f"{owner}: role is {self.role!r}; expected one of {', '.join(ROLES)}")
        if self.excitation is not None and self.excitation not in EXCITATIONS:
            raise InputError(f"{owner}: excitation is {self.excitation!r}; expected one of {', '.join(EXCITATIONS)}")
        if self.limits is not None:
            for what in ("range", "initial"):
                inner = getattr(self, what)
                if inner is not None and (inner[0] < self.limits[0] or inner[1] > self.limits[1]):
                    raise InputError(f"{owner}: {what} {inner} reaches outside limits {self.limits}; narrow the {what}")

    def to_data(self) -> dict[str, Any]:
        """JSON-able, with which it is made again; what came later is left out at its default, so that old fingerprints hold."""
        return {name: value for name, value in asdict(self).items() if name not in ("process_noise", "pair") or value}

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
        object.__setattr__(self, "value", check_number("parameter", "value", self.value))
        if self.range is not None:
            object.__setattr__(self, "range", _interval("parameter", "range", self.range))
