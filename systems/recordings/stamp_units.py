"""The unit of stamps that are numbers: stated, or told by an epoch; where it is in doubt, a refusal that names the likely one.

Rows of a log are about a sample apart, and a log lasts about as long as the plant's usual trial: both ratios, on a logarithmic
scale, say how well a unit fits.
"""

from dataclasses import dataclass

import numpy as np

from systems.base.errors import InputError
from systems.recordings.tables import LogTable
from systems.recordings.time_columns import stated_unit
from systems.time_units import SECONDS, WORDS

_EPOCH = (9.4e8, 4.2e9)  # seconds since 1970: the years 2000 to 2103
_SERIAL = (3.6e4, 8e4)  # days of a spreadsheet: the years 1998 to 2119
_FAR, _APART = 100.0, 4.0  # samples between two rows: another unit for certain, and from which on it is weighed
_LONG = 50.0  # usual lengths that a log may last before it is said


@dataclass(frozen=True)
class Axis:
    """The time of a plant: its ``unit``, sampling time ``dt`` and usual length of a trial."""

    unit: str
    dt: float
    duration: float | None = None


def unit_of(
    table: LogTable, axis: Axis, asked: str | None, first: float, spacing: float, end: float, rows: int, whole: bool, row: int
) -> tuple[float, tuple[str, ...]]:  # fmt: skip
    """How much of the plant's unit one count of the stamps is, and what to tell a person.

    ``first``, ``spacing`` (median) and ``end`` are in counts, ``whole`` where all are whole numbers. Raises :class:`InputError` where
    the unit is in doubt; it names ``row``, the first of the log.
    """
    if asked is not None:
        return SECONDS[asked] / SECONDS[axis.unit], ()
    stated = stated_unit(table)
    unit = stated or _calendar(axis, first, spacing)
    place = f"{table.label}, row {row}, column '{table.time}'"
    if unit is not None:
        scale = SECONDS[unit] / SECONDS[axis.unit]
        if spacing * scale >= _FAR * axis.dt:
            _refuse(place, axis, spacing, unit, _likely(axis, spacing, end, rows, unit))
        return scale, () if stated or unit == axis.unit else (
            f"{table.label}: stamps taken as {WORDS[unit]} since {_since(unit)}",
        )
    fits = _fits(axis, spacing, end, rows)
    best = min((u for u in fits if u != axis.unit), key=fits.__getitem__, default=None)
    apart = spacing / axis.dt
    margin = 1.0 if apart > 1 else -1.0
    doubtful = best is not None and fits[best] < fits[axis.unit] + margin
    long = bool(whole and axis.duration and end > _LONG * axis.duration)
    coarse = whole and ((doubtful and apart >= _APART) or (long and apart > 1.5 and best is not None))
    if apart >= _FAR or coarse or (doubtful and apart < 1 / (10 * _FAR)):
        _refuse(place, axis, spacing, axis.unit, best)
    if long and SECONDS[axis.unit] >= 1:
        return 1.0, (
            f"{table.label} lasts {end:.6g} {axis.unit} where its stamps are {WORDS[axis.unit]}; if they are not, say so with --time-unit",
        )
    return 1.0, ()


def _calendar(axis: Axis, first: float, spacing: float) -> str | None:
    """The unit of stamps that count from a date, where also the rows then fit the plant."""
    found = [unit for unit in ("s", "ms", "us", "ns") if _EPOCH[0] <= first * SECONDS[unit] <= _EPOCH[1]]
    if _SERIAL[0] <= first <= _SERIAL[1] and spacing < 0.1:
        found.append("d")
    return next((unit for unit in found if 1e-4 < spacing * SECONDS[unit] / SECONDS[axis.unit] / axis.dt < _FAR), None)


def _since(unit: str) -> str:
    return "1900" if unit == "d" else "1970"


def _fits(axis: Axis, spacing: float, end: float, rows: int) -> dict[str, float]:
    """How badly each unit fits: rows against dt, and the whole log against the usual length; those that make a log of some length."""
    scales = {unit: size / SECONDS[axis.unit] for unit, size in SECONDS.items()}
    least = min(20.0, rows / 4)
    return {
        unit: abs(np.log(spacing * scale / axis.dt))
        + (abs(np.log(end * scale / axis.duration)) if axis.duration else 0.0)
        for unit, scale in scales.items()
        if unit == axis.unit or end * scale / axis.dt >= least
    }


def _likely(axis: Axis, spacing: float, end: float, rows: int, taken: str) -> str | None:
    fits = _fits(axis, spacing, end, rows)
    return min((u for u in fits if u != taken), key=fits.__getitem__, default=None)


def _refuse(place: str, axis: Axis, spacing: float, taken: str, likely: str | None) -> None:
    apart = f"a row every {spacing:.4g} {taken}, and dt is {axis.dt:g} {axis.unit}"
    if likely is None:
        raise InputError(f"{place}: {apart}; say the unit of the stamps with --time-unit, or ask for a larger dt")
    raise InputError(
        f"{place}: {apart}; are these stamps {WORDS[likely]}? Say so with --time-unit {likely}, or --time-unit {taken} if they are not"
    )
