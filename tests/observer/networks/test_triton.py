"""The Triton kernel by its interpreter, on the CPU, in a process of its own; and what is refused without a GPU."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from observer.networks import solve_equilibrium
from observer.networks.kernels.captured_training import DeviceAdam
from observer.networks.kernels.equilibrium import triton_autograd
from systems.base.errors import InputError

ROOT = Path(__file__).parents[3]


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed: pip install 'ren-observer[gpu]'")
def test_the_kernel_by_the_interpreter():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", Path(__file__).with_name("triton_cases.py")],
        cwd=ROOT, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]


def test_tensors_in_main_memory_are_refused():
    D11, b = torch.zeros(3, 3), torch.zeros(2, 3)
    with pytest.raises(InputError, match=r"'triton': got torch\.float32 on cpu and torch\.float32 on cpu; expected"):
        solve_equilibrium(D11, b, "tanh", "triton")
    with pytest.raises(InputError, match="kernel 'triton' takes torch tensors; got NumPy arrays"):
        solve_equilibrium(D11.numpy(), b.numpy(), "tanh", "triton")


def test_a_gpu_that_triton_does_not_compile_for_is_told_once_and_done_without(monkeypatch):
    def fails(device):
        raise RuntimeError("Failed to find C compiler.")

    monkeypatch.setattr(triton_autograd, "_probe", fails)
    monkeypatch.setattr(triton_autograd, "find_spec", lambda name: object())
    triton_autograd.works_on.cache_clear()
    try:
        with pytest.warns(
            RuntimeWarning, match=r"not compile for GPU 0 \(Failed to find C compiler.\); networks use slower"
        ):
            assert not triton_autograd.works_on(0)
        assert not triton_autograd.works_on(0)
    finally:
        triton_autograd.works_on.cache_clear()


def test_parameters_with_gaps_are_refused():
    with pytest.raises(InputError, match="not contiguous"):
        DeviceAdam([(torch.zeros(4, 6)[:, ::2], 1e-3)])
