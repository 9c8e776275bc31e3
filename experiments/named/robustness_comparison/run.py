"""``observer experiment robustness_comparison``: networks robust by construction against the usual ways, in one table.

Accuracy, certified accuracy and attacked accuracy over radii, and processor time of training, certification and attack.
"""

from typing import Any

from experiments.named.classification.data import images_of
from experiments.named.classification.measure import OnImages, progress
from experiments.named.classification.methods import FULL, NAMES, SETTINGS, SMOKE, MethodSize, train_and_measure
from experiments.runner import Parts, chosen, one_thread

__all__ = ["FULL", "SMOKE", "measure"]


@one_thread()
def measure(size: MethodSize, seed: int, parts: Parts, data: Any = None, rows: str | None = None) -> OnImages:
    """Train by every method and compare; it passes when no certificate is contradicted and the bounds are proved.

    data : the folder of MNIST's IDX files; the embedded digits without it. rows : names of methods, separated by commas.
    """
    names, found = chosen(rows, tuple(NAMES)), {}
    images = images_of(data, size.train, size.test)
    for name in names:
        settings = SETTINGS[images.name]
        key = {
            "size": size.to_data(),
            "seed": seed,
            "settings": settings,
            "data": images.digest,
            "split": images.source,
        }
        found[name] = parts.keep(f"parts/{images.name}-{name}", key, train_and_measure, name, images, size, seed)
        parts.say(progress(NAMES[name], found[name]))
    return OnImages(size, seed, found, images)
