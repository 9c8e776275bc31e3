"""Kernels are compiled as one text: of their sources, and kept under its hash, so that nothing stale is ever run."""

import importlib.util
import sys

import numpy as np
import pytest

from systems.assembly import Kernels, assemble
from systems.compilation import cache_folder

HELPERS = '''
import math
RADIUS = 2.0
def area(r):
    """Of a disk."""
    return math.pi * r * r
def unused(r):
    return r
'''
ENTRY = """
from helpers_of_test import RADIUS, area
def total(rows):
    result = 0.0
    for k in range(rows.size):
        result += area(RADIUS * rows[k])
    return result
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REN_OBSERVER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def written(tmp_path, monkeypatch):
    """``written(helpers, entry)``: the function ``total`` of a file that imports from another."""

    def write(helpers=HELPERS, entry=ENTRY):
        for name, text in (("helpers_of_test", helpers), ("entry_of_test", entry)):
            number = len(list(tmp_path.glob("*.py")))
            path = tmp_path / f"{name}_{number}.py"
            path.write_text(text)
            specification = importlib.util.spec_from_file_location(name, path)
            assert specification is not None and specification.loader is not None
            module = importlib.util.module_from_spec(specification)
            monkeypatch.setitem(sys.modules, name, module)
            specification.loader.exec_module(module)
        return sys.modules["entry_of_test"].total

    return write


def test_compiled_and_plain_agree_and_the_text_has_what_is_used(written, monkeypatch):
    total, rows = written(), np.array([1.0, 2.0])
    kernels = Kernels(total)
    assert kernels.total(rows) == total(rows) == pytest.approx(20 * np.pi)
    assert "RADIUS = 2.0" in kernels.text and "import math" in kernels.text and "unused" not in kernels.text
    assert kernels.total is not total
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert Kernels(total).total is total
    with pytest.raises(AttributeError, match="'area' is not among the compiled functions total"):
        _ = kernels.area


@pytest.mark.parametrize(("old", "new"), [("r * r", "r * r * 2"), ("RADIUS = 2.0", "RADIUS = 3.0")])
def test_a_change_of_a_helper_or_a_constant_is_a_new_text(written, old, new):
    before = Kernels(written())
    value = before.total(np.ones(2))
    after = Kernels(written(HELPERS.replace(old, new)))
    assert before.text != after.text
    assert after.total(np.ones(2)) != value
    again = Kernels(written(HELPERS.replace("Of a disk", "The area of a disk").replace("return r\n", "return 2 * r\n")))
    assert again.text == before.text  # neither words nor what is not used


def test_machine_code_is_taken_from_the_disk(written):
    total = written()
    Kernels(total).total(np.ones(2))
    again = Kernels(total)
    again.total(np.ones(2))
    assert sum(again.total.stats.cache_hits.values()) == 1
    assert len(list(cache_folder().glob("kernels_*.py"))) == 1


def test_hand_written_machine_code_is_imported_with_the_hash_of_its_file(written):
    mark = "from systems.assembly import machine_code\n"
    helpers = mark + HELPERS.replace("def area", "@machine_code('_area')\ndef area")
    text, other = assemble(written(helpers)), assemble(written(helpers + "# changed\n"))
    assert "from helpers_of_test import _area as area  # " in text and "def area" not in text
    assert text != other


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("RADIUS, area", "RADIUS, area as surface\nfrom helpers_of_test import unused as area", "own name"),
        ("import RADIUS, area", "import area\nRADIUS = [1.0]", "functions, math, np and constants"),
        ("import RADIUS, area", "import area\nimport os as RADIUS", "functions, math, np and constants"),
        ("import RADIUS, area", "import area\nRADIUS = 1.0", "two things are called 'RADIUS'"),
    ],
)
def test_what_cannot_be_one_text_is_refused(written, old, new, message):
    total = written(
        HELPERS.replace("math.pi", "math.pi * RADIUS" if "two" in message else "math.pi"), ENTRY.replace(old, new)
    )
    with pytest.raises(ValueError, match=message):
        assemble(total)
