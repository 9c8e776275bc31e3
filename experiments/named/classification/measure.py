"""One classifier, measured: accuracy under noise, certified and attacked accuracy over radii, and whether they contradict."""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.named.classification.attacks import accuracy, attacked, noise_sweep
from experiments.named.classification.certificates import lipschitz_radius, norm_product
from experiments.named.classification.data import Images
from experiments.runner import Measured

AUTHORS = Path(__file__).resolve().parents[4] / "shared" / "golden" / "authors_lbdn_mnist.npz"
RADII = {
    "mnist": (0.0, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0),
    "digits": (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0),
}


@dataclass(frozen=True)
class OnImages(Measured):
    """Classifiers by name, and the images on which they were measured."""

    images: Images


@dataclass(frozen=True, eq=False)
class Classifier:
    """``fast`` (float32) and ``exact`` (float64): images (m, pixels) to logits (m, 10). ``gamma``: a Lipschitz bound of
    ``exact``. ``radius``: certified radii (m,) of images and labels. ``facts``: what else belongs into the table.
    """

    fast: Callable[[torch.Tensor], torch.Tensor]
    exact: Callable[[torch.Tensor], torch.Tensor]
    radius: Callable[[torch.Tensor, torch.Tensor], np.ndarray]
    facts: dict[str, Any]


def bounded(network: Any, seconds: float = float("nan"), image: tuple[int, int, int] | None = None) -> Classifier:
    """A trained LBDN, dense or for images of size ``image``, with its proof recomputed in float64."""

    def logits(explicit: Any) -> Callable[[torch.Tensor], torch.Tensor]:
        size = image
        return explicit if size is None else lambda x: explicit(x.reshape(len(x), *size))

    with torch.no_grad():
        fast = copy.deepcopy(network).float().explicit()
        network = copy.deepcopy(network).double()
        exact, verdict, gamma = network.explicit(), network.verify(), float(network.gamma.detach())
    facts = {
        "gamma": gamma, "proved": verdict.holds, "margin": verdict.margin, "train_seconds": seconds,
        "parameters": sum(p.numel() for p in network.parameters()),
    }  # fmt: skip
    return Classifier(logits(fast), logits(exact), lambda x, y: lipschitz_radius(logits(exact), gamma, x, y), facts)


def dense(network: torch.nn.Sequential, seconds: float) -> Classifier:
    """A trained ordinary network; its Lipschitz bound is the product of the norms of its layers."""
    fast = copy.deepcopy(network).float().requires_grad_(False)
    exact, gamma = copy.deepcopy(network).double().requires_grad_(False), norm_product(network)
    facts = {
        "gamma": gamma, "proved": None, "margin": None, "train_seconds": seconds,
        "parameters": sum(p.numel() for p in network.parameters()),
    }  # fmt: skip
    return Classifier(fast, exact, lambda x, y: lipschitz_radius(exact, gamma, x, y), facts)


def tensors(images: Images) -> tuple[torch.Tensor, ...]:
    """Training images (float32), labels, test images (float32), labels."""
    x, test = (torch.from_numpy(np.ascontiguousarray(a)).float() for a in (images.train_x, images.test_x))
    y, test_y = (torch.from_numpy(np.asarray(a, np.int64)) for a in (images.train_y, images.test_y))
    return x, y, test, test_y


def evaluate(
    classifier: Classifier,
    x: torch.Tensor,
    y: torch.Tensor,
    radii: Sequence[float],
    *,
    levels: Sequence[float] = (),
    few: int | None = None,
    steps: int,
    restarts: int,
    seed: int,
) -> dict[str, Any]:
    """Accuracy, under noise, certified and attacked over ``radii``; the attack takes the first ``few`` images.

    ``contradictions``: images that are certified at a radius and were broken within it; must be none.
    """
    x = x.double()
    found: dict[str, Any] = dict(classifier.facts)
    found["accuracy"] = accuracy(classifier.exact, x, y)
    found["noise"] = noise_sweep(classifier.exact, x, y, levels, seed + 1)
    begin = time.process_time()
    radius = classifier.radius(x, y)
    found["certify_seconds"] = time.process_time() - begin
    found["certified"] = [float((radius > r).mean()) for r in radii]
    few = min(len(x), few or len(x))
    # Rounded to float32 first, so that both precisions see the same images.
    seen = x[:few].float()
    begin = time.process_time()
    broken = attacked(
        classifier.fast, seen, y[:few], radii, steps=steps, restarts=restarts, seed=seed + 2, exact=classifier.exact
    )
    found["attack_seconds"] = time.process_time() - begin
    own = classifier.radius(seen.double(), y[:few])
    found |= judged(own, broken, radii)
    return found


def judged(radius: np.ndarray, broken: np.ndarray, radii: Sequence[float]) -> dict[str, Any]:
    """Certified accuracy of the attacked images, the attacked one, and the images on which the two contradict."""
    certified = np.array([radius > r for r in radii])
    return {
        "certified_same": certified.mean(axis=1).tolist(),
        "attacked": (~broken).mean(axis=1).tolist(),  # not 1 - mean, whose rounding differs
        "contradictions": int((certified & broken).any(axis=0).sum()),
        "attacked_images": broken.shape[1],
    }


def progress(name: str, row: Mapping[str, Any]) -> str:
    """One line of progress."""
    certified, attacked = row["certified_same"], row["attacked"]
    return (
        f"{name}: accuracy {100 * row['accuracy']:.2f} %, trained in {row['train_seconds'] or 0:.0f} s; "
        f"certified / attacked {', '.join(f'{100 * c:.1f}/{100 * a:.1f}' for c, a in zip(certified, attacked, strict=True))} %"
    )
