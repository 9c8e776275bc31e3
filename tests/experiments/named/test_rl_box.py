"""The learned controller at smoke size; its simulation against a plain loop, its slope search against a known slope."""

import numpy as np
import pytest
import torch

from experiments.named.rl_box import control
from experiments.named.rl_box import run as rl_box
from systems.base.errors import InputError


def test_smoke_writes_page_and_metrics_and_keeps_parts(tmp_path, monkeypatch, perform):
    done = perform("rl_box", tmp_path, seed=3, size=rl_box.SMOKE)
    ours = done.metrics["controllers"]["LBDN"][0]
    assert done.code == (0 if done.metrics["passed"] else 1) and ours["proved"] and ours["slope"] <= 20
    assert "toy size" in done.page and (tmp_path / "figures" / "rebuilding.pdf").is_file()
    monkeypatch.setattr(rl_box, "learn", None)
    monkeypatch.setattr("reports.experiment_page.write_experiment_page", lambda out, **_: out)  # drawn once is enough
    assert perform("rl_box", tmp_path, seed=3, size=rl_box.SMOKE).code == done.code
    with pytest.raises(InputError, match="has no --solver"):
        perform("rl_box", tmp_path, solver="adam")


def test_the_simulation_is_the_equations_step_by_step():
    r = torch.tensor([0.5, -1.0])

    def law(z):
        return (3.0 * z[:, 2:] - z[:, :1] + 0.5 * z[:, 1:2]).clone()

    motion = control.simulate(law, r, 50)
    for k, target in enumerate((0.5, -1.0)):
        q = v = 0.0
        for t in range(50):
            u = 3 * target - q + 0.5 * v
            assert np.allclose([motion.q[t, k], motion.v[t, k], motion.u[t, k]], [q, v, u], atol=1e-5)
            q, v = q + 0.02 * v, v + 0.02 * (u - 5 * q - 0.5 * v * abs(v))
    errors = (motion.q - r) ** 2 * 10 + motion.v**2 + 0.1 * (motion.u - 5 * r) ** 2
    torch.testing.assert_close(motion.cost(r), errors.mean())


def test_the_steepest_slope_of_a_folded_line_is_found_and_no_controller_beats_the_least_cost():
    def steep_beyond_one(z):
        return torch.relu(z[:, :1] - 1.0) * 7 + z @ torch.tensor([[0.3], [0.4], [0.0]])

    assert control.steepest(steep_beyond_one, 500, 0) == pytest.approx(np.hypot(7.3, 0.4), rel=1e-5)
    r = control.references(5, 0)
    best = control.least_cost(r, 60, 60)
    for gain in (4.0, 5.0, 6.0):
        assert best < float(control.simulate(lambda z, gain=gain: gain * z[:, 2:], r, 60).cost(r))


def test_a_steep_place_between_the_points_is_climbed_to():
    def bump(z):
        return torch.tanh(20 * (z[:, :1] - 0.737)) / 20

    coarse = control.steepest(bump, 60, 0)
    assert 0.98 < coarse <= 1.0
