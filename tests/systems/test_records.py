"""Records survive JSON with the types of their fields; what is missing or of another type is named by its path."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
import pytest

from systems.base.errors import InputError
from systems.base.records import NOT_STORED, from_plain, to_plain


class Ended(StrEnum):
    WELL = "well"
    BADLY = "badly"


@dataclass(frozen=True, eq=False)
class Part:
    size: np.ndarray
    count: int
    label: str = "none"


@dataclass(frozen=True, eq=False)
class Whole:
    rate: float
    steady: float | None
    ended: Ended
    holds: bool
    shape: tuple[int, ...]
    pair: tuple[float, float]
    parts: tuple[Part, ...]
    other: Part | None
    options: dict[str, float]
    curve: np.ndarray | None = None
    cells: np.ndarray = field(default_factory=lambda: np.zeros(0), metadata=NOT_STORED)


def whole(**changes):
    parts = (Part(np.array([[1.0, np.nan], [np.inf, -0.0]]), 3), Part(np.zeros((0,)), np.int64(4), "b"))
    values = {
        "rate": np.float64(0.1), "steady": None, "ended": Ended.BADLY, "holds": np.bool_(True), "shape": (3, 4),
        "pair": (1.0, np.nan), "parts": parts, "other": None, "options": {"gap": np.inf}, "cells": np.ones(9),
    }  # fmt: skip
    return Whole(**{**values, **changes})


def through_json(value):
    return json.loads(json.dumps(to_plain(value), allow_nan=False))


def test_a_record_survives_json_with_its_types():
    plain = through_json(whole(other=Part(np.ones(1), 1)))
    again = from_plain(Whole, plain)
    assert to_plain(again) == plain and "cells" not in plain and again.cells.shape == (0,)
    assert again.rate == 0.1 and again.steady is None and again.ended is Ended.BADLY and again.holds is True
    assert again.shape == (3, 4) and isinstance(again.parts, tuple) and isinstance(again.other, Part)
    np.testing.assert_array_equal(again.parts[0].size, [[1.0, np.nan], [np.nan, 0.0]])
    assert again.parts[1].size.dtype == float and again.parts[1].label == "b" and again.curve is None
    assert np.isnan([again.pair[1], again.options["gap"]]).all()


def test_numbers_that_are_not_finite_are_null_and_paths_are_texts():
    assert to_plain({"a": np.array([np.inf, 1]), 2: [np.nan, Path("x")]}) == {"a": [None, 1.0], "2": [None, "x"]}


def test_what_has_a_default_may_be_missing_and_unknown_keys_are_ignored():
    assert from_plain(Part, {"size": [1], "count": 2, "colour": "red"}).label == "none"


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda d: d["parts"][1].pop("count") and d.pop("shape"), "fit: shape, parts.1.count missing"),
        (lambda d: d.update(rate="fast"), "fit: rate is 'fast': input should be a valid number"),
        (
            lambda d: d["parts"][0].update(size=[[1], [1, 2]]),
            r"fit: parts.0.size is \[\[1\], \[1, 2\]\]: setting an array",
        ),
        (lambda d: d.update(ended="so so"), "fit: ended is 'so so': input should be 'well' or 'badly'"),
        (lambda d: d.update(other=3), "fit: other is 3: input should be a valid dictionary"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(change, message):
    data = through_json(whole())
    change(data)
    with pytest.raises(InputError, match=message):
        from_plain(Whole, data, name="fit")
    with pytest.raises(InputError, match=r"fit: content is 3: "):
        from_plain(Whole, 3, name="fit")


def test_the_classes_that_only_type_checkers_import_can_be_given():
    from systems.detectability import MetricSearch, TradeOff

    found = MetricSearch(np.eye(2), 0.9, 1.0, 2.0, np.ones(2), np.ones(3), 5)
    assert from_plain(MetricSearch, through_json(found), types={"TradeOff": TradeOff}).coordinates is None


def test_pydantic_is_imported_with_the_first_record_that_is_read():
    code = "import sys, observer, systems.base.records; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
