"""The loss in the direct parameters, for the solvers that move them: every parameter vector is a contracting network (MATH 2a)."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from observer.fitting.problem import Problem
from observer.networks.ren.contracting import ContractingREN
from observer.networks.ren.explicit import ExplicitREN


@contextmanager
def one_thread(small: bool = True) -> Iterator[None]:
    """One torch thread for ``small`` matrices: waking a second costs more than it does, milliseconds on a busy machine."""
    before = torch.get_num_threads()
    if small:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class DirectLoss:
    """f = (1/2m) sum |R r|^2 of a contracting network over the training transitions, R'R = M held fixed as data."""

    def __init__(self, problem: Problem, network: ExplicitREN, multipliers: np.ndarray) -> None:
        self.ren = ContractingREN.from_explicit(network, problem.metric, multipliers, problem.rate, polar=False)
        train = problem.train
        self.x, self.v, self.x_next = (
            torch.from_numpy(np.ascontiguousarray(a)) for a in (train.x, train.v, train.x_next)
        )
        self.root = torch.from_numpy(np.linalg.cholesky(problem.metric))

    def __call__(self) -> torch.Tensor:
        """f at the present parameters."""
        r = (self.ren.explicit().next_state(self.x, self.v) - self.x_next) @ self.root
        return 0.5 * r.square().sum(dim=1).mean()

    def certified(self) -> tuple[ExplicitREN, np.ndarray, np.ndarray]:
        """The network with its metric and multipliers."""
        with torch.no_grad():
            network = self.ren.explicit().to_numpy()
            metric, multipliers = self.ren.metric().numpy(), self.ren.multipliers().numpy()
        size = float(np.linalg.eigvalsh(metric)[-1])  # M and Lam scale together; largest eigenvalue 1 as elsewhere
        return network, metric / size, multipliers / size
