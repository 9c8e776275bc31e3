"""The contracting REN: the map is as written, contracts for every parameter, and can be inverted."""

import numpy as np
import pytest
import torch
from drawn import whole
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.networks.activations import ACTIVATIONS
from observer.networks.ren.contracting import ContractingREN
from observer.networks.ren.explicit import ExplicitREN
from observer.networks.ren.initial_values import INITIAL_VALUES
from systems.base.errors import InputError

RATES = [0.3, 0.8, 0.95, 1.0]


def disturbed(nu=2, nx=3, nv=6, ny=None, *, spread=1.0, seed=0, **options):
    """A network at random parameters far from its initial values: the theorem is for every value."""
    ren = ContractingREN(nu, nx, nv, ny, seed=seed, **options)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in ren.parameters():
            parameter += spread * torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(
                parameter.dtype
            )
    return ren


def proof(ren):
    """Explicit weights, metric and multipliers in float64."""
    return (
        ren.explicit().to_numpy(),
        ren.metric().detach().double().numpy(),
        ren.multipliers().detach().double().numpy(),
    )


def largest_factor(explicit, M, seed=0, pairs=200, scale=3.0):
    """Largest |dx+|_M / |dx|_M over random pairs, near and far, under the same input."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(pairs, explicit.nx)) * scale
    other = x + rng.normal(size=x.shape) * np.geomspace(1e-3, 10, pairs)[:, None]
    u = rng.normal(size=(pairs, explicit.nu)) * scale
    before, after = other - x, explicit.next_state(other, u) - explicit.next_state(x, u)
    return np.sqrt(np.max(np.einsum("ki,ij,kj->k", after, M, after) / np.einsum("ki,ij,kj->k", before, M, before)))


@pytest.mark.parametrize("nv", [0, 1, 6])
@pytest.mark.parametrize("polar", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("rate", RATES)
def test_contracts_in_its_metric(rate, activation, polar, nv):
    for seed in range(3):
        ren = disturbed(nv=nv, contraction_rate=rate, activation=activation, polar=polar, seed=seed)
        explicit, M, _ = proof(ren)
        assert largest_factor(explicit, M, seed) <= rate * (1 + 1e-9)


def test_another_metric_would_not_do():
    """P alone, or the identity, is not the metric: the test above can fail."""
    worst_identity = worst_P = 0.0
    for seed in range(20):
        ren = disturbed(nv=6, contraction_rate=0.8, seed=seed)
        explicit, _, _ = proof(ren)
        P = ren.direct_map.implicit(ren.X, ren.Y1, ren.p)[0][-3:, -3:].detach().numpy()
        worst_identity = max(worst_identity, largest_factor(explicit, np.eye(3), seed))
        worst_P = max(worst_P, largest_factor(explicit, P, seed))
    assert worst_identity > 0.8 and worst_P > 0.8


@settings(deadline=None, max_examples=30)
@given(
    **whole(nx=(1, 4), nv=(0, 7), nu=(0, 3), seed=(0, 1000)),
    rate=st.floats(0.05, 1.0),
    activation=st.sampled_from(ACTIVATIONS),
    initial=st.sampled_from(INITIAL_VALUES),
)
def test_contracts_for_all_sizes(nx, nv, nu, rate, activation, initial, seed):
    ren = disturbed(nu, nx, nv, contraction_rate=rate, activation=activation, initial=initial, seed=seed, spread=0.3)
    explicit, M, Lam = proof(ren)
    assert np.linalg.eigvalsh(M)[0] > 0 and (Lam > 0).all() and Lam.shape == (nv,)
    assert (np.triu(explicit.D11) == 0).all()
    assert largest_factor(explicit, M, seed) <= rate * (1 + 1e-8)


def test_the_map_is_that_of_the_paper():
    """Rebuilt here block by block with NumPy; every weight in its place."""
    ren = disturbed(nu=2, nx=3, nv=4, ny=2, contraction_rate=0.7, eps=1e-3, norm_eps=1e-2, seed=5)
    d, n, q = ren.direct(), 3, 4
    H = d["p"] ** 2 * d["X"].T @ d["X"] / (np.sum(d["X"] ** 2) + 1e-2) + 1e-3 * np.eye(2 * n + q)
    H11, H21, H22 = H[:n, :n], H[n : n + q, :n], H[n : n + q, n : n + q]
    H31, H32, H33 = H[n + q :, :n], H[n + q :, n : n + q], H[n + q :, n + q :]
    E = (H11 + H33 / 0.7**2 + d["Y1"] - d["Y1"].T) / 2
    Lam = np.diag(np.diag(H22) / 2)
    explicit, M, multipliers = proof(ren)
    expected = {
        "A": np.linalg.inv(E) @ H31,
        "B1": np.linalg.inv(E) @ H32,
        "B2": np.linalg.inv(E) @ d["B2"],
        "C1": -np.linalg.inv(Lam) @ H21,
        "D11": -np.linalg.inv(Lam) @ np.tril(H22, -1),
        "D12": np.linalg.inv(Lam) @ d["D12"],
        **{name: d[name] for name in ("C2", "D21", "D22", "bx", "bv", "by")},
    }
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(explicit, name), value, atol=1e-10, err_msg=name)
    np.testing.assert_allclose(M, E.T @ np.linalg.inv(H33) @ E, atol=1e-10)
    np.testing.assert_allclose(multipliers, np.diag(Lam), atol=1e-14)


def test_gradients_reach_every_parameter():
    ren = disturbed(nu=2, nx=2, nv=3, ny=2, contraction_rate=0.9)
    names = [name for name, _ in ren.named_parameters()]

    def loss(*values):
        x_next, y = torch.func.functional_call(
            ren, dict(zip(names, values, strict=True)), (torch.ones(4, 2, dtype=torch.float64),) * 2
        )
        return x_next, y

    assert set(names) == {"X", "Y1", "p", "B2", "C2", "D12", "D21", "D22", "bx", "bv", "by"}
    assert torch.autograd.gradcheck(loss, tuple(ren.parameters()))


@pytest.mark.parametrize("initial", INITIAL_VALUES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_initial_values_are_reproducible_and_keep_the_precision(initial, dtype):
    first, second, other = (ContractingREN(2, 3, 5, initial=initial, dtype=dtype, seed=seed) for seed in (4, 4, 5))
    state = torch.random.get_rng_state()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.X, other.X)
    assert all(parameter.dtype == getattr(torch, dtype) for parameter in first.parameters())
    assert torch.equal(state, torch.random.get_rng_state())
    x, u = torch.zeros(7, 3, dtype=first.X.dtype), torch.ones(7, 2, dtype=first.X.dtype)
    assert first(x, u)[0].dtype == first.X.dtype


def test_float32_contracts_too():
    explicit, M, _ = proof(disturbed(nv=6, contraction_rate=0.9, dtype="float32"))
    assert largest_factor(explicit, M) <= 0.9 * (1 + 1e-4)


@pytest.mark.parametrize("rate", RATES)
def test_long_memory_remembers(rate):
    explicit = ContractingREN(1, 4, 8, contraction_rate=rate, initial="long_memory").explicit().to_numpy()
    np.testing.assert_allclose(explicit.A, np.diag(np.diag(explicit.A)), atol=1e-12)
    assert (np.diag(explicit.A) > 0.94 * rate).all() and np.abs(explicit.B1).max() > 0 and np.abs(explicit.C1).max() > 0


def test_long_memory_that_finds_nothing_says_so(monkeypatch):
    def never(*_):
        raise ValueError("no room")

    monkeypatch.setattr(ContractingREN, "inverse", never)
    with pytest.raises(InputError, match=r"initial 'long_memory' found no network .* in 60 halvings.*initial='random'"):
        ContractingREN(1, 4, 8, initial="long_memory")


@settings(deadline=None, max_examples=25)
@given(
    **whole(nx=(1, 4), nv=(0, 6), seed=(0, 1000)),
    rate=st.floats(0.2, 0.99),
    polar=st.booleans(),
    identity=st.booleans(),
)
def test_inverse_round_trip(nx, nv, rate, polar, identity, seed):
    ren = disturbed(2, nx, nv, nx, contraction_rate=rate, identity_output=identity, spread=0.2, seed=seed)
    explicit, M, Lam = proof(ren)
    again = ContractingREN.from_explicit(explicit, M, Lam, min(1.0, rate * 1.001), polar=polar)
    assert again.identity_output == identity and again.polar == polar
    for name, value in again.explicit().to_numpy().weights().items():
        np.testing.assert_allclose(value, getattr(explicit, name), rtol=1e-10, atol=1e-10, err_msg=name)
    ratio = again.metric().detach().numpy() / M
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-6)


def test_inverse_of_changed_weights():
    """Weights that no direct parameters produced, inside the certificate: how a fit on explicit weights comes back."""
    explicit, M, Lam = proof(disturbed(nv=6, contraction_rate=0.8, identity_output=True, spread=0.3))
    rng = np.random.default_rng(0)

    def changed(value):
        return value + 1e-3 * rng.normal(size=value.shape)

    other = ExplicitREN.with_identity_output(
        *(changed(getattr(explicit, name)) for name in ("A", "B1", "B2", "C1")),
        np.tril(changed(explicit.D11), -1),
        *(changed(getattr(explicit, name)) for name in ("D12", "bx", "bv")),
        explicit.activation,
    )
    again = ContractingREN.from_explicit(other, M, Lam, 0.85, norm_eps=1e-3)
    for name, value in again.explicit().to_numpy().weights().items():
        np.testing.assert_allclose(value, getattr(other, name), atol=1e-10, err_msg=name)
    assert largest_factor(other, M) <= 0.85


@pytest.mark.parametrize("size", [1e-14, 1e6])
def test_inverse_does_not_depend_on_the_size_of_the_metric(size):
    """A metric far below eps is enlarged first: H - eps I must stay positive definite."""
    explicit, M, Lam = proof(disturbed(nv=4, contraction_rate=0.8, identity_output=True, spread=0.3))
    again = ContractingREN.from_explicit(explicit, size * M, size * Lam, 0.81)
    for name, value in again.explicit().to_numpy().weights().items():
        np.testing.assert_allclose(value, getattr(explicit, name), atol=1e-10, err_msg=name)


def test_inverse_refuses_what_is_not_certified():
    explicit, M, Lam = proof(disturbed(nv=4, contraction_rate=0.9, identity_output=True))
    with pytest.raises(
        ValueError, match=r"no direct parameters at contraction rate 0\.01: the smallest eigenvalue .* is -"
    ):
        ContractingREN.from_explicit(explicit, M, Lam, 0.01)
    with pytest.raises(ValueError, match="not finite and positive"):
        ContractingREN.from_explicit(explicit, M, -Lam, 0.9)
    with pytest.raises(InputError, match=r"multipliers has shape \(3,\); expected \(nv,\) = \(4,\)"):
        ContractingREN.from_explicit(explicit, M, Lam[:3], 0.9)


def test_direct_parameters_round_trip():
    ren = disturbed(2, 3, 4, 2, contraction_rate=0.7)
    again = ContractingREN.from_direct(ren.direct(), contraction_rate=0.7)
    assert (again.polar, again.identity_output, again.ny) == (True, False, 2)
    for name, value in again.explicit().to_numpy().weights().items():
        np.testing.assert_array_equal(value, getattr(ren.explicit().to_numpy(), name))
    direct = ren.direct()
    with pytest.raises(InputError, match="bx missing"):
        ContractingREN.from_direct({k: v for k, v in direct.items() if k != "bx"}, contraction_rate=0.7)
    with pytest.raises(InputError, match=r"got .*Z.*; expected"):
        ContractingREN.from_direct({**direct, "Z": direct["X"]}, contraction_rate=0.7)
    with pytest.raises(InputError, match=r"direct parameter Y1 has shape \(2, 2\)"):
        ContractingREN.from_direct({**direct, "Y1": np.eye(2)}, contraction_rate=0.7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contraction_rate": 0.0}, r"contraction_rate is 0\.0; expected a number in \(0, 1\]"),
        ({"contraction_rate": 1.2}, r"contraction_rate is 1\.2; expected a number in \(0, 1\]"),
        ({"contraction_rate": float("nan")}, r"contraction_rate is nan"),
        ({"activation": "silu"}, "slope ranges over"),
        ({"initial": "warm"}, "initial 'warm' is not known; expected random or long_memory"),
        ({"dtype": "float16"}, "dtype is 'float16'; expected float32 or float64"),
        ({"eps": -1.0}, "eps is -1.0; expected a finite number, zero or positive"),
        ({"nv": -1}, "nv is -1; expected a whole number, at least 0"),
        ({"ny": 1, "identity_output": True}, "ny is 1 with identity output; expected ny = nx = 2"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(InputError, match=message):
        ContractingREN(**{"nu": 1, "nx": 2, "nv": 3, **options})
