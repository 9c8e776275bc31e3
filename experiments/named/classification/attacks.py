"""Attacks on image classifiers: uniform noise, and projected gradient descent in a Euclidean ball.

An attack bounds the accuracy in a ball from above, as a certificate does from below: on no image may they contradict.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

Logits = Callable[[torch.Tensor], torch.Tensor]


def margins(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The logit of the label minus the largest other one (m,), for logits (m, classes); positive: classified rightly."""
    own = logits.gather(1, y[:, None])[:, 0]
    return own - logits.scatter(1, y[:, None], float("-inf")).amax(dim=1)


def in_chunks(function: Callable[..., torch.Tensor], *arrays: torch.Tensor, size: int = 2000) -> torch.Tensor:
    """``function`` over ``size`` rows at a time."""
    return torch.cat([function(*(a[k : k + size] for a in arrays)) for k in range(0, len(arrays[0]), size)])


def accuracy(logits: Logits, x: torch.Tensor, y: torch.Tensor) -> float:
    """The share of images in [0, 1] whose largest logit is that of the label."""
    with torch.no_grad():
        return float((in_chunks(logits, x).argmax(dim=1) == y).double().mean())


def noise_sweep(logits: Logits, x: torch.Tensor, y: torch.Tensor, levels: Sequence[float], seed: int) -> list[float]:
    """Accuracy under x + U[-eps, eps] on every pixel, not clipped (as published), one fresh draw per level."""
    generator, found = torch.Generator().manual_seed(seed), []
    for level in levels:
        noise = level * (2 * torch.rand(x.shape, generator=generator, dtype=x.dtype) - 1)
        found.append(accuracy(logits, x + noise, y))
    return found


def pgd(
    logits: Logits,
    x: torch.Tensor,
    y: torch.Tensor,
    radius: float,
    *,
    steps: int,
    generator: torch.Generator,
    random_start: bool = True,
    target: torch.Tensor | None = None,
) -> torch.Tensor:
    """Images (m, pixels) with |x_adversarial - x| <= radius, each the one of least margin on the way.

    Steps along the normalised gradient of the margin, from 2.5 radius/sqrt(steps) falling to a hundredth of it, projected onto
    the ball. ``target`` (m,): the class to be reached; the nearest one at each step where it is left out. Pixels may leave
    [0, 1]: a certificate holds for the ball.
    Source: Madry et al., arXiv 1706.06083 (loss: Carlini, Wagner, 1608.04644; targets: Gowal et al., 1910.09338).
    """
    if radius == 0:
        return x.clone()
    delta = torch.zeros_like(x)
    if random_start:
        delta = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        delta *= radius * torch.rand((len(x), 1), generator=generator, dtype=x.dtype) / _length(delta)
    best, least = delta.clone(), torch.full((len(x),), float("inf"), dtype=x.dtype)
    for k in range(steps + 1):
        delta = delta.detach().requires_grad_(True)
        found = logits(x + delta)
        margin = margins(found, y)
        aim = margin if target is None else (found.gather(1, y[:, None]) - found.gather(1, target[:, None]))[:, 0]
        (gradient,) = torch.autograd.grad(aim.sum(), delta)
        with torch.no_grad():
            better = margin < least
            least = torch.where(better, margin, least)
            best = torch.where(better[:, None], delta, best)
            if k < steps:
                step = 2.5 * radius / steps**0.5 * 0.01 ** (k / steps)
                delta = delta - step * gradient / _length(gradient)
                delta = delta * torch.clamp(radius / _length(delta), max=1.0)
    return (x + best).detach()


def attacked(
    logits: Logits,
    x: torch.Tensor,
    y: torch.Tensor,
    radii: Sequence[float],
    *,
    steps: int,
    restarts: int,
    seed: int,
    exact: Callable[[torch.Tensor], Any] | None = None,
) -> np.ndarray:
    """broken (radii, m): whether an image within the radius is classified wrongly, from the smallest radius up.

    Once broken, an image stays broken at larger radii (it lies in them). First from the image towards the nearest class at
    each step; then ``restarts`` times from random points, towards the largest, second largest, ... other logit of the image.

    exact : the classifier in float64 that judges what the attack found, with the perturbation scaled into the ball in
    float64; ``logits`` where it is left out.
    """
    generator = torch.Generator().manual_seed(seed)
    judge = logits if exact is None else exact
    broken = np.zeros((len(radii), len(x)), dtype=bool)
    with torch.no_grad():
        wrong = in_chunks(lambda a, b: margins(judge(a.double() if exact else a), b) <= 0, x, y).numpy()
        order = in_chunks(logits, x).scatter(1, y[:, None], float("-inf")).argsort(dim=1, descending=True)
    for r, radius in enumerate(radii):
        broken[r] = wrong if r == 0 else broken[r - 1] | wrong
        for restart in range(restarts + 1):
            left = torch.from_numpy(np.flatnonzero(~broken[r]))
            if radius == 0 or not len(left):
                break
            for part in left.split(1000):
                target = order[part, (restart - 1) % 9] if restart else None
                moved = pgd(
                    logits,
                    x[part],
                    y[part],
                    radius,
                    steps=steps,
                    generator=generator,
                    random_start=restart > 0,
                    target=target,
                )
                with torch.no_grad():
                    delta = moved.double() - x[part].double()
                    delta = delta * torch.clamp(radius / _length(delta), max=1.0)
                    images = x[part].double() + delta
                    images = images if exact is not None else images.to(x.dtype)
                    broken[r, part.numpy()] |= (margins(judge(images), y[part]) <= 0).numpy()
    return broken


def _length(v: torch.Tensor) -> torch.Tensor:
    return v.norm(dim=1, keepdim=True).clamp_min(1e-12)
