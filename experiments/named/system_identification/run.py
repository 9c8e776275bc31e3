"""``observer experiment system_identification``: contracting and Lipschitz RENs against GRU and LSTM of equal size.

A simulated Wiener-Hammerstein system, or with ``--data DIR`` the F16 ground vibration test, whose published errors stand
beside. All models have about as many parameters, the same windows and as many updates. For each the gain that an adversary
finds, which for a Lipschitz REN must stay below the bound that it was built for.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from experiments.runner import finish, interruptible, kept, one_thread, refuse
from systems.base.errors import InputError

PUBLISHED = {None: 16.2, 100.0: 17.2, 60.0: 18.5, 40.0: 20.1, 20.0: 25.7, 10.0: 30.0}  # NRMSE %, F16, by gamma


@dataclass(frozen=True)
class Size:
    """The RENs; bounds in scaled units; training, at each of the rates ``learning``; data; the adversary."""

    nx: int = 10
    nv: int = 24
    rate: float = 0.98
    gammas: tuple[float, ...] = (8.0, 4.0, 2.0)
    updates: int = 1500
    batch: int = 32
    window: int = 256
    learning: tuple[float, ...] = (5e-3, 2e-2)
    records: int = 60
    length: int = 1000
    tests: int = 8
    steps: int = 200
    pairs: int = 16
    iterations: int = 150
    name: str = "full"


F16 = Size(nx=32, nv=64, rate=0.998, gammas=(100.0, 40.0, 10.0), updates=3000, window=1024, batch=16)
SMOKE = Size(2, 3, 0.9, (2.0,), 3, 2, 24, (1e-2, 2e-2), 3, 40, 2, 12, 2, 3, "smoke")


def run(
    out: Path,
    *,
    full: bool = False,
    seed: int = 0,
    quiet: bool = False,
    report: Callable[[str], None] = print,
    **options: Any,
) -> int:
    """Train all models into ``out``; 0 when every certificate holds and no observed gain exceeds its bound.

    ``options``: data (folder of the F16 files), epochs (updates), neurons, fresh. ``full`` changes nothing.
    Errors: InputError for a folder without the files.
    """
    refuse(options, ("epochs", "neurons", "data"))
    from experiments.named.system_identification.data import f16, wiener_hammerstein

    size: Size = options.get("size") or (F16 if options.get("data") else Size())
    size = replace(size, updates=int(options.get("epochs") or size.updates), nv=int(options.get("neurons") or size.nv))
    if min(size.nv, size.updates) < 1:
        raise InputError("--neurons and --epochs are numbers of at least 1")
    if options.get("data"):
        data = f16(Path(options["data"]))
    else:
        data = wiener_hammerstein(size.records, size.length, size.tests, seed)
    jobs: list[tuple[str, float | None]] = [
        ("contracting REN", None), *(("Lipschitz REN", gamma) for gamma in size.gammas), ("GRU", None), ("LSTM", None)
    ]  # fmt: skip
    rows = []
    with interruptible(out), one_thread():
        for kind, gamma in jobs:
            name = kind if gamma is None else f"{kind}, bound {gamma:g}"
            own = {k: v for k, v in asdict(size).items() if k != "gammas"}
            key = {"size": own, "seed": seed, "data": str(options.get("data") or "simulated"), "model": name}
            part = name.replace(" ", "_").replace(",", "").replace(".", "_")
            row = kept(
                out, part, key,
                lambda kind=kind, gamma=gamma, name=name: identify(kind, gamma, name, data, size, seed, report),
                bool(options.get("fresh")),
            )  # fmt: skip
            rows.append(row)
            report(f"{name}: test NRMSE {row['nrmse']:.2f} %, gain found {row['gain']:.3f}, {row['seconds']:.0f} s")
    from experiments.named.system_identification.page import content

    asked = "".join(f" --{name} {options[name]}" for name in ("data", "epochs", "neurons") if options.get(name))
    command = f"observer experiment system_identification{asked} --seed {seed} --out {out}"
    criteria, metrics, page = content(rows, data, size, command)
    return finish(out, "system_identification", criteria, metrics, page, report)


def identify(
    kind: str, gamma: float | None, name: str, data: Any, size: Size, seed: int, report: Callable[[str], None]
) -> dict[str, Any]:
    """One model: training at each rate of learning, the one of the lower loss tested; the gain found, and the certificate."""
    from experiments.named.system_identification import models

    told = [time.perf_counter()]

    def tell(k: int, loss: float) -> None:
        if time.perf_counter() - told[0] > 5.0:
            told[0] = time.perf_counter()
            report(f"{name}: update {k + 1}/{size.updates}, loss {loss:.3g}")

    tries = []
    for rate in size.learning:
        model = models.make(kind, data.nu, data.ny, size.nx, size.nv, size.rate, gamma, seed)
        losses, seconds = models.train(model, data, size.updates, size.batch, size.window, rate, seed, tell)
        late = sum(losses[-max(1, len(losses) // 10) :])  # the same windows for all: the test records play no part
        tries.append((late if late == late else float("inf"), rate, model, losses, seconds))
    _, learning, model, losses, seconds = min(tries, key=lambda item: item[0])
    error = models.test_error(model, data)
    gain = models.observed_gain(model, data.nu, size.steps, size.pairs, size.iterations, seed)
    proof = model.double().verify() if "REN" in kind else None  # type: ignore[operator]
    every = max(1, len(losses) // 300)
    return {
        "model": name, "kind": kind, "gamma": gamma, "parameters": models.count(model), "losses": losses[::every], "every": every,
        "seconds": seconds, "learning": learning, "gain": gain, "proved": None if proof is None else proof.holds,
        "margin": None if proof is None else proof.margin, **error,
    }  # fmt: skip
