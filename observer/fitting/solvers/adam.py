"""Adam on the direct parameters, for networks too large for a dense Gauss-Newton step.

Every parameter vector is a contracting network (MATH 2a), so plain stochastic gradients keep the proof. The step is cut
to a third when the loss over all transitions has not fallen for ``PATIENCE`` looks, and the fit ends when it has become a
thousandth of the first. A non-finite loss rolls back to the best parameters with a shorter step.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from observer.fitting.initial.networks import initial_network
from observer.fitting.problem import Problem
from observer.fitting.result import Status
from observer.fitting.solvers.direct import DirectLoss, one_thread
from observer.fitting.solvers.loop import Look, Monitor, drive
from observer.fitting.solvers.solver import Solution, look_at, problem_key
from observer.networks.ren.one_step_training import OneStepTraining

ITERATIONS = 2000
BATCH, LOOK, PATIENCE, SHRINK, SMALLEST = 512, 50, 4, 1 / 3, 1e-3
FIRST_STEP = 1e-3  # relative to the root mean square of each parameter
FAILURES, SHRINK_AT_FAILURE = 5, 0.25

Parameters = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class _State:
    """Parameters as they are and at the lowest ``loss`` over all transitions, at a look every ``LOOK`` iterations.

    ``moments``: of the optimizer, with its step lengths; empty for a new one. ``factor``: of all step lengths. ``mark``: the loss
    that patience is counted from, ``since`` how many looks.
    """

    now: Parameters
    best: Parameters
    loss: float
    best_loss: float
    mark: float
    moments: Parameters
    factor: float = 1.0
    since: int = 0
    failures: int = 0
    iteration: int = 0
    done: Status | None = None

    @property
    def impatient(self) -> bool:
        """Whether to go on from the best parameters with shorter steps."""
        return not np.isfinite(self.loss) or self.since >= PATIENCE

    def restarted(self, shorter: float) -> "_State":
        """From the best parameters, with shorter steps."""
        return replace(self, now=self.best, moments={}, factor=self.factor * shorter)


def adam(problem: Problem, monitor: Monitor) -> Solution:
    """Mini-batches of 512 transitions from the initial network; ``monitor.iterations`` updates at most. Resumes exactly."""
    with one_thread(2 * problem.train.x.shape[1] + problem.neurons < 256):
        method = _Method(problem, monitor)
        state, status = drive(method, monitor)
        method.set(state.now if status is Status.TOLERANCE else state.best)
        return Solution(*method.loss.certified(), status, state.iteration)


class _Method:
    name, kind = "adam", _State

    def __init__(self, problem: Problem, monitor: Monitor) -> None:
        self.problem, self.monitor, self.key = problem, monitor, problem_key(problem)
        self.loss = DirectLoss(problem, *initial_network(problem))
        self.samples = (problem.train.x, problem.train.v, problem.train.x_next)

    def parameters(self) -> Parameters:
        return {name: value.detach().numpy().copy() for name, value in self.loss.ren.named_parameters()}

    def set(self, parameters: Parameters) -> None:
        self.loss.ren.load_state_dict({name: torch.from_numpy(value) for name, value in parameters.items()})

    def evaluate(self) -> float:
        with torch.no_grad():
            return float(self.loss())

    def initial(self) -> _State:
        parameters, loss = self.parameters(), self.evaluate()
        return _State(parameters, parameters, loss, loss, loss, {})

    def finished(self, state: _State) -> Status | None:
        return state.done or (Status.ITERATION_LIMIT if state.iteration >= self.monitor.iterations else None)

    def training(self, state: _State) -> OneStepTraining:
        """The optimizer of a state; step lengths are scaled by the initial parameters."""
        self.set(state.now)
        rates = {}
        for name, value in self.loss.ren.named_parameters():
            size = float(value.detach().square().mean().sqrt()) if value.numel() else 1.0
            rates[name] = FIRST_STEP * state.factor * max(size, 1e-2)
        training = OneStepTraining(self.loss.ren, rates, metric=self.problem.metric)
        for k, entry in enumerate(training.optimizer.entries) if state.moments else ():
            entry.mean.copy_(torch.from_numpy(state.moments[f"mean.{k}"]))
            entry.square.copy_(torch.from_numpy(state.moments[f"square.{k}"]))
            rate, steps = state.moments[f"rate.{k}"]
            entry.rate, entry.steps = float(rate), int(steps)
        return training

    def step(self, state: _State) -> _State:
        """All iterations up to the next look."""
        if state.iteration and state.impatient:
            state = replace(state.restarted(SHRINK), since=0, mark=state.best_loss)
        training, iteration = self.training(state), state.iteration
        while iteration < self.monitor.iterations:
            if self.monitor.out_of_time:
                return replace(state, iteration=iteration, done=Status.BUDGET)
            # The rows of an update depend on its number alone, so that a resumed fit sees what an unbroken one would.
            rows = np.random.default_rng([self.problem.seed, 13, iteration]).permutation(len(self.problem.train))[
                :BATCH
            ]
            finite = np.isfinite(training.update(*(array[rows] for array in self.samples)))
            iteration += 1
            if not finite:
                state = replace(state.restarted(SHRINK_AT_FAILURE), failures=state.failures + 1)
                if state.failures > FAILURES:
                    return replace(state, iteration=iteration, done=Status.NON_FINITE)
                training = self.training(state)
            elif iteration % LOOK == 0:
                break
        return self.judged(replace(state, iteration=iteration), training)

    def judged(self, state: _State, training: OneStepTraining) -> _State:
        """The state after a block, compared with the best so far."""
        loss, now, moments = self.evaluate(), self.parameters(), {}
        for k, entry in enumerate(training.optimizer.entries):
            moments |= {f"mean.{k}": entry.mean.numpy().copy(), f"square.{k}": entry.square.numpy().copy()}
            moments[f"rate.{k}"] = np.array([entry.rate, entry.steps])
        state = replace(state, now=now, moments=moments, loss=loss, since=state.since + 1)
        if loss < state.best_loss:
            state = replace(state, best=now, best_loss=loss, since=1)
        if loss < 0.99 * state.mark:
            state = replace(state, mark=loss, since=0)
        if state.impatient and state.factor * SHRINK < SMALLEST:
            state = replace(state, done=Status.CONVERGED)
        return state

    def look(self, state: _State) -> Look | None:
        if state.done in (Status.BUDGET, Status.NON_FINITE):
            return None
        total = self.monitor.iterations
        if not np.isfinite(state.loss):
            return Look("adam", state.iteration, total, np.nan, np.nan, state.factor, self.problem.rate)
        self.set(state.now)
        return look_at(
            self.problem, self.monitor.limits, self.loss.certified(), "adam", state.iteration, total, state.factor
        )
