"""Numbers for a page: short for the eye, exact underneath.

Every number is written as ``<data value="0.0126…">1.26 × 10⁻²</data>``: what is seen is rounded, and a program that
reads the page finds the full value.
"""

import math
import numbers
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_UNIT: ContextVar[str] = ContextVar("time_unit", default="s")
MISSING, NBSP = "–", "\u00a0"


@dataclass(frozen=True)
class Number:
    """A value with the number of significant digits to show and its unit."""

    value: Any
    unit: str = ""
    digits: int = 4


def number_text(value: Any, digits: int = 4) -> str:
    """``0.0001234`` -> ``1.234 × 10⁻⁴``; None and nan -> ``–``; True -> ``yes``; whole numbers with thin groups."""
    if value is None:
        return MISSING
    if isinstance(value, str):
        return value
    if _is_bool(value):
        return "yes" if value else "no"
    value = int(value) if isinstance(value, numbers.Integral) else float(value)
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e15 and (isinstance(value, int) or abs(value) < 10**digits):
        return f"{int(value):,}".replace(",", "\u202f").replace("-", "−")
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    exponent = int(power)  # after rounding: 99999.5 is 1e5
    if -3 <= exponent < digits:
        return f"{value:.{digits}g}".replace("-", "−")
    if digits <= exponent < 5:
        return f"{round(value):d}".replace("-", "−")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa.replace('-', '−')} × 10{str(exponent).translate(_SUPERSCRIPT)}"


def exact(value: Any) -> str | None:
    """The full value as Python writes it, or None for what is no number."""
    if value is None or isinstance(value, str):
        return None
    if _is_bool(value):
        return str(bool(value)).lower()
    return repr(int(value)) if isinstance(value, numbers.Integral) else repr(float(value))


def _is_bool(value: Any) -> bool:
    return type(value).__name__ in ("bool", "bool_")


def percent(share: Any, digits: int = 3) -> str:
    """``0.98`` -> ``98 %``."""
    text = number_text(None if share is None else 100 * float(share), digits)
    return text if text == MISSING else f"{text}{NBSP}%"


def time_unit() -> str:
    """The unit of time of the plant whose page is being made; seconds outside of :func:`times_in`."""
    return _UNIT.get()


@contextmanager
def times_in(unit: str) -> Iterator[None]:
    """Pages and figures made inside name this unit of time."""
    before = _UNIT.set(unit)
    try:
        yield
    finally:
        _UNIT.reset(before)
