"""Folding units into a network changes nothing but the units (MATH 2g)."""

import numpy as np
import pytest

from observer.certification.contraction import contraction_rate
from observer.networks.ren.contracting import ContractingREN
from observer.scaling import Scaling
from systems import InputError


def _pair(rng):
    ren = ContractingREN(nu=3, nx=2, nv=5, contraction_rate=0.8, identity_output=True, seed=3)
    scaling = Scaling(rng.normal(size=2), np.array([0.01, 30.0]), rng.normal(size=3), np.array([5.0, 0.2, 1e3]))
    return ren, scaling


def test_a_full_matrix_of_scales_folds_like_a_diagonal_one(rng):
    """x = S xi + m with a full S: the same map in other coordinates, the metric carried over, and back again."""
    ren, diagonal = _pair(rng)
    t = np.array([[1.0, 2.0], [0.3, -0.5]])
    scaling, network = diagonal.in_coordinates(t), ren.explicit().to_numpy()
    np.testing.assert_allclose(scaling.matrix, np.diag(diagonal.state_scale) @ t)
    xi, v = rng.normal(size=(20, 2)), rng.normal(size=(20, 3))
    x, u = xi @ scaling.matrix.T + scaling.state_centre, v * scaling.input_scale + scaling.input_centre
    np.testing.assert_allclose(scaling.states(x), xi, atol=1e-12)
    folded, ahead = scaling.fold(network), network.next_state(xi, v)
    np.testing.assert_allclose(
        folded.next_state(x, u), ahead @ scaling.matrix.T + scaling.state_centre, rtol=1e-9, atol=1e-9
    )
    metric, d = np.array([[2.0, 0.3], [0.3, 1.0]]), rng.normal(size=(5, 2))
    physical = scaling.fold_metric(metric)
    moved = scaling.deviations(d)
    np.testing.assert_allclose(np.einsum("ki,ij,kj->k", moved, physical, moved), np.einsum("ki,ij,kj->k", d, metric, d))
    again = scaling.inverse().fold(folded)
    for name, value in network.weights().items():
        np.testing.assert_allclose(getattr(again, name), value, rtol=1e-7, atol=1e-9)
    assert diagonal.in_coordinates(None) is diagonal
    with pytest.raises(InputError, match="invertible"):
        diagonal.in_coordinates(np.ones((2, 2)))


def test_the_folded_network_is_the_same_map(rng):
    ren, scaling = _pair(rng)
    network = ren.explicit().to_numpy()
    xi, v = rng.normal(size=(20, 2)), rng.normal(size=(20, 3))
    x, u = xi * scaling.state_scale + scaling.state_centre, v * scaling.input_scale + scaling.input_centre
    expected = network.next_state(xi, v) * scaling.state_scale + scaling.state_centre
    np.testing.assert_allclose(scaling.fold(network).next_state(x, u), expected, rtol=1e-11, atol=1e-11)


def test_the_rate_survives_and_norms_are_equal(rng):
    ren, scaling = _pair(rng)
    network, metric, multipliers = (
        ren.explicit().to_numpy(),
        ren.metric().detach().numpy(),
        ren.multipliers().detach().numpy(),
    )
    physical, folded = scaling.fold_metric(metric), scaling.fold(network)
    before = contraction_rate(network, metric, multipliers)
    assert abs(contraction_rate(folded, physical, multipliers) - before) < 1e-9
    d = rng.normal(size=2)
    assert np.isclose(d @ metric @ d, (scaling.state_scale * d) @ physical @ (scaling.state_scale * d))


def test_the_inverse_undoes(rng):
    ren, scaling = _pair(rng)
    network = ren.explicit().to_numpy()
    again = scaling.inverse().fold(scaling.fold(network))
    for name, value in network.weights().items():
        np.testing.assert_allclose(getattr(again, name), value, rtol=1e-9, atol=1e-9)


def test_a_zero_scale_is_refused():
    with pytest.raises(InputError, match="state_scale"):
        Scaling(np.zeros(1), np.zeros(1), np.zeros(1), np.ones(1))
