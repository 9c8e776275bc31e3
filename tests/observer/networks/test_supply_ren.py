"""RENs with a supply: Lipschitz, passive and general, for every value of their parameters and for all sizes."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from measured import step_violation

from observer.networks.activations import ACTIVATIONS
from observer.networks.kernels.optimizer import Adam
from observer.networks.network import disturb
from observer.networks.ren.dissipative import DissipativeREN
from observer.networks.ren.initial_values import INITIAL_VALUES
from observer.networks.ren.lipschitz import LipschitzREN
from observer.networks.ren.passive import PassiveREN
from observer.networks.ren.supply import strict_supply
from systems.base.errors import InputError

options = {
    "nx": st.integers(0, 3),
    "nv": st.integers(0, 5),
    "contraction_rate": st.floats(0.2, 1.0),
    "activation": st.sampled_from(ACTIVATIONS),
    "polar": st.booleans(),
    "initial": st.sampled_from(INITIAL_VALUES),
    "seed": st.integers(0, 1000),
}


def holds(network, spread, seed):
    if spread:
        disturb(network, seed, spread)
    found = network.verify()
    assert found.holds, found
    rng = np.random.default_rng(seed)
    assert step_violation(network.guarantee(), network.explicit().to_numpy(), rng, 60) <= 1e-8


@settings(deadline=None, max_examples=25)
@given(
    nu=st.integers(0, 3),
    ny=st.integers(0, 3),
    gamma=st.floats(0.05, 50),
    learnable_gamma=st.booleans(),
    feedthrough=st.sampled_from(["constructed", "zero"]),
    spread=st.sampled_from([0.0, 0.3, 1.0]),
    **options,
)
def test_lipschitz(nu, ny, nx, nv, spread, seed, **given):
    holds(LipschitzREN(nu, nx, nv, ny, seed=seed, **given), spread, seed)


@settings(deadline=None, max_examples=30)
@given(
    size=st.integers(1, 3),
    output_strictness=st.sampled_from([0.0, 0.3, 2.0]),
    share=st.floats(0.0, 0.95),
    spread=st.sampled_from([0.0, 0.3, 1.0]),
    **options,
)
def test_passive(size, nx, nv, output_strictness, share, spread, seed, **given):
    strictness = share * (0.25 / output_strictness if output_strictness else 2.0)
    network = PassiveREN(
        size, nx, nv, input_strictness=strictness, output_strictness=output_strictness, seed=seed, **given
    )
    holds(network, spread, seed)


@settings(deadline=None, max_examples=25)
@example(
    nu=2,
    ny=1,
    rank=1,
    nx=1,
    nv=2,
    spread=0.3,
    seed=117,
    contraction_rate=1.0,
    activation="relu",
    polar=False,
    initial="random",
)  # Q is all but singular
@given(
    nu=st.integers(1, 3),
    ny=st.integers(1, 3),
    rank=st.integers(0, 3),
    spread=st.sampled_from([0.0, 0.3]),
    **options,
)
def test_any_valid_supply(nu, ny, rank, nx, nv, spread, seed, **given):
    """Q of any rank, also zero; R just large enough that some feedthrough exists."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(ny, min(rank, ny)))
    Q, S = -root @ root.T, rng.normal(size=(nu, ny))
    # A feedthrough of our own choice has Rc = I by the choice of R: the supply is satisfiable for sure.
    D22 = rng.normal(size=(ny, nu))
    cross = S @ D22
    R = np.eye(nu) - cross - cross.T - D22.T @ Q @ D22
    holds(DissipativeREN(nu, nx, nv, ny, supply=(Q, S, R), seed=seed, **given), spread, seed)


@pytest.mark.parametrize("seed", range(3))
def test_the_attained_gain_stays_below_gamma(seed):
    """The input is driven uphill: the gain found is the largest that an attack finds, and is below the bound."""
    network = disturb(LipschitzREN(2, 3, 8, 2, gamma=1.3, seed=seed), seed)
    rng = np.random.default_rng(seed)
    weights = network.explicit().to_torch()
    u = torch.tensor(rng.normal(size=(8, 2, 10, 2)) * rng.uniform(0.1, 2, size=(8, 1, 1, 1))).requires_grad_()

    def gains():
        x, square = torch.zeros(16, 3, dtype=torch.float64), 0.0
        for k in range(10):
            x, y = weights.step(x, u[:, :, k].reshape(16, 2), "reference")
            square = square + (y[1::2] - y[::2]).square().sum(1)
        return (square / (u[:, 1] - u[:, 0]).square().sum((1, 2))).sqrt()

    optimizer, start = Adam([u], 0.05), gains().max().item()
    for _ in range(30):
        optimizer.zero_grad()
        (-gains().sum()).backward()
        optimizer.step()
    assert start < gains().max().item() <= 1.3


@pytest.mark.parametrize("identity", [LipschitzREN, DissipativeREN])
@pytest.mark.parametrize("initial", INITIAL_VALUES)
def test_identity_output_where_possible(identity, initial):
    extra = {"gamma": 2.0} if identity is LipschitzREN else {"supply": (-np.eye(3), np.ones((2, 3)), np.eye(2))}
    network = identity(2, 3, 4, 3, identity_output=True, initial=initial, **extra)
    explicit = network.explicit().to_numpy()
    assert explicit.has_identity_output and not {"C2", "D21", "by", "X3"} & set(network.direct())
    holds(network, 0.3, 1)


def test_the_kinds_agree_where_they_overlap():
    """A Lipschitz bound is the supply (-I/gamma, 0, gamma I): the same parameters give the same matrices."""
    network = disturb(LipschitzREN(2, 3, 4, 2, gamma=2.0), 3)
    general = DissipativeREN(2, 3, 4, 2, supply=(-np.eye(2) / 2, np.zeros((2, 2)), 2 * np.eye(2)))
    general.load_direct(network.direct())
    for name, value in general.explicit().to_numpy().weights().items():
        np.testing.assert_allclose(value, network.explicit().to_numpy().weights()[name], atol=1e-12, err_msg=name)


def test_gradients():
    for network in (LipschitzREN.example(0), PassiveREN.example(0), DissipativeREN.example(0)):
        names = list(network.direct())

        def explicit(*values, network=network, names=names):
            parameters = dict(zip(names, values, strict=True))
            with torch.nn.utils.stateless._reparametrize_module(network, parameters):
                return tuple(value for value in network.explicit().weights().values() if value.requires_grad)

        assert torch.autograd.gradcheck(explicit, tuple(getattr(network, name) for name in names), fast_mode=True)


def test_both_strictnesses_need_the_general_formula():
    """The feedthrough (I + Mm)^-1 / rho of the published code leaves Rc indefinite; ours does not (MATH 2b)."""
    rng = np.random.default_rng(0)
    bad = 0
    for seed in range(50):
        network = disturb(PassiveREN(2, 1, 1, input_strictness=0.5, output_strictness=0.4, seed=seed), seed, 1.0)
        D22 = network.explicit().to_numpy().D22
        Rc = D22 + D22.T - 0.8 * D22.T @ D22 - np.eye(2)
        assert np.linalg.eigvalsh(Rc)[0] > 0
        X = rng.normal(size=(2, 2))
        other = np.linalg.inv(np.eye(2) + X.T @ X) / 0.4
        bad += np.linalg.eigvalsh(other + other.T - 0.8 * other.T @ other - np.eye(2))[0] <= 0
    assert bad > 25


@pytest.mark.parametrize("nu, ny", [(2, 2), (3, 1), (1, 3), (0, 2), (2, 0)])
def test_explicit_weights_come_back(nu, ny):
    network = disturb(LipschitzREN(nu, 3, 4, ny, gamma=1.5), 4, 0.3)
    claim, explicit = network.guarantee(), network.explicit().to_numpy()
    other = LipschitzREN(nu, 3, 4, ny, gamma=1.5 * 1.001, contraction_rate=0.96, polar=False, eps=1e-12)
    other.load_explicit(explicit, claim.metric, claim.multipliers)
    for name, value in other.explicit().to_numpy().weights().items():
        np.testing.assert_allclose(value, explicit.weights()[name], atol=1e-9, err_msg=name)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LipschitzREN(1, 1, 1, 1, gamma=0.0), "gamma is 0.0; expected a finite number, positive"),
        (lambda: LipschitzREN(1, 2, 1, 1, gamma=1.0, identity_output=True), "ny is 1 with identity output"),
        (lambda: LipschitzREN(1, 2, 1, 1, gamma=1.0, feedthrough="free"), "feedthrough is 'free': no bound holds"),
        (lambda: LipschitzREN(1, 2, 1, 1, gamma=1.0, feedthrough="odd"), "feedthrough 'odd' is not known"),
        (lambda: LipschitzREN(1, 2, 1, 1, gamma=1.0, initial="warm"), "initial 'warm' is not known"),
        (lambda: LipschitzREN(1, 2, -1, 1, gamma=1.0), "nv is -1; expected a whole number"),
        (lambda: PassiveREN(2, 2, 1, identity_output=True), "identity_output=True makes D22 = 0, and then R"),
        (lambda: PassiveREN(2, 3, 1, feedthrough="zero"), "feedthrough='zero' makes D22 = 0, and then R"),
        (lambda: PassiveREN(2, 3, 1, input_strictness=0.5, output_strictness=0.5), r"is 0\.25; expected less than 1/4"),
        (lambda: DissipativeREN(1, 1, 1, 1, supply=np.eye(3)), "supply Q has shape"),
        (lambda: DissipativeREN(1, 1, 1, 1, supply=None), "expected three matrices"),
        (lambda: DissipativeREN(1, 1, 1, 1, supply=([[1.0]], [[0.0]], [[1.0]])), "supply Q has the eigenvalue 1"),
        (
            lambda: DissipativeREN(1, 1, 1, 1, supply=([[-1.0]], [[0.0]], [[-1.0]])),
            r"R - S Q\^-1 S' has the eigenvalue -1",
        ),
        (
            lambda: DissipativeREN(2, 1, 1, 2, supply=(-np.eye(2), np.eye(2), [[1, 0.5], [0, 1]])),
            "supply R is not symmetric",
        ),
        (lambda: DissipativeREN(2, 1, 1, 1, supply=([[0.0]], [[1.0], [0.0]], -np.eye(2))), "no network is dissipative"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_a_singular_supply_is_shifted_as_little_as_the_sequence_allows():
    Q = strict_supply(np.zeros((1, 1)), np.eye(1), -0.3 * np.eye(1))
    assert -0.3 - 1 / Q[0, 0] > 0 and Q[0, 0] < -0.1
