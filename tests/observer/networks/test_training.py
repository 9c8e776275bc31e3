"""Compiled training steps: the loss and gradients of autograd, the updates of Adam."""

import numpy as np
import pytest
import torch

from observer.networks import ContractingREN
from observer.networks.kernels.equilibrium import cpu, cpu_training
from observer.networks.kernels.optimizer import Adam
from observer.networks.ren.one_step_training import OneStepTraining
from systems.base.errors import InputError


def case(nx, nv, nu, batch, dtype="float64", **options):
    ren = ContractingREN(nu, nx, nv, contraction_rate=0.9, identity_output=True, dtype=dtype, seed=3, **options)
    rng = np.random.default_rng(nv + batch)
    x, x_next = rng.normal(size=(2, batch, nx))
    return ren, x, rng.normal(size=(batch, nu)), x_next


def by_autograd(ren, x, u, x_next, metric):
    ren.zero_grad(set_to_none=True)
    kind = ren.X.dtype
    x, u, x_next, metric = (torch.as_tensor(array, dtype=kind) for array in (x, u, x_next, metric))
    r = ren.explicit("reference").next_state(x, u, "reference") - x_next
    loss = 0.5 * ((r @ metric) * r).sum(1).mean()
    loss.backward()
    return loss.item(), {name: value.grad.clone() for name, value in ren.named_parameters()}


@pytest.mark.parametrize("polar", [True, False])
@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
@pytest.mark.parametrize(
    ("nx", "nv", "nu", "batch"), [(3, 7, 2, 19), (1, 1, 1, 1), (2, 0, 1, 5), (2, 5, 0, 9), (9, 70, 2, 33)]
)
def test_gradients_are_those_of_autograd(nx, nv, nu, batch, activation, polar):
    ren, *samples = case(nx, nv, nu, batch, activation=activation, polar=polar, norm_eps=1e-3)
    root = np.random.default_rng(0).normal(size=(nx, nx))
    for metric in (None, root.T @ root + np.eye(nx)):
        expected, gradients = by_autograd(ren, *samples, np.eye(nx) if metric is None else metric)
        loss = OneStepTraining(ren, metric=metric).gradients(*samples)
        assert loss == pytest.approx(expected, rel=1e-13)
        for name, value in ren.named_parameters():
            scale = float(gradients[name].abs().max()) if gradients[name].numel() else 1.0
            np.testing.assert_allclose(value.grad, gradients[name], rtol=0, atol=1e-12 * max(scale, 1e-3), err_msg=name)


def test_the_number_of_threads_does_not_change_a_bit(monkeypatch):
    """Halves of the batch and of the product, on one thread and on two."""
    ren, *samples = case(20, 120, 3, 400, "float32")
    monkeypatch.setattr(cpu, "WORK_PER_THREAD", 1000)
    monkeypatch.setattr(cpu_training, "_HALVES_FROM", 1000)
    found = []
    for threads in (1, 2):
        monkeypatch.setattr(cpu, "THREADS", threads)
        loss = OneStepTraining(ren).gradients(*samples)
        found.append([np.array(loss)] + [value.grad.numpy().copy() for value in ren.parameters()])
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)
    monkeypatch.setattr(cpu_training, "_HALVES_FROM", 10**12)
    OneStepTraining(ren).gradients(*samples)
    np.testing.assert_allclose(ren.X.grad, found[0][1], rtol=0, atol=1e-5 * float(ren.X.grad.abs().max()))


def test_updates_are_those_of_adam():
    ours, *samples = case(3, 8, 2, 30)
    theirs = case(3, 8, 2, 30)[0]
    rates = {name: 1e-2 / (k + 1) for k, (name, _) in enumerate(ours.named_parameters())}
    training = OneStepTraining(ours, rates)
    optimizer = Adam([(value, rates[name]) for name, value in theirs.named_parameters()])
    losses = []
    for _ in range(20):
        losses.append(training.update(*samples))
        expected, _ = by_autograd(theirs, *samples, np.eye(3))
        optimizer.step()
        assert losses[-1] == pytest.approx(expected, rel=1e-10)
    assert losses[-1] < 0.9 * losses[0]


def test_parameters_without_an_explicit_network_change_nothing():
    ren, *samples = case(2, 3, 1, 10)
    with torch.no_grad():
        ren.X[0, 0] = float("nan")
    before = {name: value.detach().clone() for name, value in ren.named_parameters()}
    assert np.isnan(OneStepTraining(ren).update(*samples))
    for name, value in ren.named_parameters():
        torch.testing.assert_close(value.detach(), before[name], rtol=0, atol=0, equal_nan=True)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="output of its own"):
        OneStepTraining(ContractingREN(2, 3, 4, 3))
    ren, x, u, x_next = case(3, 4, 2, 6)
    with pytest.raises(InputError, match=r"metric has shape \(2, 2\); expected \(nx, nx\) = \(3, 3\)"):
        OneStepTraining(ren, metric=np.eye(2))
    with pytest.raises(InputError, match=r"u has shape \(5, 2\)"):
        OneStepTraining(ren).gradients(x, u[:5], x_next)
