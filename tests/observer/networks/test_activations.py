"""Activations: slopes in [0, 1], the same for NumPy and torch, and a reason for every refusal."""

import numpy as np
import pytest
import torch

from observer.networks.activations import ACTIVATIONS, get_activation
from systems.base.errors import InputError

V = np.concatenate([np.linspace(-6, 6, 41) + 0.01, [-800.0, 800.0]])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_numpy_and_torch_agree_with_torch(name):
    activation = get_activation(name)
    v = torch.tensor(V, requires_grad=True)
    w = getattr(torch, name)(v)
    (slope,) = torch.autograd.grad(w.sum(), v)
    for given in (V, torch.tensor(V)):
        np.testing.assert_allclose(activation(given), w.detach(), rtol=0, atol=1e-15)
        np.testing.assert_allclose(activation.derivative(given), slope, rtol=0, atol=1e-15)
        np.testing.assert_allclose(activation.slope(activation(given)), slope, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slope_is_in_the_unit_interval_and_the_derivative(name):
    activation = get_activation(name)
    slope, h = activation.derivative(V), 1e-6
    assert slope.min() >= 0 and slope.max() <= 1
    np.testing.assert_allclose(slope, (activation(V + h) - activation(V - h)) / (2 * h), atol=1e-8)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_kind_and_precision_are_kept(name):
    activation = get_activation(name)
    for function in (activation, activation.derivative):
        assert function(V.astype(np.float32)).dtype == np.float32
        assert function(torch.tensor(V, dtype=torch.float32)).dtype == torch.float32


@pytest.mark.parametrize("name", ["silu", "gelu"])
def test_refused_with_the_reason(name):
    with pytest.raises(InputError, match=rf"activation '{name}': its slope ranges over .* only for slopes in \[0, 1\]"):
        get_activation(name)


def test_a_misspelt_name_gets_the_nearest():
    with pytest.raises(InputError, match=r"'tahn' is not known \(did you mean 'tanh'\?\).*use relu, tanh or sigmoid"):
        get_activation("tahn")
