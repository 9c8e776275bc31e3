"""Two structures of numbers and texts, compared entry by entry: what is stored, and what it is when it is derived again.

Numbers agree up to what rounding, threads or another processor may change: a number of roundings that the caller derives, relative
to the largest number of its array. Everything else agrees exactly.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from experiments.pipeline.verification.findings import AGREES, DIFFERS, Finding
from systems.base.records import to_plain
from systems.base.wording import distinguished, shorten

EPS = float(np.finfo(float).eps)
ROUNDINGS = 1e4  # of a sum, norm or mean over so many numbers; more where the caller knows of more
SHOWN = 4  # differences of one part that are told one by one


def compared(
    part: str,
    stored: Any,
    anew: Any,
    *,
    what: str = "",
    roundings: float = ROUNDINGS,
    near: Mapping[str, Any] | None = None,
    exempt: Collection[str] = (),
) -> list[Finding]:
    """One finding that all agrees, or one for each of the entries that differ.

    Parameters
    ----------
    part, what
        The file, and what of it is compared, for the messages.
    stored, anew
        Nested mappings, sequences, arrays, numbers and texts.
    roundings
        How many roundings a number may have gone through.
    near
        Path of an entry -> what it may be off by, in its own unit, where that is not rounding.
    exempt
        Paths that are not compared: stated wall-clock times.
    """
    one, two = dict(_leaves(stored)), dict(_leaves(anew))
    near, faults = near or {}, []
    for path in [*two, *(path for path in one if path not in two)]:
        if path in exempt:
            continue
        if path not in one:
            faults.append(f"{path} is missing; it is {_shown(two[path])}")
        elif path not in two:
            faults.append(f"{path} is {_shown(one[path])} there, and nothing gives it")
        else:
            fault = _fault(one[path], two[path], roundings, near.get(path, 0.0))
            faults += [f"{path}{fault}"] if fault else []
    if not faults:
        return [Finding(AGREES, part, what or "all that it states")]
    more = len(faults) - SHOWN
    shown = faults[:SHOWN] + ([f"{more} more of its entries differ"] if more > 0 else [])
    return [Finding(DIFFERS, part, text) for text in shown]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, scalar, text or array): nested lists of numbers are one array."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
        if not value:
            yield path, "{}"
    elif isinstance(value, list | tuple):
        array = _numbers(value)
        if array is not None:
            yield path, array
        else:
            yield f"{path} (entries)", len(value)
            for k, item in enumerate(value):
                yield from _leaves(item, f"{path}[{k}]")
    elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        yield path, value
    else:
        yield from ((path, item) for item in [to_plain(value)])


def _numbers(value: Any) -> np.ndarray | None:
    """A rectangular list of numbers and nulls, at least one, as an array."""
    try:
        array = np.array(value, dtype=object)
        if not array.size or any(isinstance(v, bool | str | list | tuple | Mapping) for v in array.ravel()):
            return None
        return array.astype(float)
    except (TypeError, ValueError):
        return None


def _fault(stored: Any, anew: Any, roundings: float, near: Any) -> str:
    """How two leaves differ; empty where they agree."""
    if isinstance(stored, np.ndarray) or isinstance(anew, np.ndarray):
        one, two = np.asarray(stored), np.asarray(anew)
        if one.dtype.kind not in "biuf" or two.dtype.kind not in "biuf":
            return f" is {_shown(stored)} there and {_shown(anew)} when it is derived again"
        if one.shape != two.shape:
            return f" has shape {one.shape} there and {two.shape} when it is derived again"
        if one.dtype.kind in "biu" and two.dtype.kind in "biu":
            off, allowed = (one != two) * 1.0, 0.0
        else:
            one, two = one.astype(float), two.astype(float)
            allowed = np.broadcast_to(near + roundings * EPS * _largest(two), one.shape)
            same = (one == two) | (np.isnan(one) & np.isnan(two))
            with np.errstate(invalid="ignore"):
                off = np.where(same, -1.0, np.nan_to_num(np.abs(one - two) - allowed, nan=np.inf, posinf=np.inf))
        if not (off > 0).any():
            return ""
        at = np.unravel_index(np.argmax(off), off.shape)
        place = f"[{', '.join(map(str, at))}]" if at else ""
        count = int((off > 0).sum())
        others = f" (the largest of {count} differences)" if count > 1 else ""
        return f"{place} is {apart(one[at].item(), two[at].item())}{others}"
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (stored, anew))
    if numbers and (isinstance(stored, float) or isinstance(anew, float)):
        return _fault(np.asarray(float(stored)), np.asarray(float(anew)), roundings, near)
    same = stored == anew and type(stored) is type(anew)
    return "" if same else f" is {apart(stored, anew)}"


def _largest(values: np.ndarray) -> float:
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max()) if finite.size else 0.0


def apart(stored: Any, anew: Any) -> str:
    """``"1.25 there and 1.5 when it is derived again"``: numbers to the digits that differ."""
    numbers = isinstance(stored, float) and isinstance(anew, float)
    one, two = distinguished(stored, anew) if numbers else (_shown(stored), _shown(anew))
    return f"{one} there and {two} when it is derived again"


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}" if value.size > 6 else shorten(value.tolist())
    return shorten(value)
