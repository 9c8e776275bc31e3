"""R2DN: against the reference implementation, and with what that lacks, a rate below one and a gain."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from measured import step_violation

from observer.networks.activations import ACTIVATIONS
from observer.networks.kernels.optimizer import Adam
from observer.networks.network import disturb
from observer.networks.r2dn import R2DN, load_published
from systems.base.errors import InputError

FILES = sorted((Path(__file__).parents[2] / "golden").glob("r2dn_*.npz"))
NORM_EPS = 1.1920928955078125e-07


@settings(deadline=None, max_examples=25)
@given(
    nu=st.integers(0, 3),
    nx=st.integers(0, 3),
    nv=st.integers(1, 4),
    ny=st.integers(0, 3),
    hidden=st.lists(st.integers(1, 4), max_size=2),
    contraction_rate=st.floats(0.2, 1.0),
    gamma=st.one_of(st.none(), st.floats(0.05, 20)),
    polar=st.booleans(),
    linear_output=st.booleans(),
    activation=st.sampled_from(ACTIVATIONS),
    spread=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 1000),
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
    with np.load(path) as file:
        golden = dict(file)
    direct = {name[7:]: value for name, value in golden.items() if name.startswith("direct.")}
    options = {"activation": str(golden["meta.activation"]), "eps": float(golden["meta.eps"]), "norm_eps": NORM_EPS}
    network = load_published(direct, **options)
    explicit = network.explicit().to_numpy()
    for name in ("A", "B1", "B2", "C1", "C2", "D12", "D21", "D22", "bx", "bv", "by"):
        expected = golden[f"explicit.{name}"]
        np.testing.assert_allclose(getattr(explicit, name), expected, rtol=0, atol=1e-10, err_msg=name)
    x = golden["x0"]
    for k, u in enumerate(golden["u"]):
        x, y = explicit.step(x, u)
        np.testing.assert_allclose(x, golden["x"][k + 1], rtol=0, atol=1e-10)
        np.testing.assert_allclose(y, golden["y"][k], rtol=0, atol=1e-10)
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
    network = R2DN.example(seed)
    x, u = torch.randn(2, 3, dtype=torch.float64), torch.randn(2, 2, dtype=torch.float64)
    names = list(network.direct())

    def function(*values):
        return torch.func.functional_call(network, dict(zip(names, values, strict=True)), (x, u))

    assert torch.autograd.gradcheck(function, tuple(getattr(network, name) for name in names), fast_mode=True)
    assert network.float()(x.float(), u.float())[0].dtype == torch.float32


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
