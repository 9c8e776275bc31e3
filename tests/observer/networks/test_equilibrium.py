"""The equilibrium layer: every kernel solves the equation, and all agree in values and gradients."""

import concurrent.futures

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.networks.activations import ACTIVATIONS, get_activation
from observer.networks.equilibrium import KERNELS, solve_equilibrium
from systems.errors import InputError


def problem(nv, batch, seed=0, dtype=np.float64):
    """D11 with entries above the diagonal too: no kernel may read them."""
    rng = np.random.default_rng(seed)
    D11 = rng.normal(size=(nv, nv)) / max(1, nv) ** 0.5
    return D11.astype(dtype), rng.normal(size=(*batch, nv)).astype(dtype)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("kernel", ["auto", *KERNELS])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("batch", [(), (1,), (37,), (2, 3), (0,), (300,)])
def test_solves_the_equation(activation, kernel, kind, batch):
    D11, b = problem(7, batch)
    given_arrays = (D11, b) if kind == "numpy" else (torch.tensor(D11), torch.tensor(b))
    w = solve_equilibrium(*given_arrays, activation, kernel)
    assert isinstance(w, np.ndarray if kind == "numpy" else torch.Tensor) and w.shape == b.shape
    w = np.asarray(w)
    np.testing.assert_allclose(w, get_activation(activation)(w @ np.tril(D11, -1).T + b), atol=1e-14)


@pytest.mark.parametrize("kernel", ["auto", *KERNELS])
def test_no_neurons(kernel):
    assert solve_equilibrium(np.zeros((0, 0)), np.zeros((4, 0)), "tanh", kernel).shape == (4, 0)
    assert solve_equilibrium(torch.zeros(0, 0), torch.zeros(4, 0), "tanh", kernel).shape == (4, 0)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradcheck(activation, kernel):
    D11, b = (torch.tensor(value, requires_grad=True) for value in problem(5, (2, 3)))
    assert torch.autograd.gradcheck(lambda D11, b: solve_equilibrium(D11, b, activation, kernel), (D11, b))


def test_the_reference_is_differentiable_twice():
    D11, b = (torch.tensor(value, requires_grad=True) for value in problem(3, (2,)))
    assert torch.autograd.gradgradcheck(lambda D11, b: solve_equilibrium(D11, b, "tanh", "reference"), (D11, b))


@settings(deadline=None, max_examples=40)
@given(
    nv=st.integers(1, 24),
    batch=st.integers(1, 40),
    activation=st.sampled_from(ACTIVATIONS),
    seed=st.integers(0, 2**16),
)
def test_kernels_agree(nv, batch, activation, seed):
    D11, b = problem(nv, (batch,), seed)
    results = []
    for kernel in KERNELS:
        D11t, bt = torch.tensor(D11, requires_grad=True), torch.tensor(b, requires_grad=True)
        w = solve_equilibrium(D11t, bt, activation, kernel)
        weighted = w * torch.linspace(-1, 2, w.numel(), dtype=w.dtype).reshape(w.shape)
        gradients = torch.autograd.grad(weighted.sum(), (D11t, bt), materialize_grads=True)
        results.append((w.detach(), *gradients, solve_equilibrium(D11, b, activation, kernel)))
    for reference, other in zip(*results, strict=True):
        np.testing.assert_allclose(other, reference, rtol=1e-12, atol=1e-12)


def test_large_batches_on_several_threads_agree():
    D11, b = problem(20, (1500,))
    results = []
    for kernel in KERNELS:
        D11t, bt = torch.tensor(D11, requires_grad=True), torch.tensor(b, requires_grad=True)
        w = solve_equilibrium(D11t, bt, "tanh", kernel)
        w.square().sum().backward()
        results.append((w.detach(), D11t.grad, bt.grad))
    for reference, other in zip(*results, strict=True):
        np.testing.assert_allclose(other, reference, rtol=1e-11, atol=1e-12)


def test_may_be_called_from_several_threads_at_once():
    D11, b = problem(30, (3000,))
    expected = solve_equilibrium(D11, b, "tanh", "reference")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for w in pool.map(lambda _: solve_equilibrium(D11, b, "tanh", "cpu"), range(8)):
            np.testing.assert_allclose(w, expected, atol=1e-13)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_float32_stays_float32_and_close(activation, kernel):
    D11, b = problem(20, (9,))
    expected = solve_equilibrium(D11, b, activation, "reference")
    D11, b = D11.astype(np.float32), b.astype(np.float32)
    for w in (
        solve_equilibrium(D11, b, activation, kernel),
        solve_equilibrium(torch.tensor(D11), torch.tensor(b), activation, kernel).numpy(),
    ):
        assert w.dtype == np.float32
        np.testing.assert_allclose(w, expected, atol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_is_never_hidden(activation, kernel):
    D11, b = problem(4, (2,))
    b[0, 1] = np.nan
    for w in (
        solve_equilibrium(D11, b, activation, kernel),
        solve_equilibrium(torch.tensor(D11), torch.tensor(b), activation, kernel).numpy(),
    ):
        assert np.isnan(w[0, 1:]).all() and np.isfinite(w[1]).all() and np.isfinite(w[0, 0])


def test_inputs_are_left_alone():
    for kernel in KERNELS:
        D11, b = problem(6, (300,))
        before = D11.copy(), b.copy()
        solve_equilibrium(D11, b, "relu", kernel)
        assert (D11 == before[0]).all() and (b == before[1]).all()


def test_refusals_say_what_to_do():
    D11, b = problem(4, (2,))
    with pytest.raises(InputError, match=r"kernel 'gpu' is not known; expected auto, reference or cpu"):
        solve_equilibrium(D11, b, "tanh", "gpu")
    with pytest.raises(InputError, match=r"D11 has shape \(4, 4\); expected \(nv, nv\) = \(3, 3\)"):
        solve_equilibrium(D11, b[:, :3], "tanh")
    with pytest.raises(InputError, match="got float64 and float32 arrays; expected both float32 or both float64"):
        solve_equilibrium(D11, b.astype(np.float32), "tanh", "cpu")
