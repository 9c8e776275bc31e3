"""The double pendulum: from the angles of real swings to rates, at toy size; one line where the swings are not there."""

import json

import numpy as np
import pytest

from experiments.named.double_pendulum.plant import double_pendulum
from experiments.named.double_pendulum.run import PendulumSize
from experiments.registry import named
from experiments.runner import run_experiment
from tests.conftest import SHARED

SWINGS = SHARED / "data" / "double_pendulum"
TOY = PendulumSize(
    name="toy",
    logs=2,
    starts=1,
    neurons=0,
    iterations=3,
    evaluations=1,
    tuned=2,
    samples=60,
    estimates=1,
    classical=("extended_kalman",),
)


def test_without_friction_the_energy_stays():
    system = double_pendulum().with_parameters(**dict.fromkeys(("d1", "d2", "dry1", "dry2", "air1", "air2"), 0.0))
    p = {name: item.value for name, item in system.parameters.items()}
    x = np.array([[2.5, 3.9, 3.0, -2.0], [3.4, 2.0, -1.0, 6.0]])

    def energy(x):
        a, b, w, v = np.moveaxis(x, -1, 0)
        return 0.5 * (w**2 + p["c"] * v**2) + p["b"] * np.cos(a - b) * w * v + p["g1"] * np.cos(a) + p["g2"] * np.cos(b)

    slope = np.stack([(energy(x + 1e-6 * e) - energy(x - 1e-6 * e)) / 2e-6 for e in np.eye(4)], axis=-1)
    np.testing.assert_allclose(np.sum(slope * system.derivative(x), axis=-1), 0, atol=1e-6)


def test_swings_that_are_not_there_are_one_line(observer, tmp_path):
    answer = observer("experiment", "double_pendulum", "--data", tmp_path / "none", "--out", tmp_path / "out")
    assert answer.code == 2 and "give the folder of the logs" in answer.err and "Traceback" not in answer.err


@pytest.mark.skipif(not SWINGS.is_dir(), reason="the swings are not here")
def test_from_angles_to_rates(tmp_path):
    run_experiment(
        named("double_pendulum"), tmp_path / "out", size=TOY, report=lambda text: None, quiet=True, data=SWINGS
    )
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert set(found["rms"]) == {"REN", "extended Kalman"} and found["rms"]["REN"][2] < 0.1
    assert abs(found["calibration"]["parameters"]["g1"]["value"] - 58.9) < 0.5
    assert "These numbers come from a run at toy size" in (tmp_path / "out" / "report.html").read_text()
