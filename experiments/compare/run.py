"""The comparison of estimators on one plant: tune, run every scenario, measure.

Folder: ``learned/``, ``tuning.json`` and ``results/``, kept as soon as they are there, so that the same command goes on where it was
stopped.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.compare import measure, words
from experiments.compare.learned import NOISE
from experiments.compare.measure import Result
from experiments.compare.result import Comparison, Settings
from experiments.compare.store import Store, fingerprint
from experiments.compare.tuning import tuned_all
from observer.certification import certify
from observer.estimators import compiled, get_estimator, label, make
from observer.estimators.particle import PARTICLES
from observer.estimators.tuning import initial_estimates
from observer.scenarios import get_scenario
from observer.state_observer import RENObserver, StateObserver
from systems.base import memory
from systems.base.errors import InputError, SimulationError
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories, simulate

MOST_SAMPLES = 300  # of a trial, where no duration is given
_CLOUDS = 6  # copies of its particles that a particle filter makes in a step
UNCOUNTED = 3.0  # s that a run before the first counted one may take
CONSTANT, CONSTANT_FACTORS = "steady_kalman", 10.0 ** np.arange(-2, 4.25, 0.25)  # of its Q: the curve of constant gains
NOMINAL = "noise"

Report = Callable[[str], None]
Table = dict[str, dict[str, Result]]


def compare(
    plant: DiscreteSystem,
    settings: Settings,
    learned: Mapping[str, StateObserver],
    training: Trajectories | None = None,
    folder: Path | None = None,
    report: Report = print,
    missing: Mapping[str, str] | None = None,
) -> Comparison:
    """Tune the classical estimators, run all estimators in every scenario.

    ``learned``: fitted observers by what they are called; ``missing``: why others are not there. ``training``: trajectories to tune on,
    without noise (those the learned ones were fitted on); simulated where there are none. ``folder``: where results are kept.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    duration = settings.duration or trial_duration(plant)
    _check_memory(plant, settings, duration)
    if training is None:
        training = simulate(plant, settings.training, duration, settings.seed)
    training = _shortened(training, settings.training, duration, plant.dt)
    tuned, refused = _tuned(plant, settings, training, folder, report)
    estimators: dict[str, StateObserver] = dict(learned)
    estimators |= {name: make(name, plant, **entry["values"]) for name, entry in tuned.items()}
    clean = simulate(plant, settings.trials, duration, settings.seed + 1, truth=settings.truth)
    x_hat0 = initial_estimates(plant, len(clean), settings.seed + 1)
    nominal = get_scenario(NOMINAL).apply(plant, clean, settings.seed + 1, settings.truth)
    trials = {"trials": settings.trials, "duration": duration, "seed": settings.seed, "truth": settings.truth}
    keys = {
        n: fingerprint(plant, trials, o if n in learned else [n, tuned[n]["values"]]) for n, o in estimators.items()
    }
    store = Store(folder, keys)
    finished = {name: store.load(name) for name in settings.scenarios}
    for name, reason in _too_slow(estimators, finished, x_hat0, nominal, settings).items():
        report(f"left out {name}: {reason}")
        refused[name] = reason
        del estimators[name]
    names = {name: name if name in learned else label(name) for name in estimators}
    table: Table = {}
    for scenario in map(get_scenario, settings.scenarios):
        done = {name: r for name, r in finished[scenario.name].items() if name in estimators}
        if len(done) < len(estimators):
            try:
                data = scenario.apply(plant, clean, settings.seed + 1, settings.truth)
            except (InputError, SimulationError) as error:  # the plant has no such scenario, or does not survive it
                refused[scenario.name] = str(error)
                report(f"left out {scenario.title}: {error}")
                continue
            for name in [n for n in estimators if n not in done]:
                done[name] = measure.measure(estimators[name], x_hat0, data, settings.seed)
                store.save(scenario.name, done)
        table[scenario.name] = {name: done[name] for name in estimators}
        report(f"{scenario.title}: {words.of_scenario(table[scenario.name], names)}")
    checked = {name: measure.consistent(o, x_hat0, nominal) for name, o in estimators.items()}
    gaps = {c: measure.gap(results, NOISE, settings.seed) for c, results in table.items()}
    return Comparison(
        plant, replace(settings, duration=duration), clean.t, table, names, {c: get_scenario(c).title for c in table},
        refused | dict(missing or {}), tuned, {name: found for name, found in checked.items() if found is not None},
        _runs_as(plant, clean, learned, tuned), {c: gap for c, gap in gaps.items() if gap is not None},
        _constant_gains(plant, tuned, x_hat0, nominal, settings),
        frozenset(n for n, o in learned.items() if isinstance(o, RENObserver) and certify(o, plant, residual=False).holds),
    )  # fmt: skip


def _check_memory(plant: DiscreteSystem, settings: Settings, duration: float) -> None:
    """Refuse what would not fit: trials of several signals, their draws, and a cloud of particles for each of them."""
    signals = 4 * (2 * plant.nx + plant.nu + plant.ny)
    unit = plant.system.time_unit
    for flag, count in (("--trials", settings.trials), ("--training", settings.training)):
        needed = memory.arrays((count, duration / plant.dt, signals), (measure.DRAWS, count, plant.nx))
        if "particle" in settings.estimators:
            needed += memory.arrays((count, PARTICLES, _CLOUDS * (plant.nx + 1)))
        memory.require(
            needed,
            f"{flag} {count} of {duration:g} {unit} in samples of {plant.dt:g} {unit}",
            "ask for fewer or shorter ones",
        )


def _too_slow(
    estimators: Mapping[str, StateObserver], finished: Mapping[str, Mapping[str, Result]], x_hat0: np.ndarray,
    nominal: Trajectories, settings: Settings,
) -> dict[str, str]:  # fmt: skip
    """Why some estimators cannot be measured within the limit; the others run once, since the first run compiles."""
    slow = {}
    for name, observer in estimators.items():
        if all(name in results for results in finished.values()):
            continue
        seconds = measure.foretold(observer, x_hat0, nominal)
        if seconds > settings.limit:
            slow[name] = (
                f"one scenario would take {seconds:.0f} s, more than the {settings.limit:g} s that --limit allows"
            )
        elif seconds < UNCOUNTED:
            measure.measure(observer, x_hat0, nominal, settings.seed)
    return slow


def _constant_gains(
    plant: DiscreteSystem, tuned: Mapping[str, Any], x_hat0: np.ndarray, nominal: Trajectories, settings: Settings
) -> tuple[Result, ...]:
    """The steady Kalman filter with its Q scaled down and up, on the trials with noise: from low to high gain."""
    if CONSTANT not in tuned:
        return ()
    values, found = tuned[CONSTANT]["values"], []
    for factor in CONSTANT_FACTORS:
        scaled = {name: float(value * (factor if name.startswith("q_") else 1.0)) for name, value in values.items()}
        try:
            found.append(measure.measure(make(CONSTANT, plant, **scaled), x_hat0, nominal, settings.seed))
        except InputError:  # no such gain
            continue
    return tuple(found)


def _runs_as(
    plant: DiscreteSystem, data: Trajectories, learned: Mapping[str, StateObserver], tuned: Mapping[str, Any]
) -> dict[str, str]:
    """What executes the steps of each estimator."""
    long = compiled.serves(plant, np.eye(plant.ny), len(data) * len(data.t))
    classical = {name: getattr(get_estimator(name), "RUNS", "NumPy") for name in tuned}
    classical = {name: "NumPy" if how == "machine code" and not long else how for name, how in classical.items()}
    return {name: "machine code" if isinstance(o, RENObserver) else "NumPy" for name, o in learned.items()} | classical


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


def _tuned(
    plant: DiscreteSystem, settings: Settings, training: Trajectories, folder: Path | None, report: Report
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """(tuned values by estimator, reasons of the others), from ``tuning.json`` where it is that of the same question."""
    asked = {
        "system": plant.system.fingerprint, "dt": plant.dt, "training": settings.training, "seed": settings.seed,
        "evaluations": settings.evaluations, "samples": len(training.t),
    }  # fmt: skip
    noisy = get_scenario(NOMINAL).apply(plant, training, settings.seed)
    return tuned_all(plant, noisy, settings.estimators, asked, folder, report)
