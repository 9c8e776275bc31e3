"""Many steps at once: the same numbers and gradients as the loop over single steps."""

import numpy as np
import pytest
import torch

from observer.networks.dissipative import DissipativeREN
from observer.networks.implicit import ImplicitREN
from observer.networks.lbdn import LBDN
from observer.networks.lipschitz import LipschitzREN
from observer.networks.r2dn import R2DN
from observer.networks.ren import ContractingREN
from observer.networks.rollout import rollout
from observer.networks.unrolling import unroll
from systems.errors import InputError

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
