"""The kernels of the networks run as plain Python too: sweeps, a whole training step, a rollout."""

from types import SimpleNamespace

import numpy as np
import pytest

from observer.networks import ContractingREN, solve_equilibrium
from observer.networks.kernels import optimizer
from observer.networks.kernels.equilibrium import (
    cpu,
    cpu_adam,
    cpu_direct,
    cpu_rollout,
    cpu_training,
    machine,
    sweeps,
    training_steps,
    trajectories,
)
from observer.networks.kernels.equilibrium.tangent import adjoint
from observer.networks.ren.one_step_training import OneStepTraining
from observer.networks.ren.rollout import rollout


def everything(activation):
    """What one training step, a rollout, and both sweeps give."""
    ren = ContractingREN(
        2, 3, 6, contraction_rate=0.9, identity_output=True, dtype="float64", activation=activation, seed=1
    )
    rng = np.random.default_rng(0)
    x, u, x_next = rng.normal(size=(5, 3)), rng.normal(size=(5, 2)), rng.normal(size=(5, 3))
    training = OneStepTraining(ren, 1e-2, metric=np.diag([1.0, 2.0, 3.0]))
    loss = training.update(x, u, x_next)
    explicit = ren.explicit("reference").to_numpy()
    b = rng.normal(size=(5, 6))
    w = solve_equilibrium(explicit.D11, b, activation, "cpu")
    delta = adjoint(explicit.D11, np.ascontiguousarray(w.T), np.ascontiguousarray(b.T), activation)
    parameters = [value.detach().numpy().copy() for value in ren.parameters()]
    gradients = [value.grad.numpy().copy() for value in ren.parameters()]
    return [np.array(loss), w, delta, *rollout(explicit, x, np.stack([u, u], axis=1)), *parameters, *gradients]


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
def test_plain_python_computes_the_same(activation, monkeypatch):
    fast = everything(activation)
    families = (sweeps, cpu_direct, training_steps, trajectories, cpu_adam)
    plain = SimpleNamespace(**{k: v for family in families for k, v in vars(family).items() if not k.startswith("__")})
    for user in (cpu, cpu_rollout, cpu_training, optimizer):
        assert user.compiled is machine.compiled
        monkeypatch.setattr(user, "compiled", plain)
    for ours, theirs in zip(everything(activation), fast, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)
