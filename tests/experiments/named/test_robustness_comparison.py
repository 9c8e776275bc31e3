"""The comparison of robust classifiers: each certificate against a case whose answer is known, and a page at smoke size."""

import numpy as np
import pytest
import torch

from experiments.named.classification import certificates, methods, training
from experiments.named.classification.attacks import margins
from experiments.named.classification.data import load_images
from experiments.named.classification.measure import OnImages
from experiments.named.robustness_comparison.page import page
from systems.base.errors import InputError


def test_interval_margins_lie_below_every_margin_in_the_ball_and_meet_it_at_its_centre(rng):
    network = training.plain_network(5, (7, 6), seed=1).double()
    x, y = torch.from_numpy(rng.normal(size=(40, 5))), torch.from_numpy(rng.integers(0, 10, 40))
    torch.testing.assert_close(certificates.interval_margins(network, x, y, 0.0), margins(network(x), y))
    for radius in (0.05, 0.5):
        bound = certificates.interval_margins(network, x, y, radius)
        step = rng.normal(size=(300, 40, 5))
        step *= radius / np.linalg.norm(step, axis=2, keepdims=True)
        seen = torch.stack([margins(network(x + torch.from_numpy(s)), y) for s in step]).amin(dim=0)
        assert (bound <= seen).all()
        assert (seen - bound).median() < 20 * radius  # and not by far
    right = margins(network(x), y) > 0
    found = torch.from_numpy(certificates.interval_radius(network, x, y, 2.0))
    assert (found[~right] == -1).all() and (found[right] > 0).all()
    assert (certificates.interval_margins(network, x[right], y[right], found[right][:, None]) >= 0).all()
    assert (certificates.interval_margins(network, x[right], y[right], 1.01 * found[right][:, None]) < 1e-2).all()


def test_one_layer_of_intervals_is_exact_for_a_ball(rng):
    """Without a kink in the ball, relu(W x) and a last row of one sign: the bound is the true minimum, -r |w|."""
    network = training.plain_network(4, (1,), seed=0).double()
    first, last = network[0], network[2]
    with torch.no_grad():
        first.bias[:] = 100.0  # never at the kink
        last.weight.zero_()
        last.weight[3, 0] = 2.0
        last.bias.zero_()
    x, y = torch.from_numpy(rng.normal(size=(6, 4))), torch.full((6,), 3)
    expected = 2 * (first(x)[:, 0] - 0.7 * first.weight.norm())
    torch.testing.assert_close(certificates.interval_margins(network, x, y, 0.7), expected)


def test_smoothed_radii_of_a_half_space_are_below_the_true_distance_and_near_it():
    """Cohen et al.: for a linear classifier the certified radius tends to the distance from its boundary."""
    sigma, generator = 0.5, torch.Generator().manual_seed(0)

    def logits(x):
        return torch.cat([x[:, :1], -x[:, :1], torch.full((len(x), 8), -99.0)], dim=1)

    x = torch.zeros(40, 3)
    x[:, 0] = torch.linspace(-0.2, 0.8, 40)
    y = torch.zeros(40, dtype=torch.long)
    options = {"few": 50, "many": 20_000, "failure": 1e-4, "generator": generator}
    found = certificates.smoothing_radius(logits, x, y, sigma, **options)
    distance = x[:, 0].numpy()
    assert (found[distance < -0.02] == -1).all()
    clear = distance > 0.05
    assert (found[clear] > 0).all() and (found[clear] <= distance[clear]).all()
    assert (found[clear] >= distance[clear] - 0.05).all()


def test_every_method_on_one_page_at_smoke_size(tmp_path, perform):
    done = perform("robustness_comparison", tmp_path, size=methods.SMOKE)
    found = done.metrics["methods"]
    assert done.code == 0, done.said
    assert set(found) == set(methods.NAMES)
    for name, row in found.items():
        assert row["train_seconds"] > 0 and row["deterministic"] == (name != "smoothing")
        assert row["certified_same"] == sorted(row["certified_same"], reverse=True)
        if row["deterministic"]:
            assert row["contradictions"] == 0
    assert (
        all(label in done.page for label in methods.NAMES.values())
        and (tmp_path / "figures" / "comparison.pdf").is_file()
    )
    full = [1.0] * len(found["tight"]["attacked"])
    for k, (key, value) in enumerate((("contradictions", 1), ("certified_same", full), ("proved", False))):
        wrong = page(OnImages(methods.SMOKE, 0, found | {"tight": found["tight"] | {key: value}}, load_images()))
        assert not wrong.passed and [not c["passed"] for c in wrong.metrics["criteria"]] == [k == i for i in range(3)]
    with pytest.raises(InputError, match="--rows names linear"):
        perform("robustness_comparison", tmp_path, rows="linear")
