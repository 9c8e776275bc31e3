"""What was certified, as fingerprints: one per matrix, one for the plant. A change in a last digit is a change.

So are those of what the bounds were derived from: the options, and what searches found and no rule gives again (metrics,
multipliers, the points where something is attained). Everything else in a certificate follows from these.
"""

from hashlib import sha256
from typing import Any

import numpy as np

from observer.certification.bounds import Bounds
from observer.networks.ren.explicit import WEIGHTS
from observer.state_observer import RENObserver
from systems.discretization import DiscreteSystem


def identity(observer: RENObserver, plant: DiscreteSystem, bounds: Bounds | None = None) -> dict[str, str]:
    """The first 16 hexadecimal digits of the SHA-256 of every matrix (float64, shape first), of the activation and the plant.

    With ``bounds`` also of their options, and of what their searches found.
    """
    prints = {name: _array(getattr(observer.weights, name)) for name in WEIGHTS}
    prints |= {"metric": _array(observer.metric), "multipliers": _array(observer.multipliers)}
    prints["activation"] = str(observer.weights.activation)
    made = (getattr(plant, name, "") for name in ("dt", "method", "substeps"))
    prints["plant"] = _text(f"{getattr(plant.system, 'fingerprint', plant.system.name)} {' '.join(map(str, made))}")
    if bounds is not None:
        options = [bounds.region.how, bounds.seed, bounds.work, bounds.gap]
        box = _array(bounds.region.box) if bounds.region.how == "given" else ""
        prints["options"] = _text(" ".join(map(repr, [*options, box])))
        prints["found"] = _text(" ".join(map(_array, _found(bounds))))
    return prints


def changed(stated: dict[str, str], found: dict[str, str]) -> list[str]:
    """Names of what differs, in the order of the certificate, and of what is there only once."""
    names = [*stated, *(name for name in found if name not in stated)]
    return [name for name in names if found.get(name) != stated.get(name)]


def _found(bounds: Bounds) -> list[Any]:
    arrays: list[Any] = []
    for p in (*bounds.proofs, *bounds.unforced):
        arrays += [
            p.contraction.metric,
            p.contraction.multipliers,
            p.gains.error_multipliers,
            p.gains.noise_multipliers,
        ]
        arrays += [p.residual.attained_at, p.before.attained_at]
    return arrays if bounds.horizon is None else [*arrays, bounds.horizon.metric, bounds.horizon.attained_at]


def _text(value: str) -> str:
    return sha256(value.encode()).hexdigest()[:16]


def _array(value: Any) -> str:
    array = np.ascontiguousarray(np.asarray(value, dtype="<f8"))
    return sha256(f"{array.shape}".encode() + array.tobytes()).hexdigest()[:16]
