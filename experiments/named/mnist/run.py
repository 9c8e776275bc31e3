"""``observer experiment mnist``: LBDN, convolutional LBDN and a plain dense network under noise, attack and certificate.

The published example (RobustNeuralNetworks.jl, arXiv 2306.12612): 784-64-64-10, gamma = 5, relu, full-batch Adam, 300 iterations at
1e-3 and 300 at 1e-4, uniform noise of every pixel. Ours adds what the bound is for: no image with
margin > sqrt2 gamma r may be broken by any attack within r, which is checked image by image.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.named.classification.data import MNIST_TEST, Images, images_of
from experiments.named.classification.measure import OnImages, progress
from experiments.runner import Parts, Size, one_thread

NOISE = (0, 22, 44, 67, 89, 111, 133, 156, 178, 200)  # of 255
PUBLISHED = {
    "lbdn": (97.24, 97.17, 97.02, 96.81, 95.94, 95.65, 94.40, 93.65, 91.43, 89.63),
    "dense": (96.61, 96.11, 94.36, 90.72, 85.93, 79.15, 72.19, 67.08, 60.14, 55.05),
}
NAMES = {"lbdn": "LBDN", "conv": "convolutional LBDN", "dense": "plain dense", "authors": "the authors' LBDN"}
AUTHORS_ACCURACY = 0.9724


@dataclass(frozen=True)
class MnistSize(Size):
    """Schedules as (passes over the images, rate), full batches for dense networks; the attack; how many images are used (None: all)."""

    hidden: tuple[int, ...] = (64, 64)
    gamma: float = 5.0
    schedule: tuple[tuple[int, float], ...] = ((300, 1e-3), (300, 1e-4))
    channels: tuple[int, ...] = (8, 16)
    conv_schedule: tuple[tuple[int, float], ...] = ((15, 2e-3), (5, 3e-4))
    batch: int = 100
    steps: int = 20
    restarts: int = 2
    attacked: int = 1000
    train: int | None = None
    test: int | None = None


FULL = MnistSize()
SMOKE = MnistSize(hidden=(12,), schedule=((30, 1e-2),), channels=(3,), conv_schedule=((2, 1e-2),), steps=5, restarts=1,
             attacked=40, train=200, test=60, name="smoke")  # fmt: skip


@one_thread()
def measure(size: MnistSize, seed: int, parts: Parts, data: str | Path | None = None) -> OnImages:
    """Train and attack three classifiers; it passes when nothing contradicts a certificate and the bounds are proved.

    data : the folder of MNIST's IDX files; the embedded digits without it. The authors' weights are a row where
    ``shared/golden/authors_lbdn_mnist.npz`` lies beside the project and MNIST is there.
    """
    images, rows = images_of(data, size.train, size.test), {}
    for name in chosen(images):
        key = {"size": size.to_data(), "seed": seed, "data": images.digest, "split": images.source}
        rows[name] = parts.keep(f"parts/{images.name}-{name}", key, train_and_measure, name, images, size, seed)
        parts.say(progress(NAMES[name], rows[name]))
    return OnImages(size, seed, rows, images)


def chosen(images: Images) -> tuple[str, ...]:
    """The rows: three networks, and the authors' where their weights and the test set they were published for are there."""
    from experiments.named.classification.measure import AUTHORS

    own = ("lbdn", "conv", "dense")
    return (*own, "authors") if images.digest == MNIST_TEST and AUTHORS.is_file() else own


def make(name: str, images: Images, size: MnistSize, seed: int) -> Any:
    """An untrained network, float32."""
    from experiments.named.classification.training import convolutional_network, plain_network
    from observer.networks import LBDN

    pixels = images.size[0] * images.size[1]
    if name == "lbdn":
        return LBDN(pixels, size.hidden, 10, gamma=size.gamma, seed=seed, dtype="float32")
    if name == "dense":
        return plain_network(pixels, size.hidden, seed)
    return convolutional_network(images.size, size.channels, size.hidden, size.gamma, seed)


def train_and_measure(name: str, images: Images, size: MnistSize, seed: int) -> dict[str, Any]:
    """Train one network (or take the authors') and measure it on the test images."""
    import numpy as np
    import torch

    from experiments.named.classification import measure as m
    from experiments.named.classification.training import train
    from observer.networks.formats.exchange import load_network, read_parameters

    x, y, test, test_y = m.tensors(images)
    image = (1, *images.size)
    options = {"steps": size.steps, "restarts": size.restarts, "seed": seed, "few": size.attacked}
    levels = [level / 255 for level in NOISE]
    if name == "authors":
        everything = np.concatenate([images.train_x, images.test_x]) if not images.published_split else images.test_x
        labels = np.concatenate([images.train_y, images.test_y]) if not images.published_split else images.test_y
        # The attack takes the images that the other networks are tested on: they come first.
        order = np.roll(np.arange(len(labels)), len(images.test_y)) if not images.published_split else slice(None)
        x_all, y_all = torch.from_numpy(everything[order]), torch.from_numpy(labels[order].astype(np.int64))
        network = load_network("lbdn", read_parameters(m.AUTHORS))
        found = m.evaluate(m.bounded(network), x_all, y_all, m.RADII[images.name], levels=levels, **options)
        return found | {"images": len(y_all)}
    network = make(name, images, size, seed)
    if name == "conv":
        seconds = train(network, x.reshape(len(x), *image), y, size.conv_schedule, batch=size.batch, seed=seed)
        classifier = m.bounded(network, seconds, image)
    else:
        seconds = train(network, x, y, size.schedule, seed=seed)
        classifier = m.dense(network, seconds) if name == "dense" else m.bounded(network, seconds)
    # Of the images in float64: pixels k / 255 are not numbers of float32.
    found = m.evaluate(
        classifier, torch.from_numpy(images.test_x), test_y, m.RADII[images.name], levels=levels, **options
    )
    return found | {"images": len(test)}
