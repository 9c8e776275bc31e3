"""Networks that begin as a linear system: exactly so, within their guarantee, and as far as the frequency response goes."""

import numpy as np
import pytest
import torch

from observer.networks.r2dn import R2DN
from observer.networks.ren.contracting import ContractingREN
from observer.networks.ren.dissipative import DissipativeREN
from observer.networks.ren.from_linear import load_linear
from observer.networks.ren.implicit import ImplicitREN
from observer.networks.ren.lipschitz import LipschitzREN
from observer.networks.ren.passive import PassiveREN
from systems.base.errors import InputError


def system(seed, nx=3, nu=2, ny=2, radius=0.7):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(nx, nx))
    A *= radius / max(np.abs(np.linalg.eigvals(A)).max(initial=0.0), 1e-9)
    return A, rng.normal(size=(nx, nu)), rng.normal(size=(ny, nx)), rng.normal(size=(ny, nu))


def peak(A, B, C, D, rate):
    """The gain over the circle |z| = rate, by a dense grid: an independent check of the bounded real lemma at that rate."""
    points = rate * np.exp(1j * np.linspace(0, np.pi, 2000))
    return max(np.linalg.norm(C @ np.linalg.solve(z * np.eye(len(A)) - A, B) + D, 2) for z in points)


def is_linear(network, A, B, C, D, seed=0):
    explicit, rng = network.explicit().to_numpy(), np.random.default_rng(seed)
    x, u = rng.normal(size=(20, len(A))), rng.normal(size=(20, B.shape[1]))
    x_next, y = explicit.step(x, u)
    np.testing.assert_allclose(x_next, x @ A.T + u @ B.T, atol=1e-9)
    np.testing.assert_allclose(y, x @ C.T + u @ D.T, atol=1e-9)
    assert network.verify().holds


@pytest.mark.parametrize("nu, ny", [(2, 2), (3, 1), (1, 3)])
@pytest.mark.parametrize("seed", range(3))
def test_a_gain_just_above_the_peak_is_met_and_one_below_is_refused(seed, nu, ny):
    linear = system(seed, nu=nu, ny=ny)
    gain = peak(*linear, 0.95)
    network = load_linear(LipschitzREN(nu, 3, 4, ny, gamma=1.02 * gain, eps=1e-12), *linear, seed=seed)
    is_linear(network, *linear)
    general = DissipativeREN(nu, 3, 4, ny, supply=(-np.eye(ny), np.zeros((nu, ny)), (1.05 * gain) ** 2 * np.eye(nu)))
    is_linear(load_linear(general, *linear), *linear)
    with pytest.raises(InputError, match=r"does not satisfy the supply of the network at the contraction rate 0\.95"):
        load_linear(LipschitzREN(nu, 3, 4, ny, gamma=0.98 * gain), *linear)


@pytest.mark.parametrize("polar", [True, False])
def test_contracting_and_passive(polar):
    A, B, C, D = system(1)
    is_linear(load_linear(ContractingREN(2, 3, 4, 2, polar=polar, contraction_rate=0.75), A, B, C, D), A, B, C, D)
    D = D + (peak(A, B, C, D, 0.95) + 1) * np.eye(2)  # positive real with room to spare
    is_linear(load_linear(PassiveREN(2, 3, 4, polar=polar, input_strictness=0.1), A, B, C, D), A, B, C, D)


@pytest.mark.parametrize("polar", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_an_implicit_ren_and_an_r2dn_begin_as_the_system(seed, polar):
    linear = system(seed, nu=3, ny=2)
    implicit = ImplicitREN(3, 3, 4, 2, contraction_rate=0.75, polar=polar)
    deep = R2DN(3, 3, 4, 2, hidden=(5, 6), contraction_rate=0.75, polar=polar, activation="tanh")
    for network in (implicit, deep):
        is_linear(load_linear(network, *linear, seed=seed), *linear)
        x_next, _ = network(torch.ones(5, 3, dtype=torch.float64), torch.ones(5, 3, dtype=torch.float64))
        learns = network.X if network is implicit else network.B1
        (gradient,) = torch.autograd.grad(x_next.square().sum(), learns)
        assert gradient.abs().max() > 1e-6  # what the neurons say is heard from the first step on
        assert network.explicit().to_numpy().weights()["C1"].any()
    np.testing.assert_allclose(implicit.explicit().to_numpy().matrices.D11, 0, atol=1e-9)  # the neurons begin apart


@pytest.mark.parametrize("seed", range(3))
def test_an_r2dn_with_a_gain_just_above_the_peak_begins_as_the_system_and_one_below_is_refused(seed):
    A, B, C, _ = system(seed, nu=2, ny=3)
    D = np.zeros((3, 2))
    gain = peak(A, B, C, D, 0.95)
    network = R2DN(2, 3, 4, 3, hidden=(5,), gamma=1.02 * gain, eps=1e-12, seed=seed)
    is_linear(load_linear(network, A, B, C, D, seed=seed), A, B, C, D)
    assert np.abs(network.explicit().to_numpy().C1).max() > 1e-4
    with pytest.raises(InputError, match="does not satisfy the supply"):
        load_linear(R2DN(2, 3, 4, 3, hidden=(5,), gamma=0.98 * gain), A, B, C, D)
    with pytest.raises(InputError, match="R2DN with a gain has no feedthrough"):
        load_linear(network, A, B, C, D + 1)


def test_the_neurons_learn_at_once():
    """No saddle: the gradient reaches B1 through C1."""
    network = load_linear(LipschitzREN(2, 3, 4, 2, gamma=20.0), *system(2))
    x_next, _ = network(torch.ones(5, 3, dtype=torch.float64), torch.ones(5, 2, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(x_next.square().sum(), network.X)
    assert gradient[:, 3:7].abs().max() > 1e-6


def test_sizes_without_states_or_neurons():
    A, B, C, D = system(0, nx=0)
    is_linear(load_linear(LipschitzREN(2, 0, 3, 2, gamma=9.0), A, B, C, D), A, B, C, D)
    A, B, C, D = system(0)
    is_linear(load_linear(LipschitzREN(2, 3, 0, 2, gamma=30.0), A, B, C, D), A, B, C, D)


def test_identity_output_and_refusals():
    A, B, _, _ = system(3)
    network = ContractingREN(2, 3, 4, identity_output=True)
    is_linear(load_linear(network, A, B, np.eye(3), np.zeros((3, 2))), A, B, np.eye(3), np.zeros((3, 2)))
    with pytest.raises(InputError, match="identity output; expected C = I and D = 0"):
        load_linear(network, A, B, 2 * np.eye(3), np.zeros((3, 2)))
    with pytest.raises(InputError, match=r"spectral radius of A is 0\.7; expected less than .* 0\.5"):
        load_linear(ContractingREN(2, 3, 4, contraction_rate=0.5), *system(3)[:2], np.eye(3), np.zeros((3, 2)))
    with pytest.raises(InputError, match="no feedthrough; expected D = 0"):
        load_linear(LipschitzREN(2, 3, 4, 2, gamma=9.0, feedthrough="zero"), *system(3))
    network = ContractingREN(2, 3, 4, 2, feedthrough="zero")
    with pytest.raises(InputError, match="no feedthrough; expected D = 0"):
        load_linear(network, *system(3))
    A, B, C, _ = system(3)
    is_linear(load_linear(network, A, B, C, np.zeros((2, 2))), A, B, C, np.zeros((2, 2)))
    assert "D22" not in network.direct()
    again = ContractingREN.from_direct(network.direct(), contraction_rate=0.95, feedthrough="zero")
    np.testing.assert_array_equal(again.explicit().to_numpy().D22, np.zeros((2, 2)))
    with pytest.raises(InputError, match="feedthrough 'constructed' is not known; expected free or zero"):
        ContractingREN(2, 3, 4, feedthrough="constructed")
    with pytest.raises(InputError, match="cannot be a linear system"):
        load_linear(torch.nn.Linear(2, 2), *system(3))
