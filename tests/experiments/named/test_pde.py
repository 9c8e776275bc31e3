"""The reaction-diffusion experiment: the authors' weights score what they should, and ours at full size by command."""

import numpy as np
import pytest

from experiments.named.pde import run as pde
from systems import discretize, reaction_diffusion, reaction_diffusion_parity


@pytest.mark.skipif(
    not pde.GOLDEN.is_file(),
    reason="the authors' weights are not ours to ship: shared/golden is not beside the project",
)
def test_the_authors_weights_score_their_published_numbers():
    network = pde.authors_network(pde.GOLDEN)
    plant = discretize(reaction_diffusion_parity())
    row = pde.published_test(plant, network, 0)  # the experiment takes the median of five draws
    assert 4e-6 < row["one_step_loss"] < 9e-6
    assert 3e-3 < row["rmse"] < 1.2e-2


def test_the_test_run_is_the_published_one(monkeypatch):
    plant = discretize(reaction_diffusion())

    class Copy:
        nu = 2

        def next_state(self, x, v):
            return plant.step(x, v[..., :1])

    monkeypatch.setattr(pde, "SAMPLES", 40)
    monkeypatch.setattr(pde, "WINDOW", slice(20, 39))
    row = pde.published_test(plant, Copy(), 0)
    assert row["one_step_loss"] < 1e-24 and (row["x"][0] == 0.5).all() and not row["x_hat"][0].any()
    assert np.abs(row["x"][1:, 0] - row["x"][1:, -1]).max() == 0  # both ends are the boundary


@pytest.mark.slow
def test_the_bars_at_full_size(tmp_path, perform):
    done = perform("pde", tmp_path)
    ours = done.metrics["variants"]["ours"]
    assert done.code == 0 and ours["one_step_loss"] <= pde.LOSS_BAR and ours["rmse"] <= pde.RMSE_BAR
