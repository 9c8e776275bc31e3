"""L-BFGS on the direct parameters: every parameter vector is a contracting network (MATH 2a), so nothing constrains the step.

    d = -H_k grad f,   H_k from the last ``MEMORY`` pairs s = dx, y = dgrad by the two-loop recursion, H_0 = s'y/y'y

with a line search for the weak Wolfe conditions by bisection. Gradients by autograd in float64; the start is the model-informed
one. For networks between Gauss-Newton and Adam, and as a check on both: it needs no Jacobian, and far more iterations.

Nocedal, Wright, "Numerical Optimization", 2nd ed., algorithm 7.4; Lewis, Overton, Math. Program. 141 (2013) for the search.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from observer.fitting.problem import Problem
from observer.fitting.solvers.checkpoints import load_checkpoint, save_checkpoint
from observer.fitting.solvers.interior_point import FLOOR, Stepper
from observer.fitting.solvers.solver import Monitor, Solution, drive
from observer.networks.ren.contracting import ContractingREN
from observer.networks.ren.explicit import ExplicitREN

MEMORY = 20
DECREASE, CURVATURE, TRIALS = 1e-4, 0.9, 30  # of the line search
WINDOW, STALL = 200, 0.99  # converged when 200 iterations lower the loss by less than 1 %


@dataclass
class _State:
    x: np.ndarray
    loss: float
    gradient: np.ndarray
    steps: list[np.ndarray] = field(default_factory=list)
    changes: list[np.ndarray] = field(default_factory=list)
    iteration: int = 0
    losses: list[float] = field(default_factory=list)
    done: str = ""


class _Objective:
    """f and its gradient in the direct parameters, and the network at a point."""

    def __init__(self, problem: Problem, ren: ContractingREN) -> None:
        self.ren = ren
        self.parameters = list(ren.parameters())
        train = problem.train
        self.data = [torch.from_numpy(np.ascontiguousarray(a)) for a in (train.x, train.v, train.x_next)]
        self.root = torch.from_numpy(np.linalg.cholesky(problem.metric))

    def set(self, x: np.ndarray) -> None:
        torch.nn.utils.vector_to_parameters(torch.from_numpy(x), self.parameters)

    def get(self) -> np.ndarray:
        return torch.nn.utils.parameters_to_vector(self.parameters).detach().numpy().copy()

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        self.set(x)
        states, inputs, following = self.data
        r = (self.ren.explicit().next_state(states, inputs) - following) @ self.root
        loss = 0.5 * r.square().sum(dim=1).mean()
        gradient = torch.autograd.grad(loss, self.parameters)
        return float(loss.detach()), torch.cat([g.reshape(-1) for g in gradient]).numpy()

    def certified(self, x: np.ndarray) -> tuple[ExplicitREN, np.ndarray, np.ndarray]:
        self.set(x)
        with torch.no_grad():
            metric, multipliers = self.ren.metric().numpy(), self.ren.multipliers().numpy()
            network = self.ren.explicit().to_numpy()
        size = float(np.linalg.eigvalsh(metric)[-1])  # M and Lam scale together; largest eigenvalue 1 as elsewhere
        return network, metric / size, multipliers / size


def lbfgs(problem: Problem, inputs: int, monitor: Monitor) -> Solution:
    """From the model-informed start; ``monitor.iterations`` line searches at most. Deterministic; resumes exactly."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # waking a second for small matrices costs more than it does
    try:
        return _lbfgs(problem, inputs, monitor)
    finally:
        torch.set_num_threads(threads)


def _lbfgs(problem: Problem, inputs: int, monitor: Monitor) -> Solution:
    stepper = Stepper(problem)
    run = stepper.new_run(inputs, 0)
    ren = ContractingREN.from_explicit(
        stepper.network(run.theta), problem.metric, run.multipliers, problem.rate, polar=False
    )
    objective = _Objective(problem, ren)
    state = _restore(problem, monitor)
    if state is None:
        start = objective.get()
        state = _State(start, *objective(start))

    def save() -> None:
        arrays = {f"lbfgs.{n}": np.array(getattr(state, n)) for n in ("x", "loss", "gradient", "iteration", "losses")}
        arrays["lbfgs.done"] = np.array(state.done)
        empty = np.zeros((0, len(state.x)))
        arrays["lbfgs.steps"] = np.stack(state.steps) if state.steps else empty
        arrays["lbfgs.changes"] = np.stack(state.changes) if state.changes else empty
        save_checkpoint(monitor, problem, arrays)

    status = drive(
        problem, monitor, state, lambda: _step(objective, state), lambda: objective.certified(state.x), save, "l-bfgs"
    )
    return Solution(*objective.certified(state.x), status, state.iteration)


def _restore(problem: Problem, monitor: Monitor) -> _State | None:
    stored = load_checkpoint(monitor, problem, needs="lbfgs.x")
    if stored is None:
        return None
    v = {name.removeprefix("lbfgs."): value for name, value in stored.items() if name.startswith("lbfgs.")}
    return _State(
        v["x"], float(v["loss"]), v["gradient"], list(v["steps"]), list(v["changes"]), int(v["iteration"]),
        v["losses"].tolist(), str(v["done"]),
    )  # fmt: skip


def _direction(state: _State) -> np.ndarray:
    d = -state.gradient
    weights = []
    for s, y in zip(reversed(state.steps), reversed(state.changes), strict=True):
        weight = (s @ d) / (s @ y)
        weights.append(weight)
        d = d - weight * y
    if state.steps:
        s, y = state.steps[-1], state.changes[-1]
        d = d * (s @ y) / (y @ y)
    for s, y, weight in zip(state.steps, state.changes, reversed(weights), strict=True):
        d = d + (weight - (y @ d) / (s @ y)) * s
    return d


def _step(objective: _Objective, state: _State) -> None:
    """One line search."""
    if not (np.isfinite(state.loss) and np.isfinite(state.gradient).all()):
        state.iteration, state.done = state.iteration + 1, "non_finite"
        return
    d = _direction(state)
    slope = float(state.gradient @ d)
    if not slope < 0:  # rounding has spoiled the memory
        state.steps, state.changes = [], []
        d, slope = -state.gradient, -float(state.gradient @ state.gradient)
    first = 1.0 if state.steps else 1e-3 * float(np.linalg.norm(state.x) / max(np.linalg.norm(d), 1e-300))
    low, high, length, best = 0.0, np.inf, first, None
    for _ in range(TRIALS):
        x = state.x + length * d
        loss, gradient = objective(x)
        if not (np.isfinite(loss) and loss <= state.loss + DECREASE * length * slope):
            high = length
        else:
            best = (x, loss, gradient)
            if float(gradient @ d) >= CURVATURE * slope:
                break
            low = length
        length = 2 * low if np.isinf(high) else 0.5 * (low + high)
    if best is None or not np.isfinite(best[2]).all():
        fresh = not state.steps
        state.steps, state.changes, state.iteration = [], [], state.iteration + 1
        state.losses.append(state.loss)
        if fresh:
            state.done = "stalled"
        return
    s, y = best[0] - state.x, best[2] - state.gradient
    steps, changes = state.steps, state.changes
    if float(s @ y) > 1e-14 * float(np.linalg.norm(s) * np.linalg.norm(y)):
        steps, changes = [*steps, s][-MEMORY:], [*changes, y][-MEMORY:]
    state.x, state.loss, state.gradient = best
    state.steps, state.changes, state.iteration = steps, changes, state.iteration + 1
    state.losses.append(state.loss)
    if len(state.losses) > WINDOW and state.loss > STALL * state.losses[-WINDOW - 1]:
        state.done = "converged"
    if state.loss < FLOOR:
        state.done = "converged"
