"""The fused map direct -> explicit: the same numbers and gradients as the equations written in torch."""

import numpy as np
import pytest
import torch

from observer.networks.ren.contracting import ContractingREN
from observer.networks.ren.fused_map import DirectToExplicit
from systems.base.errors import InputError

NAMES = ("A", "B1", "B2", "C1", "D11", "D12")


def network(nv, polar, dtype="float64"):
    ren = ContractingREN(2, 3, nv, contraction_rate=0.8, polar=polar, norm_eps=1e-3, eps=1e-2, dtype=dtype)
    generator = torch.Generator().manual_seed(nv)
    with torch.no_grad():
        for parameter in ren.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return ren


def values_and_gradients(ren, kernel):
    explicit = ren.explicit(kernel)
    generator = torch.Generator().manual_seed(1)
    outputs = [getattr(explicit, name) for name in NAMES]
    loss = sum((value * torch.randn(value.shape, generator=generator, dtype=value.dtype)).sum() for value in outputs)
    parameters = dict(ren.named_parameters())
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, materialize_grads=True)
    found = dict(zip(NAMES, outputs, strict=True)) | dict(zip((f"d{k}" for k in parameters), gradients, strict=True))
    return {name: value.detach().numpy() for name, value in found.items()}


@pytest.mark.parametrize("polar", [True, False])
@pytest.mark.parametrize("nv", [0, 1, 6, 140])
def test_agrees_with_the_equations(nv, polar):
    expected = values_and_gradients(network(nv, polar), "reference")
    for name, value in values_and_gradients(network(nv, polar), "fused").items():
        bound = 1e-12 * max(1.0, np.abs(expected[name]).max(initial=0))
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=bound, err_msg=name)


@pytest.mark.parametrize("polar", [True, False])
def test_gradcheck(polar):
    ren = network(4, polar)
    inputs = (ren.X, ren.Y1, *([ren.p] if polar else []), ren.B2, ren.D12)

    def function(X, Y1, *rest):
        p, B2, D12 = rest if polar else (None, *rest)
        return DirectToExplicit.apply(X, Y1, p, B2, D12, 0.8, 1e-2, 1e-3)

    assert torch.autograd.gradcheck(function, inputs)


def test_float32_and_the_choice_of_kernel():
    ren = network(20, True, "float32")
    expected = values_and_gradients(ren, "reference")
    for name, value in values_and_gradients(ren, "auto").items():
        assert value.dtype == np.float32
        bound = 1e-3 * max(1.0, np.abs(expected[name]).max())
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=bound, err_msg=name)
    with pytest.raises(InputError, match="kernel 'fast' is not known; expected auto, fused or reference"):
        network(2, True).explicit("fast")


def test_without_gradients_nothing_is_recorded():
    ren = network(5, True)
    with torch.no_grad():
        assert not ren.explicit().A.requires_grad
    assert ren.explicit().A.requires_grad and ren.explicit("reference").A.requires_grad
