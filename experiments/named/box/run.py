"""The box experiment: the published observer and ours, side by side.

``ours`` is fitted to the published model (explicit Euler, dt = 0.01 s) and judged on it, as published: 50 initial states
U[-0.2, 0.2]^2, x_hat0 = 0, 20 s. ``ours_true_ode`` is fitted to the rk4 model of the same equations and judged against the
true ODE. An observer that were exact for the Euler model would still be off by the model's own error on the true ODE, about
1.1e-3 m/s in velocity: that is why both are shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.named.box import published as published_box
from experiments.pipeline.console import Console
from experiments.pipeline.prepare import run_in
from experiments.pipeline.recipe import build
from experiments.runner import Parts, Size
from observer.runs import Run

if TYPE_CHECKING:
    from observer.state_observer import RENObserver
    from observer.validation.result import Validation

TRIALS, DURATION = 50, 20.0
VELOCITY_BAR = 1e-4  # m/s, RMS over 10-20 s on the published model
PROTOCOL = {"trials": TRIALS, "duration": DURATION, "estimate_start": "zero"}


@dataclass(frozen=True)
class BoxSize(Size):
    """Neurons and iterations of our fits, and trials."""

    neurons: int = 20
    iterations: int = 100
    trials: int = TRIALS


FULL = BoxSize()


@dataclass(frozen=True)
class Box:
    """Our two runs, the first one's observer on the true ODE, and the published recipe where it was trained again."""

    size: BoxSize
    ours: Run
    truth: Run
    on_truth: "Validation"
    published: "Validation | None" = None
    training: Mapping[str, Any] | None = None


def measure(size: BoxSize, seed: int, parts: Parts, full: bool = False, **options: Any) -> Box:
    """Fit and judge both variants; it passes when both do and the first one's velocity error meets the bar.

    ``full`` also trains the published recipe again (some 10 minutes). ``options``: settling_time, activation, solver, budget
    of our fits. Finished variants are kept.
    """
    ours = _variant(size, parts, "ours", "euler", "model", seed, options)
    truth = _variant(size, parts, "ours_true_ode", "rk4", "reference", seed, options)
    assert ours.observer is not None and ours.validation is not None
    on_truth = _trials(ours, ours.observer, "reference", ours.validation.seed, ours.validation.trials)
    return Box(size, ours, truth, on_truth, *_published(parts, ours, full, seed))


def _variant(
    size: BoxSize, parts: Parts, name: str, method: str, truth: str, seed: int, options: Mapping[str, Any]
) -> Run:
    """Fit and validate one of our variants in a run folder of its own; finished steps are kept."""
    values: dict[str, Any] = {
        "system": "box", "dt": 0.01, "method": method, "seed": seed,
        "fit.neurons": size.neurons, "fit.iterations": size.iterations, "validation.truth": truth,
    }  # fmt: skip
    values |= {f"validation.{key}": value for key, value in (PROTOCOL | {"trials": size.trials}).items()}
    values |= {f"fit.{key}": value for key, value in options.items()}
    parts.out.mkdir(parents=True, exist_ok=True)
    return run_in(parts.out / name, build(values), fresh=parts.fresh, console=Console(parts.quiet))


def _trials(ours: Run, observer: "RENObserver", truth: str, seed: int, trials: int) -> "Validation":
    from observer.validation.validate import validate

    return validate(observer, ours.plant, trials, DURATION, seed, estimate_start="zero", truth=truth, excitation="zero")


def _published(
    parts: Parts, ours: Run, full: bool, seed: int
) -> "tuple[Validation, dict[str, Any]] | tuple[None, None]":
    """With ``full``, or from an earlier full run: trials of the published recipe trained again, and how that went."""
    from observer.runs import load_validation, save_validation
    from observer.storage import read_json, write_json

    folder: Path = parts.out / "published"
    stored = folder / "validation.npz"
    if stored.is_file() and not (full and parts.fresh):
        trained = read_json(folder / "training.json")
        return load_validation(stored), {key: trained[key] for key in ("losses", "seconds", "epochs", "slowest_mode")}
    if not full:
        return None, None
    result = published_box.retrain(ours.plant, seed=seed, report=parts.say)
    check = _trials(ours, result.observer, "model", ours.validation.seed if ours.validation else seed + 1, TRIALS)
    training = {
        "losses": result.losses.tolist(),
        "seconds": result.seconds,
        "epochs": len(result.losses),
        "slowest_mode": published_box.slowest_mode(result.observer),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "training.json", training)
    save_validation(stored, check)
    return check, training
