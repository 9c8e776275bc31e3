"""The same seed gives the same run, all of it: every number but the seconds, to the last bit."""

import json

import numpy as np
import pytest

from observer import runs

OTHER = ("checksum", "hashes", "origins")  # made of files that have timings in them


@pytest.fixture(autouse=True)
def no_page(monkeypatch):
    monkeypatch.setattr("reports.write_report", lambda *a, **k: None)


def numbers(value):
    if isinstance(value, dict):
        return {name: numbers(v) for name, v in value.items() if name not in OTHER and not name.endswith("seconds")}
    return [numbers(item) for item in value] if isinstance(value, list) else value


def parts(folder):
    """name -> what is stored, as text, of every file of numbers in a run."""
    found = {path.name: repr(numbers(json.loads(path.read_text()))) for path in folder.glob("*.json")}
    for path in folder.glob("*.npz"):
        with np.load(path) as arrays:
            found |= {f"{path.name}/{key}": arrays[key].tobytes() for key in arrays if key not in OTHER}
    return found


def repeated(observer, folder, *words):
    """The parts of a run, and those of the same command once more; the first run is at ``folder``-first."""
    assert observer(*words, "--out", folder, "--quiet").code in (0, 1)
    first = folder.rename(f"{folder}-first")
    assert observer(*words, "--out", folder, "--quiet").code in (0, 1)
    return parts(first), parts(folder)


def test_a_run_is_repeated_to_the_bit(observer, quick, tmp_path):
    one, two = repeated(observer, tmp_path / "run", "run", "box", "--worst-trials", 20, *quick[:-1])
    assert {runs.CERTIFICATE, runs.METRICS, runs.FIT} <= set(one) and any("validation.npz/" in name for name in one)
    assert [name for name in one | two if one.get(name) != two.get(name)] == []


@pytest.mark.slow
def test_a_fine_tuned_run_is_repeated_to_the_bit(observer, quick, tmp_path):
    assert observer("run", "box", "--out", tmp_path / "run", *quick).code in (0, 1)
    few = ["--noise", 0.05, "--iterations", 2, "--horizon", 8]
    one, two = repeated(observer, tmp_path / "tuned", "fine-tune", tmp_path / "run", *few)
    assert [name for name in one | two if one.get(name) != two.get(name)] == []
