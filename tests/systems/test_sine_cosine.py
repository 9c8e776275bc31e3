"""A sine and a cosine that are measured are one angle: in the equations, the noise and the logs."""

import numpy as np
import pytest

from systems import InputError, Signal, System, load_system, read_recordings
from systems.sine_cosine import with_angles

PENDULUM = """
[states]
theta = { range = [-180, 180], period = 360, unit = "deg" }
w = { range = [-300, 300], unit = "deg/s" }
[dynamics]
theta = "w"
w = "-400*sin(theta/57.29577951308232) - 0.4*w"
[outputs]
w_measured = "w"
c = { equation = "-2*cos(theta/57.29577951308232 + 0.5)", noise = 0.02 }
s = { equation = "2*sin(theta/57.29577951308232 + 0.5)", noise = 0.01 }
[sampling]
dt = 0.02
"""


@pytest.fixture
def system(tmp_path):
    (tmp_path / "plant.toml").write_text(PENDULUM)
    return load_system(tmp_path / "plant.toml")


def test_the_pair_is_one_output(system, rng):
    assert system.output_names == ("w_measured", "c_s")
    angle = system.outputs[1]
    assert (angle.period, angle.unit, angle.pair) == (pytest.approx(360), "deg", ("c", "s"))
    assert angle.noise == pytest.approx(0.01 * 57.2957795)
    x = np.stack([rng.uniform(-900, 900, 40), rng.uniform(-300, 300, 40)], axis=1)
    a = x[:, 0] / 57.29577951308232 + 0.5
    told = np.arctan2(-2 * np.cos(a), 2 * np.sin(a)) * 57.29577951308232
    off = system.measure(x)[:, 1] - told
    np.testing.assert_allclose(off, 360 * np.round(off / 360), atol=1e-6)
    assert System.from_data(system.to_data()).fingerprint == system.fingerprint


def test_what_is_no_pair_stays():
    def plant(output, **theta):
        return System(
            name="p", states=[Signal("theta", "", (-4.0, 4.0), **theta), Signal("r", "", (1.0, 2.0))],
            outputs=[Signal("s"), Signal("c")], dynamics=lambda x: [x[1], -x[1]], output=output, dt=0.1,
        )  # fmt: skip

    turn = {"period": 2 * np.pi}
    for output, theta in (
        (lambda x: [x[1] * np.sin(x[0]), x[1] * np.cos(x[0])], turn),
        (lambda x: [np.sin(x[0]), np.cos(2 * x[0])], turn),
        (lambda x: [np.sin(x[0]), np.cos(x[0])], {}),
    ):
        assert with_angles(plant(output, **theta)).output_names == ("s", "c")


def test_logs_are_read_from_both_columns(system, tmp_path):
    t = 0.02 * np.arange(60)
    theta = 100 + 700 * t
    a = theta / 57.29577951308232 + 0.5
    rows = np.stack([t, 2 * np.sin(a), -2 * np.cos(a), 0 * t], axis=1)
    np.savetxt(tmp_path / "log.csv", rows, delimiter=",", header="t,s,cosine,w_measured", comments="", fmt="%.17g")
    log = read_recordings(tmp_path / "log.csv", system, columns={"c": "cosine"}, required=("outputs",))
    expected = system.measure(np.stack([theta, 0 * t], axis=1))
    off = log.y[0] - expected
    np.testing.assert_allclose(off - [0, 1] * np.round(off[0] / 360) * 360, 0, atol=1e-6)
    with pytest.raises(InputError, match="'c'"):
        read_recordings(tmp_path / "log.csv", system, required=("outputs",))
