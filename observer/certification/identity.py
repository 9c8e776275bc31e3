"""What was certified, as fingerprints: one per matrix, one for the plant. A change in a last digit is a change."""

from hashlib import sha256
from typing import Any

import numpy as np

from observer.networks.ren.explicit import WEIGHTS
from observer.state_observer import RENObserver
from systems.discretization import DiscreteSystem


def identity(observer: RENObserver, plant: DiscreteSystem) -> dict[str, str]:
    """The first 16 hexadecimal digits of the SHA-256 of every matrix (float64, shape first), of the activation and the plant."""
    prints = {name: _array(getattr(observer.weights, name)) for name in WEIGHTS}
    prints |= {"metric": _array(observer.metric), "multipliers": _array(observer.multipliers)}
    prints["activation"] = str(observer.weights.activation)
    made = (getattr(plant, name, "") for name in ("dt", "method", "substeps"))
    text = f"{getattr(plant.system, 'fingerprint', plant.system.name)} {' '.join(map(str, made))}"
    return prints | {"plant": sha256(text.encode()).hexdigest()[:16]}


def changed(stated: dict[str, str], found: dict[str, str]) -> list[str]:
    """Names of what differs, in the order of the certificate."""
    return [name for name, value in stated.items() if found.get(name) != value]


def _array(value: Any) -> str:
    array = np.ascontiguousarray(np.asarray(value, dtype="<f8"))
    return sha256(f"{array.shape}".encode() + array.tobytes()).hexdigest()[:16]
