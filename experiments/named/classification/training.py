"""Training of image classifiers on one core: full batches as published, or small ones, with any loss."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from observer.networks.kernels.optimizer import Adam

if TYPE_CHECKING:
    from observer.networks import ConvLBDN

#: loss(network, x, y, progress in [0, 1], generator) -> a number to lower
Loss = Callable[[Any, torch.Tensor, torch.Tensor, float, torch.Generator], torch.Tensor]


def plain_network(pixels: int, hidden: Sequence[int], seed: int) -> torch.nn.Sequential:
    """An ordinary dense relu network pixels - hidden - 10 in float32, He's normal weights and zero biases."""
    generator, layers = torch.Generator().manual_seed(seed), []
    sizes = (pixels, *hidden, 10)
    for k in range(len(sizes) - 1):
        layer = torch.nn.Linear(sizes[k], sizes[k + 1])
        with torch.no_grad():
            layer.weight.copy_((2 / sizes[k]) ** 0.5 * torch.randn(layer.weight.shape, generator=generator))
            layer.bias.zero_()
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def convolutional_network(
    image: tuple[int, int], channels: Sequence[int], hidden: Sequence[int], gamma: float, seed: int
) -> "ConvLBDN":
    """An untrained convolutional LBDN for images of size ``image`` in float32, with the first of the hidden layers."""
    from observer.networks import ConvLBDN

    factors = (2, 2, 1, 1) if image[0] % 4 == 0 and image[0] > 8 else (2, 1, 1, 1)
    return ConvLBDN(
        (1, *image), tuple(channels), tuple(hidden[:1]), 10, downsampling=factors[: len(channels)],
        gamma=gamma, seed=seed, dtype="float32",
    )  # fmt: skip


def cross_entropy(
    network: Any, x: torch.Tensor, y: torch.Tensor, progress: float, generator: torch.Generator
) -> torch.Tensor:
    """The mean of -log softmax(logits)_y."""
    return torch.nn.functional.cross_entropy(network(x), y)


def train(
    network: Any,
    x: torch.Tensor,
    y: torch.Tensor,
    schedule: Sequence[tuple[int, float]],
    *,
    batch: int | None = None,
    loss: Loss = cross_entropy,
    seed: int = 0,
) -> float:
    """Adam on ``loss``, in place; the processor time [s].

    schedule : (passes over the images, rate) one after the other. batch : images per update; None: all of them.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = Adam(network.parameters(), schedule[0][1])
    passes, done, begin = sum(count for count, _ in schedule), 0, time.process_time()
    size = len(x) if batch is None else min(batch, len(x))
    for count, rate in schedule:
        for entry in optimizer.entries:
            entry.rate = rate
        for _ in range(count):
            order = None if batch is None else torch.randperm(len(x), generator=generator)
            for start in range(0, len(x) - size + 1, size):
                part = slice(None) if order is None else order[start : start + size]
                progress = (done + start / len(x)) / passes
                optimizer.zero_grad()
                loss(network, x[part], y[part], progress, generator).backward()
                optimizer.step()
            done += 1
    return time.process_time() - begin
