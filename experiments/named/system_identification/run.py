"""``observer experiment system_identification``: contracting and Lipschitz RENs against GRU and LSTM of equal size.

A simulated Wiener-Hammerstein system, or with ``--data DIR`` the F16 ground vibration test, whose published errors stand
beside. All models have about as many parameters, the same windows and as many iterations. For each the gain that an adversary
finds, which for a Lipschitz REN must stay below the bound that it was built for.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.named.system_identification.data import Data, f16, wiener_hammerstein
from experiments.runner import Parts, Size, at_least_one, one_thread

PUBLISHED = {None: 16.2, 100.0: 17.2, 60.0: 18.5, 40.0: 20.1, 20.0: 25.7, 10.0: 30.0}  # NRMSE %, F16, by gamma


@dataclass(frozen=True)
class IdentificationSize(Size):
    """The RENs; bounds in scaled units; training, at each of the rates ``learning``; data; the adversary (``ascent``:
    its iterations).
    """

    nx: int = 10
    neurons: int = 24
    rate: float = 0.98
    gammas: tuple[float, ...] = (8.0, 4.0, 2.0)
    iterations: int = 1500
    batch: int = 32
    window: int = 256
    records: int = 60
    length: int = 1000
    tests: int = 8
    learning: tuple[float, ...] = (5e-3, 2e-2)
    steps: int = 200
    pairs: int = 16
    ascent: int = 150


FULL = IdentificationSize()
F16 = {
    "nx": 32,
    "neurons": 64,
    "rate": 0.998,
    "gammas": (100.0, 40.0, 10.0),
    "iterations": 3000,
    "window": 1024,
    "batch": 16,
}
SMOKE = IdentificationSize(2, 3, 0.9, (2.0,), 3, 2, 24, 3, 40, 2, (1e-2, 2e-2), 12, 2, 3, name="smoke")


@dataclass(frozen=True)
class Models:
    """The data, and one row per model."""

    size: IdentificationSize
    seed: int
    data: Data
    rows: Sequence[Mapping[str, Any]]


@one_thread()
def measure(size: IdentificationSize, seed: int, parts: Parts, data: str | Path | None = None) -> Models:
    """Train all models; it passes when every certificate holds and no observed gain exceeds its bound.

    data : the folder of the F16 files. Raises InputError for a folder without them.
    """
    at_least_one(neurons=size.neurons, iterations=size.iterations)
    if data and size.name == "full":  # the size of F16, but for what was asked for
        size = replace(
            size, **{name: value for name, value in F16.items() if getattr(size, name) == getattr(FULL, name)}
        )
    records = f16(Path(data)) if data else wiener_hammerstein(size.records, size.length, size.tests, seed)
    jobs: list[tuple[str, float | None]] = [
        ("contracting REN", None), *(("Lipschitz REN", gamma) for gamma in size.gammas), ("GRU", None), ("LSTM", None)
    ]  # fmt: skip
    rows = []
    for kind, gamma in jobs:
        name = kind if gamma is None else f"{kind}, bound {gamma:g}"
        own = {k: v for k, v in size.to_data().items() if k != "gammas"}
        key = {"size": own, "seed": seed, "data": str(data or "simulated"), "model": name}
        part = f"parts/{name.replace(' ', '_').replace(',', '').replace('.', '_')}"
        row = parts.keep(part, key, identify, kind, gamma, name, records, size, seed, parts.say)
        rows.append(row)
        parts.say(f"{name}: test NRMSE {row['nrmse']:.2f} %, gain found {row['gain']:.3f}, {row['seconds']:.0f} s")
    return Models(size, seed, records, rows)


def identify(
    kind: str,
    gamma: float | None,
    name: str,
    data: Data,
    size: IdentificationSize,
    seed: int,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """One model: training at each rate of learning, the one of the lower loss tested; the gain found, and the certificate."""
    from experiments.named.system_identification import models

    last = [time.perf_counter()]

    def progress(k: int, loss: float) -> None:
        if time.perf_counter() - last[0] > 5.0:
            last[0] = time.perf_counter()
            report(f"{name}: iteration {k + 1}/{size.iterations}, loss {loss:.3g}")

    tries = []
    for rate in size.learning:
        model = models.make(kind, data.nu, data.ny, size.nx, size.neurons, size.rate, gamma, seed)
        losses, seconds = models.train(model, data, size.iterations, size.batch, size.window, rate, seed, progress)
        late = sum(losses[-max(1, len(losses) // 10) :])  # the same windows for all: the test records play no part
        tries.append((late if late == late else float("inf"), rate, model, losses, seconds))
    _, learning, model, losses, seconds = min(tries, key=lambda item: item[0])
    error = models.test_error(model, data)
    gain = models.observed_gain(model, data.nu, size.steps, size.pairs, size.ascent, seed)
    proof = model.double().verify() if "REN" in kind else None  # type: ignore[operator]
    every = max(1, len(losses) // 300)
    return {
        "model": name, "kind": kind, "gamma": gamma, "parameters": models.count(model), "losses": losses[::every], "every": every,
        "seconds": seconds, "learning": learning, "gain": gain, "proved": None if proof is None else proof.holds,
        "margin": None if proof is None else proof.margin, **error,
    }  # fmt: skip
