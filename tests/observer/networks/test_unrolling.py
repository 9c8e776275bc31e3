"""Many steps at once: the same numbers and gradients as the loop over single steps."""

import numpy as np
import pytest
import torch

from observer.networks.feedforward.lbdn import LBDN
from observer.networks.r2dn import R2DN
from observer.networks.ren.contracting import ContractingREN
from observer.networks.ren.dissipative import DissipativeREN
from observer.networks.ren.implicit import ImplicitREN
from observer.networks.ren.lipschitz import LipschitzREN
from observer.networks.ren.rollout import rollout
from observer.networks.unrolling import unroll
from systems.base.errors import InputError

RECURRENT = (ContractingREN, LipschitzREN, DissipativeREN, ImplicitREN, R2DN)


@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
@pytest.mark.parametrize("kind", RECURRENT, ids=lambda kind: kind.__name__)
def test_agrees_with_single_steps(kind, batch):
    network, generator = kind.example(0), torch.Generator().manual_seed(0)
    x0, u = (torch.randn(*batch, *size, generator=generator, dtype=torch.float64) for size in ((3,), (6, 2)))
    explicit = network.explicit()
    x, y = unroll(explicit, x0, u)
    state, states, outputs = x0, [x0], []
    for k in range(6):
        state, output = explicit.step(state, u[..., k, :])
        states.append(state)
        outputs.append(output)
    torch.testing.assert_close(x, torch.stack(states, -2), atol=1e-10, rtol=0)
    torch.testing.assert_close(y, torch.stack(outputs, -2), atol=1e-10, rtol=0)
    parameters = list(network.parameters())
    found, expected = (
        torch.autograd.grad(value.square().sum(), parameters, retain_graph=True)
        for value in (y, torch.stack(outputs, -2))
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-8, rtol=1e-8)


def test_agrees_with_the_compiled_rollout_and_allows_no_steps():
    explicit = LipschitzREN.example(1).explicit()
    rng = np.random.default_rng(0)
    x0, u = rng.normal(size=(5, 3)), rng.normal(size=(5, 7, 2))
    for one, other in zip(unroll(explicit, torch.tensor(x0), torch.tensor(u)), rollout(explicit, x0, u), strict=True):
        np.testing.assert_allclose(one.detach(), other, atol=1e-12)
    x, y = unroll(explicit, torch.tensor(x0), torch.tensor(u[:, :0]))
    assert x.shape == (5, 1, 3) and y.shape == (5, 0, 3)


def test_refusals():
    explicit, u = ContractingREN.example().explicit(), torch.zeros(4, 5, 2, dtype=torch.float64)
    with pytest.raises(InputError, match=r"x0 has shape \(3,\); expected"):
        unroll(explicit, torch.zeros(3), u)
    with pytest.raises(InputError, match="one row per step"):
        unroll(explicit, torch.zeros(3), torch.zeros(2))
    with pytest.raises(InputError, match=r"got a ExplicitLBDN; expected the explicit\(\) of a REN"):
        unroll(LBDN.example().explicit(), torch.zeros(3), u)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("make", [ContractingREN, R2DN], ids=lambda kind: kind.__name__)
def test_the_fused_gradients_are_those_of_differences(make, activation):
    options = {"hidden": (4, 3)} if make is R2DN else {}
    network = make(2, 3, 5, 2, contraction_rate=0.9, activation=activation, seed=1, **options)
    weights = network.explicit().weights()
    names, generator = list(weights), torch.Generator().manual_seed(1)
    x0, u = (torch.randn(*size, generator=generator, dtype=torch.float64) for size in ((2, 3), (2, 4, 2)))

    def run(x0, u, *values):
        explicit = network.explicit().with_weights(**dict(zip(names, values, strict=True)))
        x, y = unroll(explicit, x0, u, "fused")
        return x, y

    given = [value.detach().clone().requires_grad_() for value in (x0, u, *weights.values())]
    assert torch.autograd.gradcheck(run, given, atol=1e-6)


@pytest.mark.parametrize("nv, dtype, accuracy", [(3, "float32", 2e-3), (3, "float64", 1e-9), (514, "float64", 1e-9)])
def test_both_kernels_agree_with_plain_rows_for_one_and_several_blocks(nv, dtype, accuracy):
    network = ContractingREN(2, 6, nv, 3, contraction_rate=0.9, dtype=dtype, seed=nv)
    explicit, generator = network.explicit(), torch.Generator().manual_seed(0)
    u = torch.randn(8, 2, 2, generator=generator).to(network.X.dtype)
    state, outputs = u.new_ones(8, 6), []
    for k in range(2):
        state, output = explicit.step(state, u[:, k], "reference")
        outputs.append(output)
    found = {"rows": torch.stack(outputs, 1)}
    found |= {kernel: unroll(explicit, u.new_ones(8, 6), u, kernel)[1] for kernel in ("fused", "loop")}
    weights = [explicit.A, explicit.B1, explicit.C1, explicit.D11, explicit.D12, explicit.bv, explicit.D21]
    of = {name: [y, *torch.autograd.grad(y.square().mean(), weights, retain_graph=True)] for name, y in found.items()}
    for kernel in ("fused", "loop"):
        for one, other in zip(of[kernel], of["rows"], strict=True):
            size = max(1e-3, float(other.detach().abs().max()))
            torch.testing.assert_close(one, other, atol=accuracy * size, rtol=0)


def test_what_the_fused_kernel_cannot_take():
    network, u = ContractingREN.example(), torch.zeros(4, 5, 2, dtype=torch.float64)
    x0 = torch.zeros(4, 3, dtype=torch.float64)
    with pytest.raises(InputError, match="unroll kernel 'quick' is not known"):
        unroll(network.explicit(), x0, u, "quick")
    with pytest.raises(InputError, match="unroll kernel 'fused' takes a REN"):
        unroll(ImplicitREN.example().explicit(), x0, u, "fused")
    empty, _ = unroll(network.explicit(), x0[:0], u[:0])
    assert empty.shape == (0, 6, 3)
