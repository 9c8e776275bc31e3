"""``observer experiment curve_fit``: an LBDN of bound 10 fits a step; how much of the allowed slope does it use?

The published example (RobustNeuralNetworks.jl, arXiv 2306.12612): a step on [-0.3, 0.3], gamma = 10, four hidden layers of
16 neurons. A network that is bounded by construction could be conservative: its slope would then stay well below gamma.
Here the largest slope is measured from inside (a fine grid, then ascent: a lower bound that is attained), and the loss is
compared with the least loss of any function of that slope, which is a convex problem with a known answer.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.runner import Measured, Parts, Size, at_least_one, one_thread

REACH, POINTS, PUBLISHED, REQUIRED = 0.3, 61, 0.94, 0.97


@dataclass(frozen=True)
class CurveFitSize(Size):
    """``iterations`` of full-batch Adam from ``rate`` down to a hundredth of it; the shape of the network; seeds."""

    gamma: float = 10.0
    hidden: tuple[int, ...] = (16, 16, 16, 16)
    iterations: int = 3000
    rate: float = 1e-2
    seeds: int = 5
    activation: str = "relu"


FULL = CurveFitSize()
SMOKE = CurveFitSize(hidden=(8, 8), iterations=120, seeds=1, name="smoke")


@one_thread()
def measure(size: CurveFitSize, seed: int, parts: Parts) -> Measured:
    """Fit the step for seeds ``seed`` to ``seed + 4``; it passes when each uses 97 % of the slope, and none more than all."""
    at_least_one(iterations=size.iterations)
    rows = []
    for s in range(seed, seed + size.seeds):
        row = parts.keep(f"parts/seed-{s}", {"size": size.to_data(), "seed": s}, fit_step, size, s)
        rows.append(row)
        parts.say(
            f"seed {s}: slope {row['slope']:.4f} of {size.gamma:g} ({100 * row['slope'] / size.gamma:.2f} %), "
            f"{row['seconds']:.1f} s"
        )
    return Measured(size, seed, rows)


def step(u: np.ndarray) -> np.ndarray:
    """The target: 0 for u < 0, 1 from 0 on."""
    return (u >= 0).astype(float)


def least_loss(u: np.ndarray, target: np.ndarray, gamma: float) -> tuple[float, np.ndarray]:
    """The least mean square error of any function with slopes of at most ``gamma`` at increasing u, and its values.

    Such a function is a sequence of values whose differences are at most gamma du: bounded linear least squares.
    """
    from scipy.optimize import lsq_linear

    n, reach = len(u), gamma * np.diff(u)
    matrix = np.tril(np.ones((n, n)))  # the first value, then differences
    bounds = (np.concatenate([[-np.inf], -reach]), np.concatenate([[np.inf], reach]))
    values = matrix @ lsq_linear(matrix, target, bounds, tol=1e-12).x
    return float(np.mean((values - target) ** 2)), values


def largest_slope(explicit: Any, low: float, high: float, points: int = 20001) -> tuple[float, float]:
    """(|dy/du|, u) where the slope of a network with one input and one output is largest: a fine grid, then ascent.

    The slope is exact (the derivative, not a difference). Ascent: the surroundings of the ten steepest places are
    sampled ever more finely. What is returned is attained, so that it is a lower bound of the Lipschitz constant.
    """
    import torch

    def slopes(u: np.ndarray) -> np.ndarray:
        v = torch.from_numpy(u)[:, None].requires_grad_(True)
        (gradient,) = torch.autograd.grad(explicit(v).sum(), v)
        return gradient.abs()[:, 0].numpy()

    u = np.linspace(low, high, points)
    found, width = slopes(u), (high - low) / (points - 1)
    for _ in range(6):
        best = u[np.argsort(found)[-10:]]
        u = np.clip((best[:, None] + width * np.linspace(-1, 1, 41)).ravel(), low, high)
        found, width = slopes(u), width / 20
    k = int(np.argmax(found))
    return float(found[k]), float(u[k])


def fit_step(size: CurveFitSize, seed: int) -> dict[str, Any]:
    """One fit by Adam: losses, the largest slope, the certificate, the fitted curve on a fine grid."""
    import torch

    from observer.networks import LBDN
    from observer.networks.kernels.optimizer import Adam

    u = np.linspace(-REACH, REACH, POINTS)
    target = step(u)
    begin, network = (
        time.process_time(),
        LBDN(1, size.hidden, 1, gamma=size.gamma, activation=size.activation, seed=seed),
    )
    optimizer, x, y = Adam(network.parameters(), size.rate), torch.from_numpy(u)[:, None], torch.from_numpy(target)
    losses = []
    for k in range(size.iterations):
        optimizer.zero_grad()
        loss = (network(x)[:, 0] - y).square().mean()
        loss.backward()
        for entry in optimizer.entries:
            entry.rate = size.rate * 0.01 ** (k / size.iterations)
        optimizer.step()
        losses.append(float(loss.detach()))
    seconds = time.process_time() - begin
    explicit, proof = network.explicit(), network.verify()
    with torch.no_grad():
        final = float((explicit(x)[:, 0] - y).square().mean())
        fine = np.linspace(-REACH, REACH, 601)
        curve = explicit(torch.from_numpy(fine)[:, None])[:, 0].numpy()
    frozen = network.requires_grad_(False).explicit()
    slope, place = largest_slope(frozen, -REACH, REACH)
    return {
        "slope": slope, "place": place, "loss": final, "least_loss": least_loss(u, target, size.gamma)[0],
        "losses": losses[:: max(1, size.iterations // 200)], "every": max(1, size.iterations // 200), "seconds": seconds,
        "proved": proof.holds, "margin": proof.margin, "claim": proof.guarantee, "u": fine, "curve": curve,
    }  # fmt: skip
