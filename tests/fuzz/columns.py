"""The columns of a log: honest ones of the template run, and what loggers, spreadsheets and forgers make of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from tests.fuzz.case import Dice
from tests.fuzz.values import word

Columns = dict[str, Any]


def honest(dice: Dice, rows: int | None = None) -> Columns:
    """The log of a spring that swings: t, q, w, u, y."""
    count = rows if rows is not None else dice.choice((0, 1, 2, 3, 10, 30, 200))
    t = 0.1 * np.arange(count)
    return {"t": t, "q": 0.5 * np.cos(t), "w": -0.5 * np.sin(t), "u": 0.1 * np.sin(3 * t), "y": 0.5 * np.cos(t) + 0.01}


def spoiled(dice: Dice, columns: Columns) -> tuple[Columns, str]:
    """(columns, what was done to one of them)."""
    columns = dict(columns)
    name = dice.choice(list(columns))
    values = np.array(columns[name])
    place = dice.randrange(len(values)) if len(values) else 0

    def at(value: float) -> np.ndarray:
        changed = values.copy()
        changed[place : place + dice.choice((1, 1, 5, 10_000))] = value
        return changed

    odd = dice.choice((np.nan, np.inf, -np.inf, 1e300, -1e300, 1e160, 1e7, 1e10, 1e15, 5e-324, -1.0, 0.0, 1e5))
    kind = dice.among("glitch glitch all order shift scale name remove twice short dates constant more")
    if values.dtype == object and kind in ("glitch", "shift", "scale"):
        kind = "remove"
    if kind == "glitch" and len(values):
        columns[name] = at(odd)
    elif kind == "all":
        columns[name] = np.full(len(values), odd)
    elif kind == "order":
        columns[name] = values[::-1].copy() if dice.chance(0.5) else np.array(dice.sample(list(values), len(values)))
    elif kind == "shift":
        columns[name] = values + odd
    elif kind == "scale":
        columns[name] = values * dice.choice((1e-300, 1e-9, 1e-3, 1e3, 1e6, 1e9, 1e300))
    elif kind == "name":
        columns = {(word(dice) if key == name else key): item for key, item in columns.items()}
    elif kind == "remove":
        del columns[name]
    elif kind == "twice":
        columns[dice.choice((name.upper(), f"{name} ", f"states.{name}", f"{name}_hat", name + "\0"))] = values
    elif kind == "short":
        columns[name] = values[: len(values) // 2]
    elif kind == "dates":
        columns["t"] = _dates(dice, len(values))
    elif kind == "constant":
        columns["t"] = np.zeros(len(columns.get("t", values)))
    else:
        columns |= {f"{word(dice)[:20]}{k}": values for k in range(dice.choice((1, 10, 1_000)))}
    return columns, f"{kind} of {name} ({odd})"


def _dates(dice: Dice, count: int) -> np.ndarray:
    first = datetime(dice.choice((1, 1970, 2024, 2024, 9998)), 3, 31, 1, 59, 58, tzinfo=dice.choice((None, UTC)))
    step = dice.choice((0.1, 0.1, 86400.0, 1e-6))
    try:
        stamps = [(first + timedelta(seconds=step * k)).isoformat() for k in range(count)]
    except OverflowError:
        stamps = ["9999-12-31T23:59:59"] * count
    if stamps and dice.chance(0.5):
        odd = (
            "", "2024-13-01", "2024-02-30", "24-1-1", "yesterday", "2024-03-31T01:59:58+02:00", "2024-W01-1", "99999-01-01",
            "0000-00-00", "NaT", "1e5",
        )  # fmt: skip
        stamps[dice.randrange(len(stamps))] = dice.choice(odd)
    return np.array(stamps, dtype=object)
