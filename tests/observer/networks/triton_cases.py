"""Cases for Triton's interpreter, which has to be chosen before Triton is imported: ``test_triton`` runs them in a process."""

import numpy as np
import pytest
import torch

from observer.networks import ContractingREN, solve_equilibrium
from observer.networks.activations import ACTIVATIONS, get_activation
from observer.networks.kernels.equilibrium import triton_autograd
from observer.networks.ren import one_step_training

EPS = {torch.float32: 1.2e-7, torch.float64: 2.3e-16}


def problem(nv, batch, dtype, seed=0):
    """D11 (with entries above its diagonal, that no kernel may read) and b, g, neurons-major in memory."""
    rng = np.random.default_rng([seed, nv, batch])
    D11 = torch.tensor(rng.normal(size=(nv, nv)) / max(1, nv) ** 0.5, dtype=dtype)
    return D11, *(torch.tensor(rng.normal(size=(nv, batch)), dtype=dtype).T for _ in range(2))


def with_gradients(D11, b, g, activation, kernel):
    D11, b = (value.detach().requires_grad_() for value in (D11, b))
    w = solve_equilibrium(D11, b, activation, kernel)
    return [w.detach(), *torch.autograd.grad(w, (D11, b), g)]


def close(found, expected, factor=100):
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        bound = factor * EPS[one.dtype] * max(1.0, float(other.detach().abs().max())) if other.numel() else 0
        torch.testing.assert_close(one, other, atol=bound, rtol=0)


@pytest.mark.parametrize("dtype", EPS, ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("nv", "batch"), [(1, 1), (9, 17)])
def test_values_and_gradients_are_those_of_the_cpu(nv, batch, activation, dtype):
    given = problem(nv, batch, dtype)
    close(with_gradients(*given, activation, "triton"), with_gradients(*given, activation, "cpu"))


@pytest.mark.parametrize(("ROWS", "COLS", "DEPTH"), [(16, 32, 16)])
def test_any_size_of_the_blocks(monkeypatch, ROWS, COLS, DEPTH):
    for name in ("FEW", "MANY"):
        monkeypatch.setattr(
            triton_autograd, name, getattr(triton_autograd, name) | dict(ROWS=ROWS, COLS=COLS, DEPTH=DEPTH)
        )
    given = problem(19, 17, torch.float64)
    close(with_gradients(*given, "tanh", "triton"), with_gradients(*given, "tanh", "cpu"))


def test_blocks_for_few_samples_and_for_many(monkeypatch):
    """A device of one processor, as main memory counts: up to two programs are few."""
    given = problem(9, 33, torch.float64)
    for few in (triton_autograd.FEW, {}):  # 32 samples are few, 33 are many and need no FEW but its COLS
        monkeypatch.setattr(triton_autograd, "FEW", few or {"COLS": 16})
        part = [value[:32] for value in given[1:]] if few else given[1:]
        close(with_gradients(given[0], *part, "tanh", "triton"), with_gradients(given[0], *part, "tanh", "cpu"))


def test_any_layout_in_memory():
    D11, b, g = problem(11, 6, torch.float64)
    expected = with_gradients(D11, b, g, "tanh", "cpu")
    wide = torch.empty(22, 33, dtype=D11.dtype)[::2, ::3].copy_(D11)
    for matrix in (D11.T.contiguous().T, wide):
        for layout in (
            lambda z: z.contiguous(),
            lambda z: torch.stack((z, z), 1)[:, 0],
            lambda z: z.repeat(1, 2)[:, :11],
        ):
            close(with_gradients(matrix, layout(b), layout(g), "tanh", "triton"), expected)


def test_leading_axes_and_empty_ones():
    D11, b, _ = problem(5, 6, torch.float64)
    w = solve_equilibrium(D11, b.reshape(2, 3, 5), "relu", "triton")
    close([w], [solve_equilibrium(D11, b, "relu", "reference").reshape(2, 3, 5)])
    assert solve_equilibrium(D11, b[:0], "relu", "triton").shape == (0, 5)
    assert solve_equilibrium(D11[:0, :0], b[:, :0], "relu", "triton").shape == (6, 0)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy tells of inf * 0 in rows that are not stored
@pytest.mark.parametrize("dtype", EPS, ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_as_good_as_those_of_the_library(activation, dtype):
    v = np.concatenate([np.linspace(-25, 25, 97), np.geomspace(1e-30, 1, 26), [0.0, -0.0, np.inf, -np.inf, 1e30]])
    v = torch.tensor(v, dtype=dtype)[:, None]
    w = solve_equilibrium(v.new_zeros(1, 1), v, activation, "triton")
    exact = get_activation(activation)(v.double())
    bound = 4 * EPS[dtype]
    torch.testing.assert_close(w.double(), exact, rtol=bound, atol=bound if activation == "sigmoid" else 0)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_stays_nan_and_spreads_to_later_neurons_only(activation):
    D11, b, _ = problem(9, 2, torch.float64)
    b = b.clone()
    b[1, 4] = np.nan
    w = solve_equilibrium(D11, b, activation, "triton")
    assert torch.isfinite(w[0]).all() and torch.isfinite(w[1, :4]).all() and torch.isnan(w[1, 4:]).all()


def test_gradcheck():
    D11, b, _ = (value.clone().requires_grad_() for value in problem(2, 1, torch.float64))
    assert torch.autograd.gradcheck(lambda D11, b: solve_equilibrium(D11, b, "tanh", "triton"), (D11, b))


def test_the_steps_of_a_gpu_are_those_of_the_cpu():
    """One-step training and many steps at once, with the kernel in the place of the compiled one."""
    nets = [ContractingREN(2, 3, 9, contraction_rate=0.9, identity_output=True, seed=1) for _ in range(2)]
    rng = np.random.default_rng(0)
    x, x_next, u = rng.normal(size=(7, 3)), rng.normal(size=(7, 3)), rng.normal(size=(7, 2))
    cpu = one_step_training.OneStepTraining(nets[0])
    gpu = one_step_training.OneStepTraining(nets[1])
    gpu._steps = one_step_training._OnDevice(nets[1], dict.fromkeys(dict(nets[1].named_parameters()), 1e-3), None)
    for _ in range(3):
        assert float(gpu.update(x, u, x_next)) == pytest.approx(cpu.update(x, u, x_next), rel=1e-12)
    close(list(nets[1].parameters()), list(nets[0].parameters()), 1e4)
