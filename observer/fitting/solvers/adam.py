"""Adam on the direct parameters, for networks too large for a dense Gauss-Newton step.

Every parameter vector is a contracting network (MATH 2a), so plain stochastic gradients keep the proof. The step is cut
to a third when the loss over all transitions has not fallen for ``PATIENCE`` looks, and the fit ends when it has become a
thousandth of the first. A non-finite loss rolls back to the best parameters with a shorter step.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from observer.fitting.initial.networks import start_network
from observer.fitting.problem import Problem, Samples
from observer.fitting.result import Status
from observer.fitting.solvers.checkpoints import load_checkpoint, save_checkpoint
from observer.fitting.solvers.solver import Monitor, Solution
from observer.networks.kernels.optimizer import Adam
from observer.networks.ren.contracting import ContractingREN
from observer.networks.ren.explicit import ExplicitREN
from observer.networks.ren.one_step_training import OneStepTraining

BATCH, LOOK, PATIENCE, SHRINK, SMALLEST = 512, 50, 4, 1 / 3, 1e-3
FIRST_STEP = 1e-3  # relative to the root mean square of each parameter


class _Loss:
    """(1/2m) sum |R r|^2 on torch tensors, R'R = M held fixed as data."""

    def __init__(self, samples: Samples, metric: np.ndarray) -> None:
        self.x, self.v, self.x_next = (
            torch.from_numpy(np.ascontiguousarray(a)) for a in (samples.x, samples.v, samples.x_next)
        )
        self.root = torch.from_numpy(np.linalg.cholesky(metric))

    def __call__(self, ren: ContractingREN) -> tuple[torch.Tensor, torch.Tensor]:
        """(loss, residual)."""
        r = ren.explicit().next_state(self.x, self.v) - self.x_next
        return 0.5 * (r @ self.root).square().sum(dim=1).mean(), r


def _training(ren: ContractingREN, metric: np.ndarray, factor: float) -> OneStepTraining:
    rates = {}
    for name, value in ren.named_parameters():
        size = float(value.detach().square().mean().sqrt()) if value.numel() else 1.0
        rates[name] = FIRST_STEP * factor * max(size, 1e-2)
    return OneStepTraining(ren, rates, metric=metric)


def _state(ren: ContractingREN, optimizer: Adam) -> dict[str, np.ndarray]:
    """Parameters, moments and step lengths, as copies."""
    arrays = {f"now.{name}": value.detach().numpy().copy() for name, value in ren.named_parameters()}
    for k, entry in enumerate(optimizer.entries):
        arrays |= {f"mean.{k}": entry.mean.numpy().copy(), f"square.{k}": entry.square.numpy().copy()}
        arrays[f"rate.{k}"] = np.array([entry.rate, entry.steps])
    return arrays


def _set_state(ren: ContractingREN, optimizer: Adam, stored: dict[str, np.ndarray]) -> None:
    ren.load_state_dict({name: torch.from_numpy(stored[f"now.{name}"]) for name, _ in ren.named_parameters()})
    for k, entry in enumerate(optimizer.entries):
        entry.mean.copy_(torch.from_numpy(stored[f"mean.{k}"]))
        entry.square.copy_(torch.from_numpy(stored[f"square.{k}"]))
        entry.rate, entry.steps = float(stored[f"rate.{k}"][0]), int(stored[f"rate.{k}"][1])


@contextmanager
def _threads(problem: Problem) -> Iterator[None]:
    """One torch thread for small matrices: waking a second costs more than it does, milliseconds on a busy machine."""
    before = torch.get_num_threads()
    if 2 * problem.train.x.shape[1] + problem.neurons < 256:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def adam(problem: Problem, inputs: int, monitor: Monitor) -> Solution:
    """Mini-batches of 512 transitions from the model-informed start; ``monitor.iterations`` updates at most."""
    with _threads(problem):
        return _adam(problem, inputs, monitor)


def _adam(problem: Problem, inputs: int, monitor: Monitor) -> Solution:
    network, multipliers = start_network(problem, inputs)
    ren = ContractingREN.from_explicit(network, problem.metric, multipliers, problem.rate, polar=False)
    train, held_out = _Loss(problem.train, problem.metric), _Loss(problem.held_out, problem.metric)
    factor, failures, status = 1.0, 0, Status.ITERATION_LIMIT
    best = {name: value.detach().clone() for name, value in ren.named_parameters()}
    with torch.no_grad():
        best_loss = float(train(ren)[0])
    last_look, since, iteration = best_loss, 0, 0
    stored = load_checkpoint(monitor, problem, needs="adam.iteration")
    if stored is not None:
        iteration, factor, best_loss, last_look, since, failures = (
            int(stored["adam.iteration"]), float(stored["adam.factor"]), float(stored["adam.best"]),
            float(stored["adam.last"]), int(stored["adam.since"]), int(stored["adam.failures"]),
        )  # fmt: skip
        best = {name: torch.from_numpy(stored[f"best.{name}"]) for name in best}
        ren.load_state_dict(best)  # step lengths go by the parameters from which the optimizer was started
    training = _training(ren, problem.metric, factor)
    if stored is not None:
        _set_state(ren, training.optimizer, stored)
    samples = (problem.train.x, problem.train.v, problem.train.x_next)

    def snapshot() -> dict[str, np.ndarray]:
        numbers = {
            "iteration": iteration, "factor": factor, "best": best_loss, "last": last_look, "since": since, "failures": failures,
        }  # fmt: skip
        arrays = {f"best.{name}": value.numpy().copy() for name, value in best.items()}
        return (
            arrays
            | _state(ren, training.optimizer)
            | {f"adam.{name}": np.array(value) for name, value in numbers.items()}
        )

    # What an interruption in the middle of a look leaves behind is the state after the look before it.
    held, rows_held = snapshot(), len(monitor.rows["iteration"])

    def restart(shorter: float) -> OneStepTraining:
        nonlocal factor
        factor *= shorter
        ren.load_state_dict(best)
        return _training(ren, problem.metric, factor)

    try:
        while iteration < monitor.iterations:
            if monitor.out_of_time:
                status = Status.BUDGET
                break
            # The rows of an update depend on its number alone, so that a resumed fit sees what an unbroken one would.
            rows = np.random.default_rng([problem.seed, 13, iteration]).permutation(len(problem.train))[:BATCH]
            loss = training.update(*(array[rows] for array in samples))
            iteration += 1
            if not np.isfinite(loss):
                failures += 1
                if failures > 5:
                    status = Status.NON_FINITE
                    break
                training = restart(0.25)
                continue
            if iteration % LOOK == 0 or iteration == monitor.iterations:
                with torch.no_grad():
                    full, r = train(ren)
                    _, r_held = held_out(ren)
                current = float(full)
                if current < best_loss:
                    best_loss, since = current, 0
                    best = {name: value.detach().clone() for name, value in ren.named_parameters()}
                if current < 0.99 * last_look:
                    last_look, since = current, 0
                else:
                    since += 1
                monitor.record(
                    0, "adam", iteration, monitor.iterations,
                    problem.physical_loss(r.numpy()), problem.physical_loss(r_held.numpy()), factor, problem.rate,
                    monitor.promise(problem, *_certified(ren)) if np.isfinite(current) else np.nan,
                )  # fmt: skip
                if monitor.reached:
                    status, best = Status.TOLERANCE, {n: v.detach().clone() for n, v in ren.named_parameters()}
                    break
                if not np.isfinite(current) or since >= PATIENCE:
                    training, since, last_look = restart(SHRINK), 0, best_loss
                    if factor < SMALLEST:
                        status = Status.CONVERGED
                        break
                held, rows_held = snapshot(), len(monitor.rows["iteration"])
                if monitor.time_to_save:
                    save_checkpoint(monitor, problem, held)
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
        for values in monitor.rows.values():
            del values[rows_held:]
        save_checkpoint(monitor, problem, held)
    ren.load_state_dict(best)
    return Solution(*_certified(ren), status, iteration)


def _certified(ren: ContractingREN) -> tuple[ExplicitREN, np.ndarray, np.ndarray]:
    """The network with its metric and multipliers."""
    with torch.no_grad():
        explicit = ren.explicit().to_numpy()
        metric, multipliers = ren.metric().numpy(), ren.multipliers().numpy()
    size = float(np.linalg.eigvalsh(metric)[-1])  # M and Lam scale together; largest eigenvalue 1 as elsewhere
    return explicit, metric / size, multipliers / size
