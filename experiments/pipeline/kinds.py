"""The kinds of value that a person gives: type, range, and how it is written. Recipe and command line share them."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator

from systems.base.errors import InputError

#: Beyond these a number is a slip, or drowns in the rounding of float64; a time of a plant is in its unit.
SMALLEST, LARGEST = 1e-12, 1e12


def between(low: float, high: float) -> AfterValidator:
    """Refuse a number outside ``low`` to ``high``, both included, in words that state the whole range."""

    def check(value: Any) -> Any:
        if not low <= value <= high:
            raise ValueError(f"expected {_printed(low)} to {_printed(high)}")
        return value

    return AfterValidator(check)


def _in_range(number: float) -> None:
    if not SMALLEST <= number <= LARGEST:
        raise ValueError(f"expected {_printed(SMALLEST)} to {_printed(LARGEST)}")


def _printed(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:.12g}"


Positive = Annotated[float, between(SMALLEST, LARGEST)]
Share = Annotated[float, between(1e-9, 1e3)]
Deviation = Annotated[float, between(0, LARGEST)]
Moment = Annotated[float, between(0, LARGEST)]
Count = Annotated[int, between(1, 10_000_000)]
Seed = Annotated[int, between(0, 2**31 - 1)]
Text = Annotated[str, Field(min_length=1, max_length=10_000)]
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


class OptionSection(BaseModel):
    """Named options that belong together."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


def seconds(value: Any) -> Any:
    """``"20s"``, ``"1.5m"``, ``"2h"``, ``"300ms"`` or a number, as seconds."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text[len(number) :] or "s"
    if unit not in _UNITS:
        raise ValueError("expected a time such as 20s, 2m or 1h")
    try:
        return float(number) * _UNITS[unit]
    except ValueError:
        raise ValueError("expected a time such as 20s, 2m or 1h") from None


class Stated(float):
    """Seconds that a person stated as such (``30min``); a bare number is in the plant's own unit of time."""


def in_unit(value: float | None, unit: str) -> float | None:
    """A time of the plant in its ``unit``, where it may have been stated in another one."""
    from systems.time_units import SECONDS

    return float(value) / SECONDS[unit] if isinstance(value, Stated) else value


def _settling(value: Any) -> Any:
    """A time, or "auto", which is what is done when nothing is said: both are None."""
    if value is None or (isinstance(value, str) and value.strip().lower() == "auto"):
        return None
    try:
        number = float(seconds(value))
        stated = isinstance(value, Stated) or (isinstance(value, str) and value.strip()[-1:].isalpha())
    except (ValueError, TypeError):
        raise ValueError("expected a time such as 20s, 2m or 1h, or auto") from None
    _in_range(number)
    return Stated(number) if stated else number


def _numbers(value: Any) -> Any:
    """``"0.01,0.02"`` as numbers."""
    if not isinstance(value, str):
        return value
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        raise ValueError("expected a number, or one for each output as 0.01,0.02") from None


def _mapping(text: str) -> str:
    from systems.recordings import parse_columns

    parse_columns(text)
    return text


def _sample_time(value: Any) -> str:
    from systems.time_units import duration

    try:
        _in_range(duration(str(value), "s", ""))
    except InputError:
        raise ValueError("expected a time such as 0.05, 50ms or 2min") from None
    return str(value)


def _time_unit(text: str) -> str:
    from systems.time_units import SECONDS, known_unit

    unit = known_unit(text)
    if unit is None:
        raise ValueError(f"expected one of {', '.join(SECONDS)}")
    return unit


Columns = Annotated[str, AfterValidator(_mapping)]
SampleTime = Annotated[str, BeforeValidator(_sample_time)]
TimeUnit = Annotated[str, AfterValidator(_time_unit)]
DateOrder = Literal["dmy", "mdy"]
Time = Annotated[Positive, BeforeValidator(seconds)]
SettlingTime = Annotated[float | None, PlainValidator(_settling)]
Deviations = Annotated[tuple[Deviation, ...], BeforeValidator(_numbers)]
