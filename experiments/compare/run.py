"""The comparison from a plant or a run to ``metrics.json`` and ``report.html``: tune, stress, measure, tell.

Folder: ``learned/``, ``tuning.json`` and ``results/`` (kept as soon as they are there, so that the same command goes on where it
was stopped), ``metrics.json``, ``report.html``, ``figures/``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.compare import measure, words
from experiments.compare.learned import NOISE
from experiments.compare.measure import Result
from experiments.compare.store import Store, fingerprint
from experiments.compare.tuning import TUNING, tuned_all
from observer.certification import certify
from observer.estimators import ESTIMATORS, get_estimator, compiled, label, make
from observer.estimators.tuning import initial_estimates
from observer.scenarios import CONDITIONS, Condition, Noise, condition
from observer.state_observer import RENObserver, StateObserver
from observer.storage import write_json
from systems.base.errors import InputError, SimulationError
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories, simulate

METRICS = "metrics.json"
__all__ = ["METRICS", "TUNING", "Comparison", "Settings", "chosen_names", "compare", "write"]
MOST_SAMPLES = 300  # of a trial, where no duration is given
UNCOUNTED = 3.0  # s that a run before the first counted one may take
CONSTANT, CONSTANT_FACTORS = "steady_kalman", 10.0 ** np.arange(-2, 4.25, 0.25)  # of its Q: the curve of constant gains


@dataclass(frozen=True)
class Settings:
    """What a comparison depends on. ``limit``: seconds that one estimator may take for one condition."""

    trials: int = 20
    duration: float | None = None
    training: int = 24
    evaluations: int = 80
    seed: int = 0
    budget: float = 20.0
    limit: float = 60.0
    estimators: tuple[str, ...] = ESTIMATORS
    conditions: tuple[str, ...] = tuple(item.name for item in CONDITIONS)
    truth: str = "oracle"

    def __post_init__(self) -> None:
        for name in ("trials", "training", "evaluations"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < (2 if name != "evaluations" else 1):
                raise InputError(
                    f"{name} is {value!r}; expected a whole number, {2 if name != 'evaluations' else 1} or more"
                )
        for name in self.estimators:
            label(name)
        for name in self.conditions:
            condition(name)


@dataclass(frozen=True, eq=False)
class Comparison:
    """All that was measured: ``table`` condition -> estimator -> :class:`Result`; ``names`` and ``titles`` are words for both;
    ``refused`` says who or what is missing, and why; ``tuned`` and ``consistency`` by estimator; ``gaps``: of the REN tuned for noise to
    the best other, by condition (:func:`measure.gap`); ``constant_gains``: the steady Kalman filter from low to high gain, with
    noise; ``proved``: estimators with a certificate of contraction."""

    plant: DiscreteSystem
    settings: Settings
    t: np.ndarray
    table: dict[str, dict[str, Result]]
    names: dict[str, str]
    titles: dict[str, str]
    refused: dict[str, str]
    tuned: dict[str, dict[str, Any]]
    consistency: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs_as: dict[str, str] = field(default_factory=dict)
    gaps: dict[str, tuple[str, float, float, float]] = field(default_factory=dict)
    constant_gains: tuple[Result, ...] = ()
    proved: frozenset[str] = frozenset()

    @property
    def speed(self) -> dict[str, float]:
        """Microseconds of processor time per step, the median over the conditions."""
        times: dict[str, list[float]] = {name: [] for name in self.names}
        for results in self.table.values():
            for name, result in results.items():
                times[name].append(result.microseconds)
        return {name: float(np.median(values)) for name, values in times.items() if values}

    def to_data(self) -> dict[str, Any]:
        """The content of ``metrics.json``."""
        states = self.plant.system.state_names
        return {
            "system": self.plant.system.name, "dt": self.plant.dt, "settings": asdict(self.settings),
            "estimators": self.names, "refused": self.refused, "tuning": self.tuned, "consistency": self.consistency,
            "microseconds": self.speed, "runs_as": self.runs_as,
            "gaps": {c: {"best": best, "ratio": r, "interval": [low, high]} for c, (best, r, low, high) in self.gaps.items()},
            "constant_gains": [
                {"settling_time": float(np.max(r.settling)), "score": r.score} for r in self.constant_gains if not r.diverged
            ],
            "conditions": {
                name: {
                    "title": self.titles[name], "best": list(measure.as_good(results)),
                    "results": {who: result.to_data(states) for who, result in results.items()},
                }
                for name, results in self.table.items()
            },
            "advice": list(words.advice(self.table, self.names, self.titles, self.proved)),
        }  # fmt: skip


def compare(
    plant: DiscreteSystem,
    settings: Settings,
    learned: Mapping[str, StateObserver],
    training: Trajectories | None = None,
    folder: Path | None = None,
    report: Callable[[str], None] = print,
) -> Comparison:
    """Tune the baselines, run all estimators under all conditions.

    ``learned``: fitted observers by what they are called. ``training``: trajectories to tune on, without noise (those the
    learned ones were fitted on); simulated where there are none. ``folder``: where tuned values are kept.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    duration = settings.duration or trial_duration(plant)
    if training is None:
        training = simulate(plant, settings.training, duration, settings.seed)
    training = _shortened(training, settings.training, duration, plant.dt)
    kept, refused = _tuned(plant, settings, training, folder, report)
    estimators: dict[str, StateObserver] = dict(learned)
    estimators |= {name: make(name, plant, **entry["values"]) for name, entry in kept.items()}
    names = {name: name for name in learned} | {name: label(name) for name in kept}
    clean = simulate(plant, settings.trials, duration, settings.seed + 1, truth=settings.truth)
    starts = initial_estimates(plant, len(clean), settings.seed + 1)
    nominal = Noise().apply(plant, clean, settings.seed + 1, settings.truth)
    trials = {"trials": settings.trials, "duration": duration, "seed": settings.seed, "truth": settings.truth}
    keys = {n: fingerprint(plant, trials, o if n in learned else [n, kept[n]["values"]]) for n, o in estimators.items()}
    store = Store(folder)
    finished = {name: store.load(name, keys) for name in settings.conditions}
    for name in list(estimators):
        if all(name in results for results in finished.values()):
            continue
        seconds = measure.foretold(estimators[name], starts, nominal)
        if seconds > settings.limit:
            refused[name] = (
                f"one condition would take {seconds:.0f} s, more than the {settings.limit:g} s that --limit allows"
            )
            del estimators[name], names[name]
            report(f"left out {name}: {refused[name]}")
        elif seconds < UNCOUNTED:
            measure.measure(estimators[name], starts, nominal, settings.seed)  # the first run compiles
    table: dict[str, dict[str, Result]] = {}
    titles: dict[str, str] = {}
    for item in (condition(name) for name in settings.conditions):
        done = {name: r for name, r in finished[item.name].items() if name in estimators}
        data = None
        if len(done) < len(estimators):
            data = _stressed(item, plant, clean, settings, refused, report)
            if data is None:
                continue
        for name, o in estimators.items():
            if name not in done and data is not None:
                done[name] = measure.measure(o, starts, data, settings.seed)
                store.save(item.name, keys, done)
        titles[item.name] = item.title
        table[item.name] = {name: done[name] for name in estimators}
        report(f"{item.title}: {words.of_condition(table[item.name], names)}")
    checked = {name: measure.consistent(o, starts, nominal) for name, o in estimators.items()}
    found = {c: measure.gap(results, NOISE, settings.seed) for c, results in table.items()}
    return Comparison(
        plant, replace(settings, duration=duration), clean.t, table, names, titles, refused, kept,
        {name: found for name, found in checked.items() if found is not None}, _runs_as(plant, clean, learned, kept),
        {c: gap for c, gap in found.items() if gap is not None}, _constant_gains(plant, kept, starts, nominal, settings),
        frozenset(n for n, o in learned.items() if isinstance(o, RENObserver) and certify(o, plant, residual=False).holds),
    )  # fmt: skip


def _constant_gains(
    plant: DiscreteSystem, kept: Mapping[str, Any], starts: np.ndarray, nominal: Trajectories, settings: Settings
) -> tuple[Result, ...]:
    """The steady Kalman filter with its Q scaled down and up, on the trials with noise: slow and quiet to fast and loud."""
    if CONSTANT not in kept:
        return ()
    values, found = kept[CONSTANT]["values"], []
    for factor in CONSTANT_FACTORS:
        scaled = {name: float(value * (factor if name.startswith("q_") else 1.0)) for name, value in values.items()}
        try:
            found.append(measure.measure(make(CONSTANT, plant, **scaled), starts, nominal, settings.seed))
        except InputError:  # no such gain
            continue
    return tuple(found)


def _runs_as(
    plant: DiscreteSystem, data: Trajectories, learned: Mapping[str, StateObserver], kept: Mapping[str, Any]
) -> dict[str, str]:
    """What executes the steps of each estimator."""
    long = compiled.serves(plant, np.eye(plant.ny), len(data) * len(data.t))
    told = {name: getattr(get_estimator(name), "RUNS", "NumPy") for name in kept}
    told = {name: "NumPy" if how == "machine code" and not long else how for name, how in told.items()}
    return {name: "machine code" if isinstance(o, RENObserver) else "NumPy" for name, o in learned.items()} | told


def trial_duration(plant: DiscreteSystem) -> float:
    """Seconds of a trial where none are asked for."""
    longest = MOST_SAMPLES * plant.dt
    return min(plant.system.duration or longest, longest)


def _shortened(data: Trajectories, count: int, duration: float, dt: float) -> Trajectories:
    """The first trajectories, as long as a trial at most."""
    rows, samples = slice(0, count), slice(0, round(duration / dt) + 1)
    t = data.t[samples]
    return replace(
        data, t=t, x=data.x[rows, samples], u=data.u[rows, samples], y=data.y[rows, samples],
        lengths=np.minimum(data.lengths[rows], len(t)),
    )  # fmt: skip


def _stressed(
    item: Condition,
    plant: DiscreteSystem,
    clean: Trajectories,
    settings: Settings,
    refused: dict[str, str],
    report: Callable,
) -> Trajectories | None:
    """The trials under a condition, or None where the plant has none or does not survive it."""
    try:
        return item.apply(plant, clean, settings.seed + 1, settings.truth)
    except (InputError, SimulationError) as error:
        refused[item.name] = str(error)
        report(f"left out {item.title}: {error}")
        return None


def _tuned(
    plant: DiscreteSystem, settings: Settings, training: Trajectories, folder: Path | None, report: Callable
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """(tuned values by estimator, reasons of the others), from ``tuning.json`` where it is that of the same question."""
    asked = {
        "system": plant.system.fingerprint, "dt": plant.dt, "training": settings.training, "seed": settings.seed,
        "evaluations": settings.evaluations, "samples": len(training.t),
    }  # fmt: skip
    noisy = Noise().apply(plant, training, settings.seed)
    return tuned_all(plant, noisy, settings.estimators, asked, settings.evaluations, settings.seed, folder, report)


def write(folder: Path, found: Comparison, command: str) -> Path:
    """``metrics.json`` and the page."""
    from experiments.compare.page import write_page

    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / METRICS, found.to_data(), command=command)
    return write_page(folder, found, command)


def chosen_names(flag: str, text: str | None, known: Sequence[str]) -> tuple[str, ...]:
    """``"a,b"`` as names of ``known``, in their order; all of them when left out. Raises InputError that names the option."""
    if text is None:
        return tuple(known)
    asked = [part.strip() for part in text.split(",") if part.strip()]
    for name in asked:
        if name not in known:
            raise InputError(f"{flag} names '{name}'; expected some of {', '.join(known)}")
    return tuple(name for name in known if name in asked)
