"""The equilibrium layer: every kernel solves the equation, and all agree in values and gradients."""

import concurrent.futures

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.networks.activations import ACTIVATIONS, get_activation
from observer.networks.kernels.equilibrium import KERNELS as ALL_KERNELS
from observer.networks.kernels.equilibrium import solve_equilibrium
from systems.base.errors import InputError

NUMPY_KERNELS = ("reference", "cpu")
KERNELS = tuple(kernel for kernel in ALL_KERNELS if kernel != "triton")  # see test_triton
COMPILED = ("cpu", "cuda")  # "cuda" is made of torch operations that run anywhere


def problem(nv, batch, seed=0, dtype=np.float64):
    """D11 with entries above the diagonal too: no kernel may read them."""
    rng = np.random.default_rng(seed)
    D11 = rng.normal(size=(nv, nv)) / max(1, nv) ** 0.5
    return D11.astype(dtype), rng.normal(size=(*batch, nv)).astype(dtype)


def solutions(D11, b, activation, kernel):
    """w by each kind of array that the kernel takes, as NumPy arrays."""
    if kernel in ("auto", *NUMPY_KERNELS):
        w = solve_equilibrium(D11, b, activation, kernel)
        assert isinstance(w, np.ndarray)
        yield w
    w = solve_equilibrium(torch.tensor(D11), torch.tensor(b), activation, kernel)
    assert isinstance(w, torch.Tensor)
    yield w.numpy()


def with_gradients(D11, b, activation, kernel, device="cpu"):
    """w, dL/dD11 and dL/db of a weighted sum L."""
    D11, b = (torch.tensor(value, requires_grad=True, device=device) for value in (D11, b))
    w = solve_equilibrium(D11, b, activation, kernel)
    weights = torch.linspace(-1, 2, w.numel(), dtype=w.dtype, device=device).reshape(w.shape)
    gradients = torch.autograd.grad((w * weights).sum(), (D11, b), allow_unused=True, materialize_grads=True)
    return [value.detach().cpu().numpy() for value in (w, *gradients)]


@pytest.mark.parametrize("kernel", ["auto", *KERNELS])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("batch", [(), (1,), (37,), (2, 3), (0,), (300,)])
def test_solves_the_equation(activation, kernel, batch):
    D11, b = problem(7, batch)
    for w in solutions(D11, b, activation, kernel):
        assert w.shape == b.shape
        np.testing.assert_allclose(w, get_activation(activation)(w @ np.tril(D11, -1).T + b), atol=1e-14)


@pytest.mark.parametrize("kernel", ["auto", *KERNELS])
def test_no_neurons(kernel):
    assert next(w.shape for w in solutions(np.zeros((0, 0)), np.zeros((4, 0)), "tanh", kernel)) == (4, 0)


@pytest.mark.parametrize("kernel", COMPILED)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("nv", [1, 7, 64, 200])
def test_sizes_agree_with_the_reference(nv, activation, kernel):
    for batch in (0, 1, 3, 17, 500) if nv < 200 else (0, 1, 17, 100):  # the reference takes seconds beyond
        D11, b = problem(nv, (batch,), seed=batch)
        expected = with_gradients(D11, b, activation, "reference")
        for got, value in zip(with_gradients(D11, b, activation, kernel), expected, strict=True):
            np.testing.assert_allclose(got, value, rtol=1e-12, atol=1e-12 * max(1.0, np.abs(value).max(initial=0)))


@pytest.mark.parametrize("kernel", COMPILED)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_thousand_neurons(activation, kernel):
    """Beyond one block; the reference in NumPy, and the equation of the gradient (the recorded loop takes seconds)."""
    D11, b = problem(1000, (70,))
    w, gD, gb = with_gradients(D11, b, activation, kernel)
    np.testing.assert_allclose(w, solve_equilibrium(D11, b, activation, "reference"), rtol=1e-12, atol=1e-12)
    weights = np.linspace(-1, 2, w.size).reshape(w.shape)
    slope = get_activation(activation).slope(w)
    np.testing.assert_allclose(gb, slope * (weights + gb @ np.tril(D11, -1)), rtol=0, atol=1e-12 * np.abs(gb).max())
    np.testing.assert_allclose(gD, np.tril(gb.T @ w, -1), rtol=0, atol=1e-12 * np.abs(gD).max())
    for other in solutions(D11, b, activation, kernel):
        np.testing.assert_allclose(
            other, w, rtol=1e-12, atol=1e-12
        )  # the far blocks go to another BLAS: not bit for bit


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("nv", [1, 5])
def test_gradcheck(nv, activation, kernel):
    D11, b = (torch.tensor(value, requires_grad=True) for value in problem(nv, (2, 3)))
    assert torch.autograd.gradcheck(lambda D11, b: solve_equilibrium(D11, b, activation, kernel), (D11, b))


def test_the_reference_is_differentiable_twice():
    D11, b = (torch.tensor(value, requires_grad=True) for value in problem(3, (2,)))
    assert torch.autograd.gradgradcheck(lambda D11, b: solve_equilibrium(D11, b, "tanh", "reference"), (D11, b))


@settings(deadline=None, max_examples=40)
@given(
    nv=st.integers(1, 40),
    batch=st.integers(1, 80),
    activation=st.sampled_from(ACTIVATIONS),
    seed=st.integers(0, 2**16),
)
def test_kernels_agree(nv, batch, activation, seed):
    D11, b = problem(nv, (batch,), seed)
    expected = with_gradients(D11, b, activation, "reference")
    for kernel in COMPILED:
        for got, value in zip(with_gradients(D11, b, activation, kernel), expected, strict=True):
            np.testing.assert_allclose(got, value, rtol=1e-11, atol=1e-12)


def test_large_batches_on_several_threads_agree():
    D11, b = problem(60, (3000,))
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # the kernel uses threads of its own only when torch does not
    try:
        results = [with_gradients(D11, b, "tanh", kernel) for kernel in KERNELS]
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        for got, value in zip(other, results[0], strict=True):
            np.testing.assert_allclose(got, value, rtol=0, atol=1e-12 * np.abs(value).max())


def test_the_result_does_not_depend_on_the_rest_of_the_batch():
    D11, b = problem(60, (3000,))
    w = solve_equilibrium(D11, b, "tanh", "cpu")
    np.testing.assert_array_equal(solve_equilibrium(D11, b[-1:], "tanh", "cpu"), w[-1:])


def test_may_be_called_from_several_threads_at_once():
    D11, b = problem(60, (3000,))
    expected = solve_equilibrium(D11, b, "tanh", "reference")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for w in pool.map(lambda _: solve_equilibrium(D11, b, "tanh", "cpu"), range(8)):
            np.testing.assert_allclose(w, expected, atol=1e-13)


def test_torch_keeps_the_number_of_threads_that_was_asked_for():
    """Numba's own pool would set it back to all cores: they share an OpenMP library."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with_gradients(*problem(200, (2000,), dtype=np.float32), "tanh", "cpu")
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("kernel", COMPILED)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_layout_in_memory(dtype, kernel):
    D11, b = problem(40, (50,), dtype=dtype)
    expected = solve_equilibrium(D11, b, "tanh", "reference")
    wide = np.repeat(np.repeat(D11, 2, axis=0), 3, axis=1)
    for matrix in (np.asfortranarray(D11), wide[::2, ::3]):
        for samples in (np.asfortranarray(b), np.repeat(b, 2, axis=0)[::2], b[::-1][::-1]):
            if kernel == "cpu":
                w = solve_equilibrium(matrix, samples, "tanh", kernel)
                np.testing.assert_allclose(w, expected, atol=20 * np.finfo(dtype).eps)
            tensors = torch.tensor(wide)[::2, ::3], torch.tensor(np.repeat(b, 2, axis=0))[::2]
            w = solve_equilibrium(*tensors, "tanh", kernel)
            np.testing.assert_allclose(w, expected, atol=20 * np.finfo(dtype).eps)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_float32_stays_float32_and_close(activation, kernel):
    D11, b = problem(20, (9,))
    expected = with_gradients(D11, b, activation, "reference")
    D11, b = D11.astype(np.float32), b.astype(np.float32)
    for w in solutions(D11, b, activation, kernel):
        assert w.dtype == np.float32
        np.testing.assert_allclose(w, expected[0], atol=1e-5)
    for got, value in zip(with_gradients(D11, b, activation, kernel), expected, strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_the_compiled_tanh_is_as_good_as_the_library_s(activation, dtype):
    v = np.concatenate([np.linspace(-25, 25, 20001), np.geomspace(1e-30, 1, 999), [0.0, -0.0, np.inf, -np.inf, 1e30]])
    v = v.astype(dtype)
    w = solve_equilibrium(np.zeros((1, 1), dtype), v[:, None], activation, "cpu")[:, 0]
    exact = get_activation(activation)(v.astype(np.float64))
    tolerance = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(w, exact, rtol=tolerance, atol=tolerance if activation == "sigmoid" else 0)
    assert np.abs(w).max() <= 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_denormals_count_as_zero_inside_and_nowhere_else(activation, dtype):
    tiny = np.finfo(dtype).tiny
    D11, b = problem(40, (70,), dtype=dtype)
    D11, b = D11, b * tiny / 8  # states, products and gradients below the smallest normal number
    D11, b = torch.tensor(D11, requires_grad=True), torch.tensor(b, requires_grad=True)
    w = solve_equilibrium(D11, b, activation, "cpu")
    w.backward(torch.full_like(w, float(tiny) / 8))
    np.testing.assert_allclose(
        w.detach(), solve_equilibrium(D11.detach(), b.detach(), activation, "reference"), atol=1e-6
    )
    for value in (w.detach(), D11.grad, b.grad):
        assert value is not None
        assert not ((value != 0) & (value.abs() < tiny)).any()
    assert np.full(3, tiny, dtype)[0] / dtype(2) > 0
    assert (torch.full((3,), float(tiny), dtype=w.dtype) / 2 > 0).all()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_is_never_hidden(activation, kernel):
    D11, b = problem(4, (2,))
    b[0, 1] = np.nan
    for w in solutions(D11, b, activation, kernel):
        assert np.isnan(w[0, 1:]).all() and np.isfinite(w[1]).all() and np.isfinite(w[0, 0])


@pytest.mark.parametrize("kernel", KERNELS)
def test_inputs_are_left_alone(kernel):
    D11, b = problem(6, (300,))
    before = D11.copy(), b.copy()
    list(solutions(D11, b, "relu", kernel))
    tensors = torch.from_numpy(D11), torch.from_numpy(b)
    solve_equilibrium(*tensors, "relu", kernel)
    assert (D11 == before[0]).all() and (b == before[1]).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device at hand")
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_on_a_gpu(activation):
    D11, b = problem(200, (500,))
    expected = with_gradients(D11, b, activation, "reference")
    for got, value in zip(with_gradients(D11, b, activation, "auto", "cuda"), expected, strict=True):
        np.testing.assert_allclose(got, value, rtol=0, atol=1e-11 * np.abs(value).max())


def test_refusals_say_what_to_do():
    D11, b = problem(4, (2,))
    with pytest.raises(InputError, match=r"kernel 'gpu' is not known; expected auto, reference, cpu, triton or cuda"):
        solve_equilibrium(D11, b, "tanh", "gpu")
    with pytest.raises(InputError, match=r"D11 has shape \(4, 4\); expected \(nv, nv\) = \(3, 3\)"):
        solve_equilibrium(D11, b[:, :3], "tanh")
    with pytest.raises(InputError, match="got float64 and float32 arrays; expected both float32 or both float64"):
        solve_equilibrium(D11, b.astype(np.float32), "tanh", "cpu")
    with pytest.raises(InputError, match="kernel 'cuda' takes torch tensors; got NumPy arrays: use 'cpu'"):
        solve_equilibrium(D11, b, "tanh", "cuda")
