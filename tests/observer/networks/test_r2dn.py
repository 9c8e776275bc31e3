"""R2DN: against the reference implementation, and with what that lacks, a rate below one and a gain."""

import golden_files
import numpy as np
import pytest
import torch
from drawn import whole
from hypothesis import given, settings
from hypothesis import strategies as st
from measured import step_violation
from network_contract import differentiable_in_both_precisions

from observer.networks.activations import ACTIVATIONS
from observer.networks.kernels.optimizer import Adam
from observer.networks.network import disturb
from observer.networks.r2dn import R2DN, load_published
from observer.networks.ren.explicit import WEIGHTS
from systems.base.errors import InputError

FILES = golden_files.files("r2dn")


@settings(deadline=None, max_examples=25)
@given(
    **whole(nu=(0, 3), nx=(0, 3), nv=(1, 4), ny=(0, 3), seed=(0, 1000)),
    hidden=st.lists(st.integers(1, 4), max_size=2),
    contraction_rate=st.floats(0.2, 1.0),
    gamma=st.one_of(st.none(), st.floats(0.05, 20)),
    polar=st.booleans(),
    linear_output=st.booleans(),
    activation=st.sampled_from(ACTIVATIONS),
    spread=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_the_promise_for_all_sizes(nu, nx, nv, ny, spread, seed, **given):
    network = disturb(R2DN(nu, nx, nv, ny, seed=seed, **given), seed, spread)
    found = network.verify()
    assert found.holds, found
    rng = np.random.default_rng(seed)
    assert step_violation(network.guarantee(), network.explicit().to_numpy(), rng, 60) <= 1e-8


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden(path):
    assert len(FILES) == 2
    golden, direct = golden_files.read(path)
    options = {"activation": str(golden["meta.activation"]), "eps": float(golden["meta.eps"])}
    network = load_published(direct, **options, norm_eps=golden_files.NORM_EPS)
    explicit = network.explicit().to_numpy()
    golden_files.same_matrices(explicit, golden, [name for name in WEIGHTS if name != "D11"])
    golden_files.same_trajectory(explicit, golden)
    assert network.verify().holds and network.hidden_layers == (6, 8)


def test_published_parameters_must_be_complete():
    with pytest.raises(InputError, match=r"expected the parameters of an R2DN, network\.layers_0\.XY too"):
        load_published({"X": np.eye(2)})


def test_the_attained_gain_stays_below_gamma():
    network = disturb(R2DN(2, 3, 6, 2, hidden=(8,), gamma=0.7, seed=3), 3, 0.3)
    weights = network.explicit()
    rng = np.random.default_rng(0)
    u = torch.tensor(rng.normal(size=(8, 2, 10, 2)) * rng.uniform(0.1, 2, size=(8, 1, 1, 1))).requires_grad_()

    def gains():
        x, square = torch.zeros(16, 3, dtype=torch.float64), 0.0
        for k in range(10):
            x, y = weights.step(x, u[:, :, k].reshape(16, 2))
            square = square + (y[1::2] - y[::2]).square().sum(1)
        return (square / (u[:, 1] - u[:, 0]).square().sum((1, 2))).sqrt()

    optimizer, start = Adam([u], 0.05), gains().max().item()
    for _ in range(30):
        optimizer.zero_grad()
        (gradient,) = torch.autograd.grad(-gains().sum(), u, retain_graph=True)
        u.grad = gradient
        optimizer.step()
    assert start < gains().max().item() <= 0.7


@pytest.mark.parametrize("seed", [0, 1])
def test_gradients_and_precision(seed):
    x, u = torch.randn(2, 3, dtype=torch.float64), torch.randn(2, 2, dtype=torch.float64)
    differentiable_in_both_precisions(R2DN.example(seed), x, u)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": 0.0}, "gamma is 0.0; expected a finite number, positive"),
        ({"contraction_rate": 1.5}, "contraction_rate is 1.5"),
        ({"nv": 0}, "nv is 0; expected a whole number, at least 1"),
        ({"hidden": (0,)}, r"hidden\[0\] is 0"),
        ({"activation": "silu"}, "slope ranges over"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(InputError, match=message):
        R2DN(**{"nu": 1, "nx": 2, "nv": 3, "ny": 1, **options})
