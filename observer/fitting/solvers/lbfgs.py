"""L-BFGS on the direct parameters: every parameter vector is a contracting network (MATH 2a), so nothing constrains the step.

scipy's L-BFGS-B in blocks of iterations, each of which begins with an empty memory; gradients by autograd in float64. For networks
between Gauss-Newton and Adam, and as a check on both: it needs no Jacobian, and far more iterations.

Notes
-----
Blocks, because scipy's memory cannot be stored: a fit resumes exactly at the end of a block. They grow with the iterations, as an
empty memory costs some twenty. An own implementation whose memory can be stored was measured beside it and was not worth its lines.
Held-out losses after 1000 iterations of 8 neurons, seeds 0 and 1:

    ======================  ================  ================
                            Van der Pol       box
    ======================  ================  ================
    own                     3.3e-5, 8.8e-4    5.4e-9, 9.1e-9
    scipy, one block        5.4e-5, 9.0e-4    5.3e-9, 8.3e-9
    scipy, these blocks     6.9e-5, 1.2e-3    4.9e-9, 2.5e-8
    ======================  ================  ================
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize

from observer.fitting.initial.networks import initial_network
from observer.fitting.problem import Problem
from observer.fitting.result import Status
from observer.fitting.solvers.damping import FLOOR
from observer.fitting.solvers.direct import DirectLoss, one_thread
from observer.fitting.solvers.loop import Look, Monitor, drive
from observer.fitting.solvers.solver import Solution, look_at, problem_key

ITERATIONS = 2000
MEMORY = 20
SHORTEST, LONGEST = 20, 200  # iterations of a block
STALL = 0.99  # converged when a longest block lowers the loss by less than 1 %


@dataclass(frozen=True, eq=False)
class _State:
    x: np.ndarray
    loss: float
    iteration: int = 0
    done: Status | None = None


def lbfgs(problem: Problem, monitor: Monitor) -> Solution:
    """From the initial network; ``monitor.iterations`` line searches at most. Deterministic; resumes exactly."""
    with one_thread():
        method = _Method(problem, monitor)
        state, status = drive(method, monitor)
        method.set(state.x)
        return Solution(*method.loss.certified(), status, state.iteration)


class _Method:
    name, kind = "lbfgs", _State

    def __init__(self, problem: Problem, monitor: Monitor) -> None:
        self.problem, self.monitor, self.key = problem, monitor, problem_key(problem)
        self.loss = DirectLoss(problem, *initial_network(problem))
        self.parameters = list(self.loss.ren.parameters())

    def set(self, x: np.ndarray) -> None:
        torch.nn.utils.vector_to_parameters(torch.from_numpy(x.copy()), self.parameters)

    def objective(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """f and its gradient in the direct parameters."""
        self.set(x)
        loss = self.loss()
        gradient = torch.autograd.grad(loss, self.parameters)
        return float(loss.detach()), torch.cat([g.reshape(-1) for g in gradient]).numpy()

    def initial(self) -> _State:
        x = torch.nn.utils.parameters_to_vector(self.parameters).detach().numpy().copy()
        loss, gradient = self.objective(x)
        finite = np.isfinite(loss) and np.isfinite(gradient).all()
        return _State(x, loss, done=None if finite else Status.NON_FINITE)

    def finished(self, state: _State) -> Status | None:
        return state.done or (Status.ITERATION_LIMIT if state.iteration >= self.monitor.iterations else None)

    def step(self, state: _State) -> _State:
        """One block."""
        block = min(int(np.clip(state.iteration, SHORTEST, LONGEST)), self.monitor.iterations - state.iteration)

        def stop_in_time(_: np.ndarray) -> None:
            if self.monitor.out_of_time:
                raise StopIteration

        options = {"maxiter": block, "maxcor": MEMORY, "ftol": 0.0, "gtol": 0.0, "maxfun": 30 * block}
        found = minimize(self.objective, state.x, jac=True, method="L-BFGS-B", callback=stop_in_time, options=options)
        loss, done = float(found.fun), None
        if not loss <= state.loss or not found.nit:
            return _State(state.x, state.loss, state.iteration + int(found.nit), Status.STALLED)
        if loss < FLOOR or (block == LONGEST == found.nit and loss > STALL * state.loss):
            done = Status.CONVERGED
        return _State(np.array(found.x), loss, state.iteration + int(found.nit), done)

    def look(self, state: _State) -> Look:
        total = self.monitor.iterations
        self.set(state.x)
        return look_at(self.problem, self.monitor.limits, self.loss.certified(), "l-bfgs", state.iteration, total)
