"""The contracting networks: the climbed factor against a known one, envelopes that are refuted, a page at smoke size."""

import numpy as np
import pytest

from experiments.named.contracting import run as contracting
from observer.certification.contraction import metric_norm
from observer.networks import ExplicitREN


def one_neuron():
    """x+ = 0.3 x + 0.5 relu(x - 1): slope 0.3 below 1 and 0.8 above."""
    one, zero = np.ones((1, 1)), np.zeros((1, 1))
    return ExplicitREN(
        0.3 * one, 0.5 * one, zero, one, one, zero, zero, zero, zero, np.zeros(1), -np.ones(1), np.zeros(1), "relu"
    )


def test_the_factor_of_one_step_is_that_of_the_steepest_piece(rng):
    ren, M = one_neuron(), np.array([[4.0]])
    np.testing.assert_allclose(contracting.one_step(ren, M, np.array([[0.0], [2.0]]), np.zeros((2, 1))), [0.3, 0.8])
    assert contracting.climb(ren, M, 64, rng) == pytest.approx(0.8, rel=1e-12)


def test_a_steep_place_far_from_the_first_points_is_climbed_to():
    """x+ = 0.3 x + 0.5 tanh(x - 20): steep near 20 alone, four deviations of the first points away."""
    one, zero = np.ones((1, 1)), np.zeros((1, 1))
    ren = ExplicitREN(
        0.3 * one, 0.5 * one, zero, one, one, zero, zero, zero, zero, np.zeros(1), -20 * np.ones(1), np.zeros(1)
    )
    rng, M = np.random.default_rng(3), one
    assert contracting.one_step(ren, M, 5 * rng.normal(size=(64, 1)), np.zeros((64, 1))).max() < 0.32
    assert contracting.climb(ren, M, 64, rng) == pytest.approx(0.8, rel=1e-3)


def test_the_jacobian_is_that_of_finite_differences(rng):
    ren = contracting.network(contracting.SMOKE, "random", 0.9, 4)
    explicit, M = ren.explicit().to_numpy(), ren.guarantee().metric
    x, u = rng.normal(size=(1, 3)), rng.normal(size=(1, 2))
    dx = 1e-7 * rng.normal(size=(4000, 3))
    moved = explicit.next_state(x + dx, np.repeat(u, len(dx), 0)) - explicit.next_state(x, u)
    seen = (metric_norm(moved, M) / metric_norm(dx, M)).max()
    assert seen == pytest.approx(contracting.one_step(explicit, M, x, u)[0], rel=1e-2)


def test_page_metrics_and_exit_codes_at_smoke_size(tmp_path, monkeypatch, perform):
    good = perform("contracting", tmp_path / "good", size=contracting.SMOKE)
    assert good.code == 0
    for row in good.metrics["networks"]:
        assert row["left"] == 0 and 0.1 < row["closest"] <= 1 and row["attained"] <= row["rate"] <= row["bound"]
    assert (tmp_path / "good" / "figures" / "envelopes.pdf").is_file()
    # A rate that is not proved is refuted by the runs and by the climb.
    real = contracting.run_pairs
    monkeypatch.setattr("observer.certification.contraction.contraction_rate", lambda *_: 0.3)
    row = real(contracting.SMOKE, "long_memory", 0.95, 0)
    assert row["left"] == contracting.SMOKE.pairs and row["attained"] > 0.8
    monkeypatch.setattr(contracting, "run_pairs", lambda *_: row)
    assert perform("contracting", tmp_path / "bad", size=contracting.SMOKE).code == 1
