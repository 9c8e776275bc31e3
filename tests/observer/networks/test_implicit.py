"""The implicit REN: its equilibrium is found, is the only one, and is differentiated exactly."""

import numpy as np
import pytest
import torch
from drawn import whole
from hypothesis import given, settings
from hypothesis import strategies as st
from measured import step_violation
from network_contract import differentiable_in_both_precisions

from observer.networks.activations import ACTIVATIONS, get_activation
from observer.networks.network import disturb
from observer.networks.ren.explicit import ExplicitREN
from observer.networks.ren.implicit import ExplicitImplicitREN, ImplicitREN
from observer.networks.ren.splitting import ImplicitEquilibrium, solve_numpy
from systems.base.errors import InputError


def well_posed(nv, seed, room=0.1):
    """D11 with 2 Lam - Lam D11 - D11'Lam > 0 for some Lam, of any size otherwise."""
    rng = np.random.default_rng(seed)
    Lam, X, Y = np.exp(rng.normal(size=nv)), rng.normal(size=(nv, nv)), 2 * rng.normal(size=(nv, nv))
    return np.eye(nv) - (X.T @ X + room * np.eye(nv) + Y - Y.T) / 2 / Lam[:, None]


@settings(deadline=None, max_examples=30)
@given(nv=st.integers(0, 8), seed=st.integers(0, 1000), activation=st.sampled_from(ACTIVATIONS))
def test_the_equilibrium_is_found(nv, seed, activation):
    D11, b = well_posed(nv, seed), 3 * np.random.default_rng(seed + 1).normal(size=(4, 5, nv))
    w = solve_numpy(D11, b, activation)
    np.testing.assert_allclose(w, get_activation(activation)(w @ D11.T + b), rtol=1e-11, atol=1e-11)


def test_it_is_that_of_the_acyclic_layer_where_both_apply():
    rng = np.random.default_rng(0)
    D11, b = 0.3 * np.tril(rng.normal(size=(6, 6)), -1), rng.normal(size=(9, 6))
    zeros = np.zeros
    ren = ExplicitREN(zeros((1, 1)), zeros((1, 6)), zeros((1, 1)), zeros((6, 1)), zeros((1, 1)), D11, zeros((6, 1)),
                      zeros((1, 6)), zeros((1, 1)), zeros(1), zeros(6), zeros(1), "relu")  # fmt: skip
    for row in b:
        acyclic = ren.with_weights(bv=row).equilibrium(zeros(1), zeros(1))
        full = ExplicitImplicitREN(ren.with_weights(bv=row)).equilibrium(zeros(1), zeros(1))
        np.testing.assert_allclose(full, acyclic, atol=1e-12)


def test_plain_iteration_would_not_do():
    """w <- sigma(D11 w + b) runs away where the splitting converges: the case that the theory is for."""
    D11, b = well_posed(6, 3), np.random.default_rng(4).normal(size=(5, 6))
    w = np.zeros((5, 6))
    for _ in range(200):
        w = np.clip(np.maximum(w @ D11.T + b, 0), 0, 1e6)
    assert np.abs(w - np.maximum(w @ D11.T + b, 0)).max() > 1
    assert np.isfinite(solve_numpy(D11, b, "relu")).all()


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_gradient_of_the_equilibrium(activation):
    D11 = torch.tensor(well_posed(4, 5)).requires_grad_()
    b = torch.randn(2, 3, 4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda D, b: ImplicitEquilibrium.apply(D, b, activation, 1e-14), (D11, b))


@settings(deadline=None, max_examples=20)
@given(
    **whole(nu=(0, 2), nx=(0, 3), nv=(0, 5), ny=(0, 2), seed=(0, 1000)),
    contraction_rate=st.floats(0.2, 1.0),
    activation=st.sampled_from(ACTIVATIONS),
    polar=st.booleans(),
    spread=st.sampled_from([0.0, 0.3]),
)
def test_contracts_for_all_sizes(nu, nx, nv, ny, spread, seed, **given):
    network = disturb(ImplicitREN(nu, nx, nv, ny, seed=seed, **given), seed, spread)
    assert network.verify().holds
    rng = np.random.default_rng(seed)
    assert step_violation(network.guarantee(), network.explicit().to_numpy(), rng, 40) <= 1e-8


def test_gradients_and_precision():
    network = ImplicitREN.example(0)
    assert np.abs(np.triu(network.explicit().to_numpy().weights()["D11"])).max() > 0.1
    x, u = torch.randn(2, 3, dtype=torch.float64), torch.randn(2, 2, dtype=torch.float64)
    differentiable_in_both_precisions(network, x, u)


def test_what_is_not_well_posed_is_said():
    with pytest.raises(InputError, match=r"the equilibrium was not found to 1e-12: .* expected a well-posed D11"):
        solve_numpy(np.array([[1.0]]), np.array([[1.0]]), "relu", most=50)
    with pytest.raises(InputError, match=r"eps is 0\.0; expected a finite number, positive"):
        ImplicitREN(1, 1, 1, 1, eps=0.0)
