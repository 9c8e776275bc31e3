"""Control under a limited input at smoke size; the convex program against what is known of it."""

import sys
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("cvxpy")

from experiments.named.echo_state import program
from experiments.named.echo_state import run as echo_state
from experiments.named.echo_state.run import SMOKE, random_network
from systems.base.errors import InputError


def test_smoke_writes_page_and_metrics(tmp_path, monkeypatch, perform):
    done = perform("echo_state", tmp_path, seed=1, size=SMOKE)
    ren = done.metrics["designs"]["REN"]
    assert done.code == (0 if done.metrics["passed"] else 1) and ren["proved"] and ren["status"] == "optimal"
    assert "toy size" in done.page
    monkeypatch.setattr(echo_state, "design", None)
    monkeypatch.setattr("reports.experiment_page.write_experiment_page", lambda out, **_: out)  # drawn once is enough
    assert perform("echo_state", tmp_path, seed=1, size=SMOKE).code == done.code


def test_without_the_solver_the_extra_is_named_and_nothing_is_written(tmp_path, monkeypatch, perform):
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    with pytest.raises(InputError, match=r"ren-observer\[sdp\]"):
        perform("echo_state", tmp_path / "run", size=SMOKE)
    assert not (tmp_path / "run").exists()


def test_the_response_is_the_difference_equation():
    rng, y = np.random.default_rng(0), [0.0, 0.0]
    u = rng.normal(size=20)
    for k in range(18):
        y.append(2 * 0.8 * np.cos(0.2 * np.pi) * y[-1] - 0.64 * y[-2] + 0.3 * u[k])
    np.testing.assert_allclose(program.response(u), y, atol=1e-14)
    assert program.response(np.ones(400))[-1] == pytest.approx(program.STATIC, rel=1e-12)


def test_pairs_go_from_each_level_to_each():
    levels = program.pairs(5, 8.0)[:: program.HOLD]
    found = set(pairwise(levels))
    assert len(levels) == 26 and len(found) == 25 and levels.min() == -8 and levels.max() == 8


def test_features_of_the_network_are_its_states_and_neurons():
    network = random_network(SMOKE, 0)
    explicit, y = network.explicit().to_numpy(), np.random.default_rng(0).normal(size=9)
    features, x = program.echo_state(network), np.zeros(3)
    still = features(np.zeros(5))
    np.testing.assert_allclose(
        still, np.tile(still[0], (5, 1)), atol=1e-12
    )  # at rest nothing moves before the input does
    for _ in range(1000):
        x = explicit.step(x[None], np.zeros((1, 1)))[0][0]
    phi = features(y)
    for k in range(9):
        w = explicit.equilibrium(x[None], y[k : k + 1][None])[0]
        np.testing.assert_allclose(phi[k], [*x, *w, y[k], 1.0], atol=1e-12)
        x = explicit.step(x[None], y[k : k + 1][None])[0][0]


def test_the_solution_is_feasible_and_better_than_its_neighbours(monkeypatch):
    monkeypatch.setattr(program, "WEIGHT", 0.3)  # so that every term of the objective is felt
    d, features = program.steps(6, 10.0, 0), program.finite_impulse(5)

    def objective(theta):
        z, u = program.closed_loop(features, theta, d)
        return np.abs(z).sum() + 0.3 * (np.square(u).sum() + np.linalg.norm(theta)), np.abs(u).max()

    found = program.solve(features, d)
    value, largest = objective(found.theta)
    assert value == pytest.approx(found.objective, rel=1e-5) and largest <= 5 * (1 + 1e-6)
    rng = np.random.default_rng(1)
    for _ in range(50):
        other, size = objective(found.theta * rng.uniform(0.99, 1.0) + 0.01 * rng.normal(size=6))
        assert other > value or size > 5
    tight = program.solve(features, d, cuts=features(-program.response(d)) * 4.0)  # |4 u| <= 5 as well
    assert objective(tight.theta)[1] <= 1.25 * (1 + 1e-6) and tight.objective > found.objective
