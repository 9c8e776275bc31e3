"""Stamps that are texts: ISO dates, dates as people write them, and clock times, as seconds since the first of them.

2024-03-31T00:59:50.5Z   31.03.2024 00:59:50,5   03/31/2024 12:59:50 AM   31-Mar-2024 00:59:50   0:00:10.5   00:10.5 (min:s)
"""

import re
from datetime import datetime

MISSING = ("", "nan", "na", "n/a", "#n/a", "n.a.", "nat", "null", "none", "-", "--", "?")
ORDERS = ("dmy", "mdy")
_MONTHS = {name: k // 2 + 1 for k, name in enumerate(
    "jan jan feb feb mar mär apr apr may mai jun jun jul jul aug aug sep sep oct okt nov nov dec dez".split()
)}  # fmt: skip
_CLOCK = re.compile(
    r"(?:(\d+)\s*days?,?\s+)?(\d+):(\d{1,2})(?::(\d{1,2}))?(?:(?:[.,]|:(?=\d{3}))(\d+))?\s*(?:([ap])\.?m\.?)?",
    re.IGNORECASE,
)
_DATE = re.compile(r"(\d{1,4})([./-])(\d{1,2}|[^\W\d_]{3,9})\.?\2(\d{1,4})(?:(?:\s*[T,]\s*|\s+)(\S.*))?", re.IGNORECASE)
_ZONE = re.compile(r"\s+(UTC|GMT|Z|[+-]\d\d:?\d\d)\Z")  # behind a blank, where ISO has none
_DAY = 86400.0


class AmbiguousDateError(ValueError):
    """A date of which nobody can tell which number is the day."""


class StampReader:
    """Reads one stamp after the other; what the first ones leave open, later ones decide.

    ``order``: dmy or mdy, of dates such as 03/04/2024; found out when left out. ``naive``: whether the stamps are dates without a
    zone. ``moment``: the last one, of dates.
    """

    def __init__(self, order: str | None = None) -> None:
        self.order, self.naive = order, False
        self.moment: datetime | None = None
        self._origin: datetime | float | None = None
        self._parts = 0  # of clock times: 3 for h:min:s, 2 for h:min, 1 for min:s
        self._turns, self._last = 0, 0.0
        self._open: tuple[str, int, int, int] | None = None  # the date that may be read in two ways

    def seconds(self, text: str) -> float:
        """Raises ValueError or TypeError for what is no time, or no time like the ones before it."""
        try:
            return self._since(datetime.fromisoformat(_ZONE.sub(_zone, text)))
        except ValueError:
            pass
        clock = _CLOCK.fullmatch(text)
        if clock:
            return self._clock(clock)
        date = _DATE.fullmatch(text)
        if date is None:
            raise ValueError(text)
        day = self._date(date)
        time = _CLOCK.fullmatch(date.group(5).strip()) if date.group(5) else None
        if date.group(5) and time is None:
            raise ValueError(text)
        if time is None:
            return self._since(day)
        hour, minute, second, micro = _time_of(time)
        return self._since(day.replace(hour=hour, minute=minute, second=second, microsecond=micro))

    def _since(self, moment: datetime) -> float:
        if self._origin is None:
            self._origin, self.naive = moment, moment.tzinfo is None
        if not isinstance(self._origin, datetime):
            raise ValueError("a date among clock times")
        self.moment = moment
        return (moment - self._origin).total_seconds()

    def _clock(self, match: re.Match[str]) -> float:
        days, first, second, third, fraction, half = match.groups()
        parts = 3 if third is not None else 1 if fraction is not None else 2
        if self._origin is not None and (parts != self._parts or isinstance(self._origin, datetime)):
            raise ValueError("another way to write the time")
        self._parts = parts
        hours = int(first) % 12 + 12 * (half in "pP") if half else int(first)
        rest = float(f"0.{fraction}") if fraction else 0.0
        if int(second) > 59 or int(third or 0) > 59:
            raise ValueError("no time of the day")
        if parts == 1:
            value = 60.0 * hours + int(second) + rest
        else:
            value = _DAY * int(days or 0) + 3600.0 * hours + 60.0 * int(second) + int(third or 0) + rest
        turn = 3600.0 if parts == 1 else _DAY
        value += turn * self._turns
        if value < self._last - turn / 2:  # midnight, or the full hour
            self._turns += 1
            value += turn
        self._last = value
        if self._origin is None:
            self._origin = value
        assert isinstance(self._origin, float)
        return value - self._origin

    def _date(self, match: re.Match[str]) -> datetime:
        first, sign, second, third, _ = match.groups()
        text = match.group(0)[: match.end(4)]
        if not second.isdigit():
            return datetime(
                _year(third), _MONTHS[second[:3].casefold()] if second[:3].casefold() in _MONTHS else 0, int(first)
            )
        a, b = int(first), int(second)
        if len(first) == 4:
            return datetime(a, b, int(third))
        year = _year(third)
        if len(third) not in (2, 4) or (sign == "-" and len(third) == 2):
            raise ValueError(text)
        order = "dmy" if sign == "." else self.order or ("dmy" if a > 12 else "mdy" if b > 12 else None)
        if order is None and a != b:
            if self._open is not None and self._open[0] != text:
                raise AmbiguousDateError(text)
            self._open = (text, a, b, year)
            return datetime(year, b, a)
        if order is not None and self.order is None and sign != ".":
            self.order = order
            if self._open is not None and order == "mdy" and isinstance(self._origin, datetime):
                _, day, month, of = self._open  # they were read as day and month
                self._origin += datetime(of, day, month) - datetime(of, month, day)
        return datetime(year, a, b) if order == "mdy" else datetime(year, b, a)


def _zone(match: re.Match[str]) -> str:
    return match.group(1) if match.group(1)[0] in "+-" else "Z"


def _year(text: str) -> int:
    return int(text) if len(text) == 4 else 2000 + int(text) % 100


def _time_of(match: re.Match[str]) -> tuple[int, int, int, int]:
    _, hour, minute, second, fraction, half = match.groups()
    hours = int(hour) % 12 + 12 * (half in "pP") if half else int(hour)
    return hours, int(minute), int(second or 0), int(f"{fraction or 0:0<6}"[:6])


def is_stamp(text: str) -> bool:
    """Whether a text is a date or a clock time."""
    try:
        StampReader().seconds(text.strip())
    except (ValueError, TypeError, OverflowError):
        return False
    return True
