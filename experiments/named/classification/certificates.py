"""Radii within which a classification cannot change: from a Lipschitz bound, from intervals, and by randomised smoothing."""

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from experiments.named.classification.attacks import in_chunks, margins

_SLACK = 1 - 1e-9  # rounding of the margin in float64


def lipschitz_radius(logits: Callable[[torch.Tensor], torch.Tensor], gamma: float, x: Any, y: Any) -> np.ndarray:
    """margin / (sqrt2 gamma) (m,): two logits move by at most sqrt2 gamma |dx| against each other. Negative: wrong already.

    logits : in float64, with |logits(a) - logits(b)| <= gamma |a - b| proved. Source: Tsuzuku et al., arXiv 1802.04034.
    """
    with torch.no_grad():
        found = in_chunks(lambda a, b: margins(logits(a), b), x.double(), y).numpy()
    return found / (math.sqrt(2) * gamma) * _SLACK


def norm_product(network: torch.nn.Sequential) -> float:
    """The product of the spectral norms of a dense relu network: a Lipschitz bound, usually far too large."""
    layers = [layer for layer in network if isinstance(layer, torch.nn.Linear)]
    return math.prod(float(np.linalg.norm(layer.weight.detach().double().numpy(), 2)) for layer in layers)


def interval_margins(
    network: torch.nn.Sequential, x: torch.Tensor, y: torch.Tensor, radius: Any, every: bool = False
) -> torch.Tensor:
    """A lower bound (m,) of the margin over |dx| <= radius (a number, or (m, 1)); differentiable. ``every``: (m, classes), of
    the logit of the label minus each other one (zero at the label).

    The first layer sees a ball exactly, W x + b -+ radius |W_i|; then intervals; the last layer is folded into the differences
    of logits. For the ball in the maximum norm the first line would be radius |W_i|_1. Source: Gowal et al., arXiv 1810.12715.
    """
    layers = [layer for layer in network if isinstance(layer, torch.nn.Linear)]
    centre, spread = layers[0](x), radius * layers[0].weight.norm(dim=1).expand(len(x), -1)
    for layer in layers[1:-1]:
        low, high = (centre - spread).relu(), (centre + spread).relu()
        centre, spread = layer((high + low) / 2), (high - low) / 2 @ layer.weight.abs().T
    low, high = (centre - spread).relu(), (centre + spread).relu()
    differences = worst_differences(layers[-1], low, high, y)
    return differences if every else differences.scatter(1, y[:, None], float("inf")).amin(dim=1)


def worst_differences(last: torch.nn.Linear, low: torch.Tensor, high: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Lower bounds (m, classes) of logit_y - logit_j over h in [low, high] for logits W h + b; zero at j = y."""
    W = last.weight[y][:, None, :] - last.weight[None, :, :]  # (m, classes, features)
    b = last.bias[y][:, None] - last.bias[None, :]
    centre, spread = (high + low) / 2, (high - low) / 2
    return (W @ centre[:, :, None])[:, :, 0] + b - (W.abs() @ spread[:, :, None])[:, :, 0]


def interval_radius(network: torch.nn.Sequential, x: torch.Tensor, y: torch.Tensor, largest: float) -> np.ndarray:
    """The largest radius (m,) up to ``largest`` at which intervals prove the label, by bisection; -1 where already wrong."""
    network, x = copy.deepcopy(network).double(), x.double()
    with torch.no_grad():
        right = in_chunks(lambda a, b: interval_margins(network, a, b, 0.0) > 0, x, y).numpy()
        low, high = np.zeros(len(x)), np.full(len(x), largest)
        for _ in range(12):
            middle = torch.from_numpy((low + high) / 2)[:, None]

            def proved(a: torch.Tensor, b: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
                return interval_margins(network, a, b, r) > 1e-9

            good = in_chunks(proved, x, y, middle).numpy()
            low, high = np.where(good, middle[:, 0], low), np.where(good, high, middle[:, 0])
    return np.where(right, low * _SLACK, -1.0)


def smoothing_radius(
    logits: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    y: torch.Tensor,
    sigma: float,
    *,
    few: int,
    many: int,
    failure: float,
    generator: torch.Generator,
) -> np.ndarray:
    """sigma Phi^-1(p) (m,) with p the Clopper-Pearson lower bound of the share of the top class under N(0, sigma^2) noise.

    The top class is chosen from ``few`` samples and counted in ``many`` fresh ones, so that each radius is right with a
    probability of 1 - failure. -1: the smoothed classifier abstains (p <= 1/2), or is wrong. Source: Cohen, Rosenfeld, Kolter,
    arXiv 1902.02918.
    """
    from scipy.stats import beta, norm

    found = np.full(len(x), -1.0)
    for k in range(len(x)):
        top = int(votes(logits, x[k], sigma, few, generator).argmax())
        hits = int(votes(logits, x[k], sigma, many, generator)[top])
        p = float(beta.ppf(failure, hits, many - hits + 1)) if hits else 0.0
        if top == int(y[k]) and p > 0.5:
            found[k] = sigma * float(norm.ppf(p))
    return found


def votes(
    logits: Callable[[torch.Tensor], torch.Tensor],
    image: torch.Tensor,
    sigma: float,
    count: int,
    generator: torch.Generator,
) -> torch.Tensor:
    """How often (classes,) each class wins among ``count`` noisy copies of an image (pixels,)."""
    with torch.no_grad():
        noise = sigma * torch.randn((count, len(image)), generator=generator, dtype=image.dtype)
        return torch.bincount(logits(image + noise).argmax(dim=1), minlength=10)
