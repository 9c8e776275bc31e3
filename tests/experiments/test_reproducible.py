"""The same seed gives the same run, all of it: every number but the seconds, to the last bit."""

import json

import numpy as np
import pytest

from observer import runs

TIMED = (
    "seconds",
    "checksum",
    "hashes",
    "command",
)  # timings, what is made of files with timings, and the folder's name


@pytest.fixture
def no_page(monkeypatch):
    monkeypatch.setattr("reports.write_report", lambda *a, **k: None)


def numbers(value):
    if isinstance(value, dict):
        return {name: numbers(item) for name, item in value.items() if name not in TIMED}
    return [numbers(item) for item in value] if isinstance(value, list) else value


def assert_same(one, two):
    names = sorted(path.name for path in one.iterdir() if path.suffix in (".json", ".npz"))
    assert names == sorted(path.name for path in two.iterdir() if path.suffix in (".json", ".npz"))
    assert {runs.CERTIFICATE, runs.METRICS, runs.FIT} <= set(names)
    for name in names:
        if name.endswith(".json"):
            first, second = (numbers(json.loads((folder / name).read_text())) for folder in (one, two))
            assert first == second, name
            continue
        with np.load(one / name) as first, np.load(two / name) as second:
            assert sorted(first) == sorted(second), name
            for key in first:
                same = first[key].tobytes() == second[key].tobytes()
                assert same or key in ("meta", "seconds"), f"{name}: {key}"


@pytest.mark.parametrize("plant", ["box", "mass_spring_damper"])
def test_a_run_is_repeated_to_the_bit(observer, quick, no_page, tmp_path, plant):
    for name in ("one", "two"):
        assert observer("run", plant, "--out", tmp_path / name, "--worst-trials", 8, *quick).code in (0, 1)
    assert_same(tmp_path / "one", tmp_path / "two")


def test_a_fine_tuned_run_is_repeated_to_the_bit(observer, quick, no_page, tmp_path):
    base = tmp_path / "base"
    assert observer("run", "box", "--out", base, "--worst-trials", 8, *quick).code in (0, 1)
    few = ["--noise", 0.05, "--iterations", 2, "--horizon", 8, "--quiet"]
    for name in ("one", "two"):
        assert observer("fine-tune", base, "--out", tmp_path / name, *few).code in (0, 1)
    assert_same(tmp_path / "one", tmp_path / "two")
