"""Activations: ascent finds a gain that is known, scaled plants keep their factor, a page at smoke size."""

import numpy as np
import pytest
import torch

from experiments.named.activations import run as activations
from experiments.named.contracting import run as contracting
from observer.networks import ACTIVATIONS, ExplicitREN
from systems import load_system


def test_ascent_attains_the_gain_of_a_known_map(rng):
    W = torch.from_numpy(np.diag([3.0, 1.0, 0.5]))
    size = activations.ActivationsSize(pairs=16, ascent=300)
    found = activations.largest_gain(lambda x: x @ W, torch.from_numpy(rng.normal(size=(20, 3))), size, 0)
    assert 2.99 < found <= 3.0 + 1e-12  # the largest singular value, never more


def test_the_climb_in_half_ranges_measures_the_same_factor(rng):
    """A linear observer: the factor is the norm of A in M, in whatever units it is climbed to."""
    system = load_system("van_der_pol")
    A, M = np.array([[0.5, 0.1], [-0.3, 0.6]]), np.diag([2.0, 0.3])
    zero = np.zeros
    ren = ExplicitREN.with_identity_output(
        A, zero((2, 1)), zero((2, 2)), zero((1, 2)), zero((1, 1)), zero((1, 2)), zero(2), zero(1)
    )
    root = np.linalg.cholesky(M).T
    expected = np.linalg.norm(root @ A @ np.linalg.inv(root), 2)
    assert activations.climb_near(ren, M, system, 32, rng) == pytest.approx(expected, rel=1e-12)
    assert contracting.climb(ren, M, 32, rng) == pytest.approx(expected, rel=1e-12)


def test_a_page_of_every_activation_at_smoke_size(tmp_path, monkeypatch, perform):
    good = perform("activations", tmp_path / "good", size=activations.SMOKE)
    tasks = good.metrics["tasks"]
    assert good.code == 0 and set(tasks) == {"step", "digits", "van_der_pol"}
    for per in tasks.values():
        assert set(per) == set(ACTIVATIONS)
        for (run,) in per.values():
            assert 0 < run["attained"] <= run["certified"] * (1 + 1e-9) and run["proved"] and run["speed"] > 0
    assert tasks["step"]["relu"][0]["what"] == "loss over the least"
    assert "LBDN, digits: sigmoid" in good.page and "observer of Van der Pol: tanh" in good.page
    # A bound that is exceeded anywhere fails.
    bad = tasks["step"]["relu"][0] | {"attained": 10.1}
    monkeypatch.setattr(activations, "measure_task", lambda *_: bad)
    assert perform("activations", tmp_path / "bad", size=activations.SMOKE).code == 1


def test_sigmoid_loses_a_factor_of_four_in_every_layer(rng):
    """Its slope is at most 1/4, and slopes scale through a sandwich: the gain is at most gamma / 4^L."""
    from observer.networks import LBDN
    from observer.networks.network import disturb

    size = activations.ActivationsSize(pairs=16, ascent=60)
    for hidden in ((6,), (6, 5)):
        network = disturb(LBDN(4, hidden, 3, gamma=3.0, activation="sigmoid", seed=2), 3, 0.1)
        with torch.no_grad():
            explicit = network.explicit()
        found = activations.largest_gain(explicit, torch.from_numpy(rng.normal(size=(20, 4))), size, 0)
        assert 0.1 * 3.0 / 4 ** len(hidden) < found <= 3.0 / 4 ** len(hidden)
