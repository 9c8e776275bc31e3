"""Six ways to a robust classifier, trained on the same images: each is one function, Images to what ``evaluate`` measures.

Plain training, adversarial training (Madry et al., arXiv 1706.06083), randomised smoothing (Cohen et al., 1902.02918), interval
bound propagation (Gowal et al., 1810.12715), and Lipschitz-bounded networks, dense and convolutional (Wang, Manchester,
2301.11526). All dense ones have the same layers; all are trained with Adam in batches of the same size.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from experiments.named.classification.attacks import accuracy, pgd
from experiments.named.classification.certificates import interval_margins, interval_radius, smoothing_radius, votes
from experiments.named.classification.data import Images
from experiments.named.classification.measure import RADII, Classifier, bounded, dense, evaluate, judged, tensors
from experiments.named.classification.training import convolutional_network, cross_entropy, plain_network, train
from experiments.runner import Size


@dataclass(frozen=True)
class MethodSize(Size):
    """Passes over the images in training; ``images`` that are certified and attacked; the attack; samples of the smoothed classifier."""

    hidden: tuple[int, ...] = (64, 64)
    channels: tuple[int, ...] = (8, 16)
    passes: int = 60
    conv_passes: int = 15
    batch: int = 100
    images: int = 500
    steps: int = 20
    restarts: int = 2
    few: int = 100
    many: int = 10_000
    judge: int = 500
    train: int | None = None
    test: int | None = None


FULL = MethodSize()
SMOKE = MethodSize(
    hidden=(12, 8), channels=(3,), passes=6, conv_passes=2, batch=10, images=30, steps=4, restarts=1, few=20, many=200, judge=50,
    train=300, test=40, name="smoke",
)  # fmt: skip

#: What is tuned to the size of the images: training radii, noise, and the bound of the logits.
SETTINGS = {
    "mnist": {"adversarial": 1.0, "interval": 0.5, "sigma": 0.5, "gamma": 5.0, "tight": 2.0},
    "digits": {"adversarial": 0.4, "interval": 0.2, "sigma": 0.25, "gamma": 5.0, "tight": 2.0},
}
FAILURE = 1e-3  # of each radius of randomised smoothing
NAMES = {
    "plain": "plain training", "adversarial": "adversarial training", "smoothing": "randomised smoothing",
    "interval": "interval bounds", "lbdn": "LBDN, gamma 5", "tight": "LBDN, gamma 2", "conv": "convolutional LBDN, gamma 2",
}  # fmt: skip


def train_and_measure(name: str, images: Images, size: MethodSize, seed: int) -> dict[str, Any]:
    """Train by one method and measure it; ``deterministic`` says whether its certificate holds without probability."""
    return _METHODS[name](images, size, SETTINGS[images.name], seed)


def _schedule(passes: int) -> tuple[tuple[int, float], ...]:
    late = max(1, passes // 3)
    return ((max(1, passes - late), 1e-3), (late, 1e-4))


def _evaluated(classifier: Classifier, images: Images, size: MethodSize, seed: int) -> dict[str, Any]:
    x, y = torch.from_numpy(images.test_x), torch.from_numpy(np.asarray(images.test_y, np.int64))
    options: dict[str, Any] = {"steps": size.steps, "restarts": size.restarts, "seed": seed, "few": size.images}
    return evaluate(classifier, x, y, RADII[images.name], **options) | {"deterministic": True}


def _train_dense(images: Images, size: MethodSize, seed: int, loss: Any = cross_entropy) -> tuple[Any, float]:
    x, y, _, _ = tensors(images)
    network = plain_network(x.shape[1], size.hidden, seed)
    return network, train(network, x, y, _schedule(size.passes), batch=size.batch, loss=loss, seed=seed)


def _plain(images: Images, size: MethodSize, settings: dict[str, float], seed: int) -> dict[str, Any]:
    network, seconds = _train_dense(images, size, seed)
    return _evaluated(dense(network, seconds), images, size, seed)


def _adversarial(images: Images, size: MethodSize, settings: dict[str, float], seed: int) -> dict[str, Any]:
    radius = settings["adversarial"]

    def loss(
        network: Any, x: torch.Tensor, y: torch.Tensor, progress: float, generator: torch.Generator
    ) -> torch.Tensor:
        moved = pgd(network, x, y, radius * min(1.0, 2 * progress), steps=7, generator=generator)
        return torch.nn.functional.cross_entropy(network(moved), y)

    network, seconds = _train_dense(images, size, seed, loss)
    return _evaluated(dense(network, seconds), images, size, seed) | {"setting": f"radius {radius:g}"}


def _interval(images: Images, size: MethodSize, settings: dict[str, float], seed: int) -> dict[str, Any]:
    radius = settings["interval"]

    def loss(
        network: Any, x: torch.Tensor, y: torch.Tensor, progress: float, generator: torch.Generator
    ) -> torch.Tensor:
        ramp = min(1.0, 1.5 * progress)
        worst = interval_margins(network, x, y, radius * ramp, every=True)
        proved = torch.nn.functional.cross_entropy(-worst, y)
        return (1 - ramp / 2) * torch.nn.functional.cross_entropy(network(x), y) + ramp / 2 * proved

    network, seconds = _train_dense(images, size, seed, loss)
    classifier = dense(network, seconds)
    network.requires_grad_(False)
    classifier = Classifier(
        classifier.fast, classifier.exact, partial(interval_radius, network, largest=8 * radius), classifier.facts
    )
    return _evaluated(classifier, images, size, seed) | {"setting": f"radius {radius:g}"}


def _lbdn(
    images: Images, size: MethodSize, settings: dict[str, float], seed: int, bound: str = "gamma"
) -> dict[str, Any]:
    from observer.networks import LBDN

    x, y, _, _ = tensors(images)
    network = LBDN(x.shape[1], size.hidden, 10, gamma=settings[bound], seed=seed, dtype="float32")
    seconds = train(network, x, y, _schedule(size.passes), batch=size.batch, seed=seed)
    return _evaluated(bounded(network, seconds), images, size, seed) | {"setting": f"gamma {settings[bound]:g}"}


def _conv(images: Images, size: MethodSize, settings: dict[str, float], seed: int) -> dict[str, Any]:
    x, y, _, _ = tensors(images)
    image = (1, *images.size)
    network = convolutional_network(images.size, size.channels, size.hidden, settings["tight"], seed)
    schedule = tuple((count, 2 * rate) for count, rate in _schedule(size.conv_passes))
    seconds = train(network, x.reshape(len(x), *image), y, schedule, batch=size.batch, seed=seed)
    return _evaluated(bounded(network, seconds, image), images, size, seed) | {
        "setting": f"gamma {settings['tight']:g}"
    }


def _smoothing(images: Images, size: MethodSize, settings: dict[str, float], seed: int) -> dict[str, Any]:
    import time

    sigma = settings["sigma"]

    def loss(
        network: Any, x: torch.Tensor, y: torch.Tensor, progress: float, generator: torch.Generator
    ) -> torch.Tensor:
        noise = sigma * torch.randn(x.shape, generator=generator)
        return torch.nn.functional.cross_entropy(network(x + noise), y)

    network, seconds = _train_dense(images, size, seed, loss)
    network.requires_grad_(False)
    _, _, x, y = tensors(images)
    x, y, radii = x[: size.images], y[: size.images], RADII[images.name]
    generator = torch.Generator().manual_seed(seed + 3)
    begin = time.process_time()
    radius = smoothing_radius(network, x, y, sigma, few=size.few, many=size.many, failure=FAILURE, generator=generator)
    certify = time.process_time() - begin
    begin = time.process_time()
    broken = attack_smoothed(network, x, y, radii, sigma, size, generator)
    return judged(radius, broken, radii) | {
        "accuracy": 1 - float(broken[0].mean()), "base_accuracy": accuracy(network, x, y),
        "certified": [float((radius > r).mean()) for r in radii],
        "gamma": None, "proved": None, "margin": None, "train_seconds": seconds, "certify_seconds": certify,
        "attack_seconds": time.process_time() - begin, "deterministic": False, "setting": f"sigma {sigma:g}",
        "parameters": sum(p.numel() for p in network.parameters()),
    }  # fmt: skip


def attack_smoothed(
    network: Any,
    x: torch.Tensor,
    y: torch.Tensor,
    radii: Any,
    sigma: float,
    size: MethodSize,
    generator: torch.Generator,
) -> np.ndarray:
    """broken (radii, m) for the majority vote under noise: descent of the margin of mean probabilities (8 fixed samples).

    The vote of ``size.judge`` fresh samples decides. Source: Salman et al., arXiv 1906.04584.
    """
    noise = sigma * torch.randn((8, 1, x.shape[1]), generator=generator)

    def mean_logits(images: torch.Tensor) -> torch.Tensor:
        stacked = network((images[None] + noise).reshape(-1, images.shape[1])).reshape(8, len(images), -1)
        return stacked.softmax(dim=2).mean(dim=0).clamp_min(1e-12).log()

    broken = np.zeros((len(radii), len(x)), dtype=bool)
    for r, radius in enumerate(radii):
        broken[r] = broken[r - 1] if r else False
        left = np.flatnonzero(~broken[r])
        if not len(left):
            continue
        part = torch.from_numpy(left)
        moved = pgd(mean_logits, x[part], y[part], radius, steps=size.steps, generator=generator, random_start=False)
        for k, image in zip(left, moved, strict=True):
            broken[r, k] = int(votes(network, image, sigma, size.judge, generator).argmax()) != int(y[k])
    return broken


_METHODS: dict[str, Callable[..., dict[str, Any]]] = {
    "plain": _plain, "adversarial": _adversarial, "smoothing": _smoothing, "interval": _interval, "lbdn": _lbdn,
    "tight": partial(_lbdn, bound="tight"), "conv": _conv,
}  # fmt: skip
