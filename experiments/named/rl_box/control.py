"""The box under a learned controller: simulation with gradients, training, and the slope of the control law.

    q+ = q + dt v,   v+ = v + dt (u - k q - mu v|v|)/m,   u = K(q, v, r)       m = 1, k = 5, mu = 0.5, dt = 0.02, T = 4 s

    cost = mean over time and references of 10 (q - r)^2 + v^2 + 0.1 (u - k r)^2

from rest at 0, references r uniform in [-1, 1]. Source: Barbara et al. (arXiv 2306.12612), section on learning-based
control, whose friction term is quadratic without its sign; here it opposes the motion.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from observer.networks import LBDN

MASS, SPRING, FRICTION, DT, DURATION = 1.0, 5.0, 0.5, 0.02, 4.0
WEIGHTS = (10.0, 1.0, 0.1)  # of position, velocity and control
GAMMA = 20.0

Controller = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Motion:
    """q, v, u (N, batch) at the times k dt."""

    q: torch.Tensor
    v: torch.Tensor
    u: torch.Tensor

    def cost(self, r: torch.Tensor) -> torch.Tensor:
        """The mean cost () for the references r (batch,)."""
        errors = ((self.q - r).square(), self.v.square(), (self.u - SPRING * r).square())
        return sum(weight * error.mean() for weight, error in zip(WEIGHTS, errors, strict=True))  # type: ignore[return-value]


def simulate(control: Controller, r: torch.Tensor, steps: int, noise: torch.Tensor | None = None) -> Motion:
    """The motion from rest for the references r (batch,); ``noise`` (N, batch, 2) is added to what K sees of (q, v)."""
    q, v = torch.zeros_like(r), torch.zeros_like(r)
    states: list[tuple[torch.Tensor, ...]] = []
    for k in range(steps):
        seen = torch.stack((q, v), -1) if noise is None else torch.stack((q, v), -1) + noise[k]
        u = control(torch.cat((seen, r[:, None]), -1))[:, 0]
        states.append((q, v, u))
        q, v = q + DT * v, v + DT * (u - SPRING * q - FRICTION * v * v.abs()) / MASS
    return Motion(*(torch.stack(values) for values in zip(*states, strict=True)))


def steps_of(duration: float = DURATION) -> int:
    """Samples of a run."""
    return round(duration / DT)


def references(count: int, seed: int) -> torch.Tensor:
    """``count`` references, uniform in [-1, 1]."""
    return 2 * torch.rand(count, generator=torch.Generator().manual_seed(seed)) - 1


def lbdn(width: int, seed: int, layers: int = 2) -> LBDN:
    """u from (q, v, r), with gain at most GAMMA."""
    return LBDN(3, (width,) * layers, 1, gamma=GAMMA, activation="relu", seed=seed, dtype="float32")


def dense(width: int, seed: int) -> torch.nn.Module:
    """The plain network of the same layers, with the initial weights of torch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.nn.Sequential(
            torch.nn.Linear(3, width), torch.nn.ReLU(), torch.nn.Linear(width, width), torch.nn.ReLU(),
            torch.nn.Linear(width, 1),
        )  # fmt: skip


def once(network: Any) -> Controller:
    """The controller for one update: explicit weights built here, once."""
    return network.explicit() if isinstance(network, LBDN) else network


def train(
    network: Any, r: torch.Tensor, iterations: int, rate: float, steps: int, progress: Callable[[int, float], None]
) -> list[float]:
    """Adam on the cost of all references at once, one update per iteration; the cost before each update, and at the end."""
    optimizer, costs = torch.optim.Adam(network.parameters(), lr=rate), []
    for k in range(iterations):
        optimizer.zero_grad()
        loss = simulate(once(network), r, steps).cost(r)
        loss.backward()
        optimizer.step()
        costs.append(float(loss.detach()))
        progress(k, costs[-1])
    with torch.no_grad():
        costs.append(float(simulate(once(network), r, steps).cost(r)))
    return costs


def steepest(control: Controller, points: int, seed: int, reach: float = 2.0) -> float:
    """The largest slope |dK/d(q, v, r)| found: at ``points`` of the box |.| <= reach, and along steps from the best of them.

    A lower bound of the Lipschitz constant: by the mean value theorem no pair of points of a box is steeper than its
    steepest point. The networks are piecewise linear, so that a search jumps between pieces, with steps that shrink.
    """
    generator = torch.Generator().manual_seed(seed)

    def slopes(z: torch.Tensor) -> torch.Tensor:
        z = z.clone().requires_grad_()
        return torch.autograd.grad(control(z).sum(), z)[0].norm(dim=-1)

    z = reach * (2 * torch.rand(points, 3, generator=generator) - 1)
    values = slopes(z)
    keep = max(1, points // 50)
    best, order = values.topk(keep)
    centres = z[order]
    for scale in (0.5, 0.2, 0.1, 0.05, 0.02):
        for _ in range(10):
            tries = (centres + scale * torch.randn(centres.shape, generator=generator)).clamp(-reach, reach)
            found = slopes(tries)
            better = found > best
            centres, best = torch.where(better[:, None], tries, centres), torch.where(better, found, best)
    return float(best.max())


def noisy_cost(control: Controller, r: torch.Tensor, deviation: float, steps: int, seed: int) -> tuple[float, float]:
    """(cost, root mean square of the change of the control) under measurement noise of q and v, the same for all."""
    generator = torch.Generator().manual_seed(seed)
    noise = deviation * torch.randn(steps, len(r), 2, generator=generator)
    with torch.no_grad():
        quiet, noisy = simulate(control, r, steps), simulate(control, r, steps, noise)
        return float(noisy.cost(r)), math.sqrt(float((noisy.u - quiet.u).square().mean()))


def least_cost(r: torch.Tensor, steps: int, iterations: int) -> float:
    """The cost of the best inputs for each reference by itself, found by L-BFGS: no controller can do better."""
    u = (SPRING * r).repeat(steps, 1).requires_grad_()
    optimizer = torch.optim.LBFGS([u], max_iter=iterations, history_size=20, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        rows = iter(u)
        loss = simulate(lambda _: next(rows)[:, None], r, steps).cost(r)
        loss.backward()
        return loss

    optimizer.step(closure)
    return float(closure().detach())
