"""The explicit REN: its equations, its shapes, both kinds of array."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn import shapes

from observer.networks.activations import ACTIVATIONS, get_activation
from observer.networks.ren.explicit import ExplicitREN
from systems.base.errors import InputError


def random_explicit(nx=3, nv=4, nu=2, ny=2, seed=0, activation="tanh"):
    rng = np.random.default_rng(seed)
    weights = {name: rng.normal(size=shape) / 2 for name, shape in shapes(nu, nx, nv, ny).items()}
    weights["D11"] = np.tril(weights["D11"], -1)
    return ExplicitREN(**weights, activation=activation)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("nv", [0, 1, 4])
@pytest.mark.parametrize("batch", [(), (5,), (2, 3)])
def test_step_satisfies_the_equations(activation, nv, batch):
    ren = random_explicit(nv=nv, activation=activation)
    rng = np.random.default_rng(1)
    x, u = rng.normal(size=(*batch, 3)), rng.normal(size=(*batch, 2))
    x_next, y = ren.step(x, u)
    w = ren.equilibrium(x, u)
    for index in np.ndindex(*batch):
        xi, ui, wi = x[index], u[index], w[index]
        v = ren.C1 @ xi + ren.D11 @ wi + ren.D12 @ ui + ren.bv
        np.testing.assert_allclose(wi, get_activation(activation)(v), atol=1e-14)
        np.testing.assert_allclose(x_next[index], ren.A @ xi + ren.B1 @ wi + ren.B2 @ ui + ren.bx, atol=1e-14)
        np.testing.assert_allclose(y[index], ren.C2 @ xi + ren.D21 @ wi + ren.D22 @ ui + ren.by, atol=1e-14)
    np.testing.assert_array_equal(ren.next_state(x, u), x_next)


def test_numpy_and_torch_agree():
    ren = random_explicit(nv=6)
    x, u = np.ones((4, 3)), np.ones((4, 2))
    for mine, theirs in zip(ren.step(x, u), ren.to_torch().step(torch.tensor(x), torch.tensor(u)), strict=True):
        np.testing.assert_allclose(theirs, mine, atol=1e-14)


def test_conversions_keep_values_and_set_the_precision():
    ren = random_explicit()
    there = ren.to_torch(torch.float32)
    assert all(value.dtype == torch.float32 for value in there.weights().values())
    back = there.to_numpy()
    assert all(value.dtype == np.float64 for value in back.weights().values())
    np.testing.assert_allclose(back.A, ren.A, rtol=1e-7)
    assert back.activation == ren.activation and (ren.nx, ren.nv, ren.nu, ren.ny) == (3, 4, 2, 2)
    ren.to_numpy().A[0, 0] = 7.0
    assert ren.A[0, 0] != 7.0


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_identity_output(kind):
    ren = random_explicit()
    assert not ren.has_identity_output
    ren = ren if kind == "numpy" else ren.to_torch()
    observer = ExplicitREN.with_identity_output(ren.A, ren.B1, ren.B2, ren.C1, ren.D11, ren.D12, ren.bx, ren.bv, "relu")
    x = ren.bx * 3
    assert observer.has_identity_output and observer.activation == "relu" and (observer.step(x, ren.by)[1] == x).all()


def test_shape_errors_share_one_wording():
    ren = random_explicit()
    with pytest.raises(InputError, match=r"B1 has shape \(4, 3\); expected \(nx, nv\) = \(3, 4\): check the sizes"):
        replace(ren, B1=ren.B1.T)
    with pytest.raises(InputError, match=r"by has shape \(3,\); expected \(ny,\) = \(2,\)"):
        replace(ren, by=np.zeros(3))
    with pytest.raises(InputError, match=r"C2 has shape \(3,\); expected \(ny, nx\), two axes"):
        replace(ren, C2=np.zeros(3))
    with pytest.raises(InputError, match="expected all weights to be of one kind"):
        replace(ren, A=torch.eye(3))
    with pytest.raises(InputError, match=r"activation 'gelu'.*\[0, 1\]"):
        replace(ren, activation="gelu")
