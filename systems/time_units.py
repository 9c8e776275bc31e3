"""Units of time: what a plant counts its time in, and times that a person gives with a unit, such as ``30min``."""

import re
from collections.abc import Iterable
from typing import Any

from systems.base.errors import InputError
from systems.base.wording import shorten

#: unit -> seconds
SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
WORDS = {
    "ns": "nanoseconds", "us": "microseconds", "ms": "milliseconds", "s": "seconds", "min": "minutes", "h": "hours", "d": "days",
}  # fmt: skip
_OTHER = {
    "ns": "nsec nsecs nanosecond nanos", "us": "μs usec usecs microsecond micros", "ms": "msec msecs millisecond millis",
    "s": "sec secs second", "min": "mins minute", "h": "hr hrs hour", "d": "day",
}  # fmt: skip
_SYNONYMS = {
    word: unit for unit in SECONDS for word in (unit, WORDS[unit], *_OTHER[unit].split())
}  # `m` is a metre as often as a minute
PLANT_UNITS = ("us", "ms", "s", "min", "h", "d")
_SI = re.compile(
    r"(?:^|[/*·\s(])(?:s|ms|us|Hz|V|mV|A|mA|N|Nm|kN|W|kW|J|kJ|Pa|kPa|bar|T|Wb|Ohm|Ω|rad|rpm)(?:$|[\^²*/·\s)\d])"
)
_PER = re.compile(r"(?:/|\s|^|\*|·)(min|h|hr|d|day)(?:$|[\^)*·\s]|-1|⁻)")


def known_unit(text: str) -> str | None:
    """The unit that a word means (``msec`` is ``ms``); None for what is no unit of time."""
    return _SYNONYMS.get(text.strip().casefold())


def checked_unit(text: Any, what: str) -> str:
    """The unit of time called ``text``; raises :class:`InputError`, which begins with ``what``, for any other."""
    unit = known_unit(text) if isinstance(text, str) else None
    if unit is None:
        raise InputError(f"{what} is {shorten(text)}; expected one of {', '.join(SECONDS)}")
    return unit


def duration(value: float | str, unit: str, what: str) -> float:
    """A time in the plant's ``unit``: a number is in that unit already, ``"30min"`` is converted."""
    number, found = value, unit
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9.eE+-]*[0-9.])\s*([^\W\d_]*)\s*", value)
        word = match.group(2) if match else ""
        try:
            number = float(match.group(1)) if match else float("nan")
        except ValueError:
            number = float("nan")
        found = unit if not word else "min" if word == "m" else known_unit(word)
    if found is None or not 0 < float(number) < float("inf"):
        raise InputError(f"{what} is {shorten(value)}; expected a time such as 0.05, 50ms or 2min")
    return float(number) if found == unit else float(number) * SECONDS[found] / SECONDS[unit]


def inferred_unit(units: Iterable[str]) -> str:
    """The unit of time in which equations with signals of these ``units`` are written, seconds where they do not tell.

    Rates per minute, hour or day (``mg/dl/min``, ``1/h``) tell it where all agree and no unit is built on the second; a speed in
    km/h tells nothing.
    """
    texts = [text for text in units if text and text.replace(" ", "") not in ("km/h", "mi/h")]
    found = {known_unit(match.group(1)) for text in texts for match in _PER.finditer(text)}
    if len(found) != 1 or any(_SI.search(text) for text in texts):
        return "s"
    return found.pop() or "s"
