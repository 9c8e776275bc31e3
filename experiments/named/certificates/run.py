"""``observer experiment certificates``: fit, certify, and try to refute, plant by plant; a table of proved over attained.

Each plant is kept as soon as it is done: the same command goes on from there.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.named.certificates.trials import adversarial_trials, exact_starts, fresh_trials
from experiments.runner import Measured, Parts, Size, chosen

PLANTS = ("box", "van_der_pol", "duffing", "fitzhugh_nagumo", "lorenz", "pendulum")


@dataclass(frozen=True)
class CertificatesSize(Size):
    """Seconds to fit (``budget``), work to certify in shares of the usual, trials, and their length in shares of the plant's own."""

    neurons: int = 20
    budget: float = 20.0
    certify: float = 6.0
    trials: int = 13_809
    adversarial: int = 200
    plants: tuple[str, ...] = PLANTS
    exact: int = 2000
    length: float = 1.0


FULL = CertificatesSize()


def measure(size: CertificatesSize, seed: int, parts: Parts, rows: str | None = None) -> Measured:
    """Try the certificates of six plants; it passes when no trial in X crossed an envelope or exceeded a bound.

    rows : names of plants, separated by commas. The trials are 13,809 at once, which covers 99.9 % at a confidence of 1 - 1e-6.
    """
    found = {}
    for name in chosen(rows, PLANTS) if rows else size.plants:
        key = {"size": size.to_data(plants=name), "seed": seed}
        folder = parts.out / "runs" / name
        found[name] = parts.keep(f"plants/{name}", key, try_certificate, name, size, seed, folder, parts.fresh)
        parts.say(_line(name, found[name]))
    return Measured(size, seed, found)


def try_certificate(name: str, size: CertificatesSize, seed: int, folder: Path, fresh: bool = False) -> dict[str, Any]:
    """One plant: fit (unless ``folder`` holds one), certify, fresh trials, adversarial ones, and proved over seen."""
    from observer import certify, fit, runs
    from observer.certification.envelope import ultimate_bound
    from systems import discretize, load_system, simulate

    folder.mkdir(parents=True, exist_ok=True)
    fitted = None
    if (folder / runs.FIT).is_file() and not fresh:  # fitted before it was stopped
        kept = runs.load_run(folder)
        plant, fitted = kept.plant, kept.fit
    wanted = {"neurons": size.neurons, "budget": size.budget}
    if fitted is None or fitted.seed != seed or any(fitted.options.get(k) != v for k, v in wanted.items()):
        system = load_system(name)
        plant = discretize(system)
        data = simulate(plant, 100, system.duration, seed)
        fitted = fit(plant, data, size.neurons, seed=seed, budget=size.budget)
        runs.save_plant(folder, plant)
        runs.save_trajectories(folder, data)
        runs.save_fit(folder, fitted)
    system, observer = plant.system, fitted.observer
    begin = time.monotonic()
    proof = certify(observer, plant, work=size.certify, budget=30.0 * size.certify, seed=seed)
    spent = time.monotonic() - begin
    runs.save_certificate(folder, proof)
    bounds = proof.bounds
    if bounds is None or bounds.kind != "proved":
        return {
            "sound": False,
            "reason": proof.reason if bounds is None else bounds.reason,
            "states": list(system.state_names),
        }
    length = size.length * float(system.duration or 200 * plant.dt)
    usual = fresh_trials(observer, proof, size.trials, length, seed + 1)
    hostile = adversarial_trials(observer, proof, size.adversarial, length, seed + 2)
    few = max(1, size.exact // 4)
    kinds = {"unforced": "zero", "excited": "walk"} if plant.nu else {"unforced": None}
    ratios: dict[str, Any] = {}
    tallies = {"fresh": usual, "adversarial": hostile}
    for kind, excitation in kinds.items():
        exact = exact_starts(observer, proof, size.exact, length, seed + 3, excitation)
        late = fresh_trials(observer, proof, few, length, seed + 4, excitation)
        proved, by = ultimate_bound(proof, held_input=kind == "unforced")
        tallies |= {f"{kind}, exact start": exact, f"{kind}, window": late}
        ratios[kind] = {
            "proved": proved, "by": list(by), "exact_start": exact.largest, "window": late.late,
            "over_exact_start": _over(proved, exact.largest), "over_window": _over(proved, late.late),
        }  # fmt: skip
    first = bounds.proofs[0].residual
    sound = all(t.crossings == 0 and t.exceeded == 0 for t in tallies.values())
    return {
        "sound": sound, "states": list(system.state_names), "dimension": plant.nx + plant.nu, "rate": proof.rate,
        "residual_upper": first.upper, "residual_lower": first.lower, "status": first.status,
        "cells": first.cells, "residual_seconds": first.seconds, "certify_seconds": spent, "structural": bounds.structural,
        "ratio": _over(first.upper, first.lower), "region": bounds.region.box, "fit_seconds": fitted.seconds,
        "one_step_rms": fitted.one_step_rms, "trials": {key: t.to_data() for key, t in tallies.items()}, "steady": ratios,
        "horizon_steps": bounds.horizon.steps if bounds.horizon is not None else None, "length": length,
    }  # fmt: skip


def _over(proved: Any, seen: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(proved, dtype=float) / np.asarray(seen, dtype=float)


def _line(name: str, row: Mapping[str, Any]) -> str:
    if "ratio" not in row:
        return f"{name}: not proved. {row['reason']}"
    fresh, hostile = row["trials"]["fresh"], row["trials"]["adversarial"]
    unforced = ", ".join(f"{value:.3g}" for value in row["steady"]["unforced"]["over_exact_start"] if value is not None)
    return (
        f"{name}: {'sound' if row['sound'] else 'REFUTED'}; {fresh['crossings']} crossings, {fresh['exceeded']} exceeded in "
        f"{fresh['trials']} trials ({fresh['left']} left X), {hostile['crossings'] + hostile['exceeded']} in {hostile['trials']} "
        f"adversarial; proved/attained {row['ratio']:.3g} ({row['residual_seconds']:.2g} s); steady/worst unforced {unforced}"
    )
