"""Linear plants: the known gains satisfy what defines them, the plant is read exactly, a wrong observer is told."""

import json

import numpy as np
import pytest
from scipy.linalg import expm

from experiments.named.linear_observer import run as linear
from systems import discretize, load_system
from systems.base.errors import InputError


def test_the_matrices_of_the_plant_are_those_of_the_exponential():
    A, B, C = linear.linear_plant(discretize(load_system("mass_spring_damper")))
    both = expm(0.05 * np.array([[0, 1, 0], [-2.0, -0.3, 1.0], [0, 0, 0]]))  # m = 1, k = 2, c = 0.3
    np.testing.assert_allclose(A, both[:2, :2], atol=1e-7)
    np.testing.assert_allclose(B, both[:2, 2:], atol=1e-7)
    np.testing.assert_array_equal(C, [[1.0, 0.0]])


def test_known_gains_satisfy_what_defines_them(rng):
    A, C, M = rng.normal(size=(3, 3)), rng.normal(size=(1, 3)), np.diag([1.0, 2.0, 5.0])
    L = linear.projection_gain(A, C, M)
    # The projection leaves nothing of the error in the direction that y shows, and moves along M^-1 C' only.
    np.testing.assert_allclose((A - L @ C) @ np.linalg.solve(M, C.T), 0, atol=1e-12)
    Q, R = np.diag([0.1, 0.2, 0.3]), np.array([[0.5]])
    kalman = linear.kalman_gain(A, C, Q, R)
    least = np.trace(linear.steady_covariance(A, C, kalman, Q, R))
    for _ in range(50):  # no gain near it is of lower noise
        other = kalman + 1e-3 * rng.normal(size=kalman.shape)
        assert np.trace(linear.steady_covariance(A, C, other, Q, R)) > least


def test_page_and_exit_codes_at_smoke_size(tmp_path, monkeypatch, perform):
    good = perform("linear_observer", tmp_path / "good", size=linear.SMOKE)
    assert good.code == 0 and len(good.metrics["observers"]) == 2
    assert (tmp_path / "good" / "figures" / "decay.pdf").is_file()
    row = json.loads((tmp_path / "good" / "parts" / "mass_spring_damper-1s-0-projected.json").read_text())["result"]
    monkeypatch.setattr("reports.experiment_page.write_experiment_page", lambda folder, **_: folder)
    for key, value in (("gain_error", 1e-3), ("consistency", 1e-6), ("error_dynamics", 1e-6), ("rms_seen", [1.0, 1.0])):
        monkeypatch.setattr(linear, "fit_and_compare", lambda *_, k=key, v=value: row | {k: v})
        assert perform("linear_observer", tmp_path / key, size=linear.SMOKE).code == 1
    with pytest.raises(InputError, match="--rows names box"):
        perform("linear_observer", tmp_path / "rows", rows="box")


def test_a_wrong_plant_shows_in_the_consistency(monkeypatch):
    """An observer of another spring: its matrices are told from those of the plant."""
    real = linear.linear_plant

    def stiffer(plant):
        A, B, C = real(plant)
        return A + np.array([[0.0, 0.0], [1e-3, 0.0]]), B, C

    monkeypatch.setattr(linear, "linear_plant", stiffer)
    row = linear.fit_and_compare(linear.SMOKE, "mass_spring_damper", 1.0, 0, "projected", 0)
    assert row["consistency"] == pytest.approx(1e-3, rel=0.01) and row["error_dynamics"] > 1e-4
