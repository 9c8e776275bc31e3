"""The examples run as they stand, and show what they describe."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_has_a_test():
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {path.stem for path in EXAMPLES.glob("*.py")} <= tested


def test_own_ode(capsys):
    assert load("own_ode").main() == "pass"
    assert "proved: True" in capsys.readouterr().out


def test_observer_in_a_loop(capsys):
    left = load("observer_in_a_loop").main()
    assert left["estimate"] < 0.1 * left["none"]
    assert left["estimate"] == pytest.approx(left["true state"], abs=0.02)
    assert "feedback of estimate" in capsys.readouterr().out


def test_logged_data(capsys):
    rms = load("logged_data").main()
    assert np.all(rms < [0.005, 0.05])
    assert "have no measurement" in capsys.readouterr().out
