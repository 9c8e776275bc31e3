"""One fit of the ablation, and what is kept of it: a few numbers and the course of the loss over time."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.named.ablation.variants import Case, FitVariant
from experiments.runner import Size

if TYPE_CHECKING:
    from observer import FitResult
    from systems import DiscreteSystem

PROBES = 20_000  # fresh transitions for the supremum


@dataclass(frozen=True)
class AblationSize(Size):
    """Seconds of a fit, seeds, neurons and trajectories (None: those of the case), transitions for the supremum."""

    budget: float = 10.0
    seeds: int = 3
    trajectories: int | None = None
    neurons: int | None = None
    probes: int = PROBES


FULL = AblationSize()
TOY = AblationSize(0.3, 1, 4, 3, 200, name="toy")


@dataclass(frozen=True)
class FitOutcome:
    """What one fit gave. Losses are held-out means of |x+ - f_o|^2 in physical units.

    ``supremum``: largest |r|_2 over fresh transitions of the region, in range-scaled states; ``seconds`` and ``course``: time
    and best held-out loss so far; ``rate``: the bound; ``status``, ``iterations``: how it ended.
    """

    loss: float
    start_loss: float
    supremum: float
    rate: float
    status: str
    iterations: int
    fit_seconds: float
    seconds: tuple[float, ...]
    course: tuple[float, ...]

    def time_to(self, loss: float) -> float:
        """Seconds until the held-out loss had fallen to ``loss``; infinite when it did not."""
        return next((t for t, value in zip(self.seconds, self.course, strict=True) if value <= loss), float("inf"))

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> "FitOutcome":
        """The inverse of ``dataclasses.asdict``."""
        return cls(**{**data, "seconds": tuple(data["seconds"]), "course": tuple(data["course"])})


def fit_variant(case: Case, variant: FitVariant, seed: int, size: AblationSize) -> FitOutcome:
    """Simulate, fit under the budget, look at fresh transitions. The data depend on the seed alone, not on the variant."""
    from observer import fit
    from systems import discretize, simulate

    plant = discretize(case.make(), dt=case.dt, method=case.method)
    data = simulate(plant, size.trajectories or case.trajectories, seed=seed)
    options = {**case.options, **variant.options}
    if size.neurons is not None:
        options["neurons"] = size.neurons
    room = options.pop("headroom", None)
    if room is not None:
        # The metric stays that of the default, so that nothing but the distance to its fastest rate changes.
        default = fit(plant, data, **{**case.options, "neurons": 0}, seed=seed).search
        options["contraction_rate"] = min((1 + room) * default.rate, 0.5 * (1 + default.rate))
        options["condition"] = default.condition * (1 + 1e-6)
    found = fit(plant, data, **options, budget=size.budget, seed=seed)
    history = found.history
    times, losses = np.asarray(history["seconds"], float), np.asarray(history["held_out"], float)
    course = np.minimum.accumulate(np.concatenate([[found.start_loss], np.where(np.isfinite(losses), losses, np.inf)]))
    return FitOutcome(
        loss=found.one_step_loss,
        start_loss=found.start_loss,
        supremum=_supremum(found, plant, size.probes, seed),
        rate=float(found.observer.contraction_rate),
        status=found.status,
        iterations=found.iterations,
        fit_seconds=found.seconds,
        seconds=(0.0, *times.tolist()),
        course=tuple(course.tolist()),
    )


def _supremum(found: "FitResult", plant: "DiscreteSystem", probes: int, seed: int) -> float:
    from systems.integration import sample_region

    box = np.concatenate([found.region, plant.system.input_ranges])
    points = sample_region(box[:, 0], box[:, 1], probes, seed + 77)
    x, u = points[:, : plant.nx], points[:, plant.nx :]
    residual = found.observer.step(x, u[:, plant.system.known], plant.output(x, u)) - plant.step(x, u)
    scaled = residual / (0.5 * np.ptp(found.region, axis=1))
    return float(np.max(np.linalg.norm(scaled, axis=1)))
