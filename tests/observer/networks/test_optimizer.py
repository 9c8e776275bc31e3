"""Adam: torch's updates, without its start-up."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from observer.networks.kernels.optimizer import Adam
from systems.base.errors import InputError


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_updates_as_torch(dtype):
    shapes, rates = [(5, 3), (7,), (0, 2), (1,)], [1e-2, 1e-3, 1e-1, 1e-2]
    generator = torch.Generator().manual_seed(0)
    mine = [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]
    theirs = [value.detach().clone().requires_grad_() for value in mine]
    optimizers = (
        Adam(zip(mine, rates, strict=True)),
        torch.optim.Adam([{"params": [p], "lr": rate} for p, rate in zip(theirs, rates, strict=True)]),
    )
    for k in range(30):
        for parameters, optimizer in zip((mine, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            loss = sum(((p - 0.3) ** 2 * (1 + k % 3)).sum() for p in parameters[: 2 + k % 3])
            loss.backward()
            optimizer.step()
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a.detach(), b.detach(), rtol=0, atol=100 * torch.finfo(dtype).eps)


def test_moments_never_become_denormal():
    p = torch.ones(40, requires_grad=True)
    optimizer = Adam([p])
    for k in range(1200):
        p.grad = torch.full((40,), 1e-3 if k == 0 else 0.0)
        optimizer.step()
    mean = optimizer.entries[0].mean
    assert (mean == 0).all() and torch.isfinite(p).all()


def test_other_parameters_are_refused():
    with pytest.raises(InputError, match=r"is torch.float16 on cpu; expected float32 or float64.*torch.optim.Adam"):
        Adam([torch.ones(3, dtype=torch.float16)])


def test_a_first_step_does_not_import_the_compiler_of_torch():
    program = (
        "import sys, torch\n"
        "from observer.networks.ren.contracting import ContractingREN\n"
        "from observer.networks.kernels.optimizer import Adam\n"
        "ren = ContractingREN(2, 3, 5, identity_output=True)\n"
        "ren.explicit().next_state(torch.ones(4, 3).double(), torch.ones(4, 2).double()).sum().backward()\n"
        "Adam(ren.parameters()).step()\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
