"""Interior-point Gauss-Newton on the explicit weights, at fixed metric (MATH 3, steps 4-9).

    minimise   f(theta) - mu logdet Q(theta),      mu = 0.01 f

    (J'J/m + (lam f + mu) N  [constrained weights] + 0.01 (lam f + mu) I  [free weights]) d = -(grad f - mu grad logdet Q)

with N the Hessian of -logdet Q. The barrier's curvature is both the damping that keeps a step inside the certificate and
what tells apart the collinear columns of x and y = h(x). Steps that would leave Q > 0 are shortened; steps that do not
lower f are refused. Several starts race for a few iterations, the best two go on.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from observer.fitting import barrier, solver
from observer.fitting.checkpoints import load_checkpoint, save_checkpoint
from observer.fitting.conjugate_gradients import IterativeEquations
from observer.fitting.least_squares import pack, parameter_count, residual, unpack
from observer.fitting.normal_equations import DenseEquations
from observer.fitting.problem import Problem
from observer.fitting.result import Status
from observer.fitting.solver import Monitor, Solution
from observer.fitting.start import initial_network
from observer.networks.explicit import ExplicitREN

STARTS, RACE, FINALISTS = 8, 40, 2
DENSE_PARAMETERS = 3000  # above, steps are solved by conjugate gradients, and fewer starts race
LARGE_STARTS, LARGE_RACE, LARGE_FINALISTS = 2, 15, 1
WINDOW, STALL = 60, 0.98  # a run has converged when 60 accepted steps lower the loss by less than 2 %
FLOOR = 1e-26  # mean square residual in network units at which rounding is all that is left


@dataclass
class _Run:
    """One start on its way: weights, multipliers, damping, and what the next step needs."""

    number: int
    theta: np.ndarray
    multipliers: np.ndarray
    loss: float
    damping: float = 1.0
    iteration: int = 0
    refused: int = 0
    losses: list[float] = field(default_factory=list)
    done: str = ""
    held: tuple | None = None  # (normal equations, (Q, its factor)): kept over refused steps


class _Stepper:
    """The algebra of one iteration for a given problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.root = np.linalg.cholesky(problem.metric).T
        self.sizes = (problem.train.x.shape[1], problem.neurons, problem.train.v.shape[1])
        small = parameter_count(*self.sizes) <= DENSE_PARAMETERS
        self.equations = DenseEquations if small else IterativeEquations

    def network(self, theta: np.ndarray) -> ExplicitREN:
        """The network of a weight vector."""
        return unpack(theta, *self.sizes, self.problem.activation)

    def loss(self, network: ExplicitREN) -> float:
        """f of a network over the training transitions."""
        train = self.problem.train
        scaled = residual(network, train) @ self.root.T
        squares = np.einsum("kc,kc->k", scaled, scaled)
        return 0.5 * float(np.mean(squares if train.weights is None else train.weights * squares))

    def prepare(self, run: _Run) -> tuple | None:
        """Derivatives at the current point, kept over refused steps; None when they are not finite."""
        if run.held is None:
            network = self.network(run.theta)
            factored = barrier.factor(network, self.problem.metric, run.multipliers, self.problem.rate)
            if factored is None:
                return None
            equations = self.equations(self.problem, network, run.multipliers, self.root, factored[1])
            if not equations.finite:
                return None
            run.held = (equations, factored)
        return run.held

    def step(self, run: _Run) -> bool:
        """One trial step; returns whether it was accepted."""
        prepared = self.prepare(run)
        run.iteration += 1
        if prepared is None:
            run.done = "non_finite"
            return False
        equations, (q, lower) = prepared
        f = run.loss
        mu = 0.01 * f
        right = -equations.gradient
        right[: equations.constrained] += mu * equations.slope
        move = equations.solve(run.damping * f + mu, right)
        accepted = False
        if np.isfinite(move).all():
            unit = self.network(run.theta + move)
            change = barrier.certificate_matrix(unit, self.problem.metric, run.multipliers, self.problem.rate) - q
            move = move * barrier.longest_step(lower, change)
            theta = run.theta + move
            network = self.network(theta)
            loss = self.loss(network)
            inside = barrier.factor(network, self.problem.metric, run.multipliers, self.problem.rate)
            if np.isfinite(loss) and loss < f and inside is not None:
                expected = -(equations.gradient @ move + 0.5 * equations.quadratic(move))
                ratio = (f - loss) / expected if expected > 0 else 0.0
                run.damping *= 0.2 if ratio > 0.7 else (1.0 if ratio > 0.25 else 2.0)
                run.theta, run.loss, run.held, run.refused, accepted = theta, loss, None, 0, True
                run.multipliers = barrier.centre_multipliers(
                    network, self.problem.metric, run.multipliers, self.problem.rate
                )
        if not accepted:
            run.damping *= 6.0
            run.refused += 1
            if run.refused > 25:
                run.done = "stalled"
        run.damping = float(np.clip(run.damping, 1e-12, 1e12))
        run.losses.append(run.loss)
        if len(run.losses) > WINDOW and run.loss > STALL * run.losses[-WINDOW - 1]:
            run.done = run.done or "converged"
        if run.loss < FLOOR:
            run.done = "converged"
        return accepted


def _new_run(problem: Problem, inputs: int, number: int, stepper: _Stepper) -> _Run:
    network, multipliers = initial_network(
        problem.train, problem.metric, problem.rate,
        fastest=problem.fastest, inputs=inputs, neurons=problem.neurons, activation=problem.activation, seed=(problem.seed, 11, number),
    )  # fmt: skip
    multipliers = barrier.centre_multipliers(network, problem.metric, multipliers, problem.rate, steps=8)
    return _Run(number, pack(network), multipliers, stepper.loss(network))


def gauss_newton(problem: Problem, inputs: int, monitor: Monitor) -> Solution:
    """Race ``STARTS`` starts for ``RACE`` iterations, then drive the best ``FINALISTS`` to convergence.

    The iteration limit of ``monitor`` counts the iterations of one finalist. Deterministic for a seed (a time budget is not).
    """
    stepper = _Stepper(problem)
    total = monitor.iterations
    small = stepper.equations is DenseEquations
    starts, race, finalists = (STARTS, RACE, FINALISTS) if small else (LARGE_STARTS, LARGE_RACE, LARGE_FINALISTS)
    runs = _restore(problem, monitor) or []
    status: Status | None = None
    last_saved = monitor.seconds
    try:
        if not runs:
            runs = [_new_run(problem, inputs, number, stepper) for number in range(starts)]
        for stage, (label, limit) in enumerate((("race", min(race, total)), ("polish", total))):
            chosen = runs if stage == 0 else sorted(runs, key=lambda r: r.loss)[:finalists]
            for run in chosen:
                while run.iteration < limit and not run.done:
                    if monitor.out_of_time:
                        status = Status.BUDGET
                        break
                    stepper.step(run)
                    if run.iteration % 10 == 0 or run.iteration == limit or run.done:
                        network = stepper.network(run.theta)
                        monitor.record(
                            stage, f"{label} {run.number + 1}", run.iteration, limit,
                            problem.physical_loss(residual(network, problem.train)),
                            problem.physical_loss(residual(network, problem.held_out)), run.damping, problem.rate,
                        )  # fmt: skip
                        if monitor.checkpoint is not None and monitor.seconds - last_saved > solver.SAVE_EVERY:
                            _save(problem, monitor, runs)
                            last_saved = monitor.seconds
                if status is not None:
                    break
            if status is not None:
                break
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    if not runs:
        runs = [_new_run(problem, inputs, 0, stepper)]
    if monitor.checkpoint is not None and status is Status.INTERRUPTED:
        _save(problem, monitor, runs)
    best = min(runs, key=lambda r: r.loss)
    if status is None:
        status = Status(best.done) if best.done else Status.ITERATION_LIMIT
    return Solution(
        stepper.network(best.theta), problem.metric, best.multipliers, status, sum(run.iteration for run in runs)
    )


def _save(problem: Problem, monitor: Monitor, runs: list[_Run]) -> None:
    arrays = {
        "theta": np.stack([r.theta for r in runs]),
        "multipliers": np.stack([r.multipliers for r in runs]),
        "scalars": np.array([[r.number, r.loss, r.damping, r.iteration, r.refused] for r in runs]),
        "done": np.array([r.done for r in runs]),
        "lengths": np.array([len(r.losses) for r in runs]),
        "losses": np.concatenate([np.array(r.losses) for r in runs]) if runs else np.zeros(0),
    }
    save_checkpoint(monitor, problem, arrays)


def _restore(problem: Problem, monitor: Monitor) -> list[_Run] | None:
    arrays = load_checkpoint(monitor, problem)
    if arrays is None:
        return None
    runs, at = [], 0
    for k, (number, loss, damping, iteration, refused) in enumerate(arrays["scalars"]):
        length = int(arrays["lengths"][k])
        run = _Run(
            int(number),
            arrays["theta"][k],
            arrays["multipliers"][k],
            float(loss),
            float(damping),
            int(iteration),
            int(refused),
        )
        runs.append(replace(run, losses=arrays["losses"][at : at + length].tolist(), done=str(arrays["done"][k])))
        at += length
    return runs
