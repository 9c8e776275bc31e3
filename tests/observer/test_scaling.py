"""Folding units into a network changes nothing but the units (MATH 2g)."""

import numpy as np
import pytest

from observer.certification.contraction import contraction_rate
from observer.networks.ren import ContractingREN
from observer.scaling import Scaling
from systems import InputError


def _pair(rng):
    ren = ContractingREN(nu=3, nx=2, nv=5, contraction_rate=0.8, identity_output=True, seed=3)
    scaling = Scaling(rng.normal(size=2), np.array([0.01, 30.0]), rng.normal(size=3), np.array([5.0, 0.2, 1e3]))
    return ren, scaling


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
