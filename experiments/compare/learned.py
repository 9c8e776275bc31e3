"""The learned observers of a comparison: one fitted for speed, one tuned for the noise, stored so that nothing is fitted twice.

Folder ``learned/``: the weights of both, and ``learned.json`` with what they were made for.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from observer.known_plant import KnownPlant
from observer.state_observer import RENObserver
from observer.storage import load_observer, read_json, save_observer, write_json
from systems.base.errors import InputError, NotDetectable
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories, simulate

if TYPE_CHECKING:
    from observer.fitting.result import FitResult
    from observer.runs import Run

FOLDER, RECORD, CHECKPOINT = "learned", "learned.json", "checkpoint.npz"
SPEED, NOISE = "REN for speed", "REN for noise"
TRAJECTORIES = 100  # to fit on, where there is no run
EVERY = 5.0  # s between lines of progress
SHORTEST = 20  # samples of a rollout
EFFORT = 1.5  # iterations of the tuning for each evaluation that a classical estimator may take

Found = tuple[dict[str, RENObserver], dict[str, str]]  # observers by name, reasons of the missing ones


class Learned:
    """Fits, tunes and keeps. ``folder`` None: nothing is kept."""

    def __init__(self, plant: DiscreteSystem, folder: Path | None, report: Callable[[str], None]) -> None:
        self.plant, self.report = plant, report
        self.folder = None if folder is None else folder / FOLDER
        record = None if self.folder is None else self.folder / RECORD
        self.record: dict[str, Any] = read_json(record) if record is not None and record.is_file() else {}

    def kept(self, name: str, asked: Mapping[str, Any]) -> RENObserver | None:
        """The observer of that name, where it was made for the same question."""
        if self.folder is None or self.record.get(name) != dict(asked):
            return None
        path = self.folder / _file(name)
        return load_observer(path, self.plant) if path.is_file() else None

    def keep(self, name: str, asked: Mapping[str, Any], observer: RENObserver) -> None:
        """Weights first, then the record that says they are whole."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        save_observer(self.folder / _file(name), observer)
        self.record[name] = dict(asked)
        written = {key: value for key, value in self.record.items() if key in (SPEED, NOISE)}
        write_json(self.folder / RECORD, written)

    def _progress(self, name: str) -> Callable[[Any], None]:
        """Progress of a fit as a line every few seconds."""
        last = time.monotonic()

        def callback(progress: Any) -> None:
            nonlocal last
            if time.monotonic() - last >= EVERY:
                last = time.monotonic()
                self.report(
                    f"{name}: {progress.stage} {progress.iteration} of {progress.total}, loss {progress.loss:.3g}"
                )

        return callback

    def fitted(self, budget: float, seed: int) -> "tuple[FitResult | None, Trajectories | None, str]":
        """A REN with the defaults of ``observer run`` and the trajectories it was fitted on; or why there is none."""
        from observer import fit

        data = simulate(self.plant, TRAJECTORIES, None, seed)
        try:
            found = fit(self.plant, data, budget=budget, seed=seed, progress=self._progress(SPEED))
        except (NotDetectable, InputError) as error:
            return None, data, str(error)
        self.report(f"fitted the {SPEED}: {found.message}")
        return found, data, ""

    def tuned(self, fit: "FitResult", data: Trajectories, samples: int, evaluations: int, seed: int) -> RENObserver:
        """``fit`` tuned for the noise that is stated (0.5 % of the half range where none is), over trials of ``samples``."""
        from observer import fine_tune

        horizon = int(np.clip(samples, SHORTEST, data.lengths.max() - 1))
        checkpoint = None
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            checkpoint = self.folder / CHECKPOINT
        found = fine_tune(
            fit, data, plant=self.plant, noise=KnownPlant(self.plant).output_noise, horizon=horizon, seed=seed,
            iterations=max(1, round(EFFORT * evaluations)), checkpoint=checkpoint, progress=self._progress(NOISE),
        )  # fmt: skip
        if found.status == "interrupted":
            raise KeyboardInterrupt
        if checkpoint is not None:
            checkpoint.unlink(missing_ok=True)
        before, after = (np.sqrt(found.options[key]) for key in ("simulation_loss_before", "simulation_loss"))
        self.report(f"tuned the {NOISE}: error in simulation {before / after:.3g} times smaller than for speed")
        return found.observer


def _file(name: str) -> str:
    return f"{name.replace(' ', '_')}.safetensors"


def from_plant(
    plant: DiscreteSystem, folder: Path | None, samples: int, evaluations: int, budget: float, seed: int,
    tune: bool, report: Callable[[str], None],
) -> Found:  # fmt: skip
    """Both, fitted here; ``tune`` False: the one for speed alone."""
    store = Learned(plant, folder, report)
    asked = {"system": plant.system.fingerprint, "plant": plant.to_data(), "budget": budget, "seed": seed}
    also = asked | {"samples": samples, "evaluations": evaluations}
    fast, low_noise = store.kept(SPEED, asked), store.kept(NOISE, also) if tune else None
    if fast is not None and (low_noise is not None or not tune):
        report(f"learned already: {store.folder}")
        return {SPEED: fast} | ({NOISE: low_noise} if low_noise is not None else {}), {}
    fit, data, reason = store.fitted(budget, seed)
    if fit is None or data is None:
        return {}, {SPEED: reason, **({NOISE: "there is no REN for speed to begin with"} if tune else {})}
    store.keep(SPEED, asked, fit.observer)
    found: dict[str, RENObserver] = {SPEED: fit.observer}
    return _with_noise(store, found, fit, data, also, samples, evaluations, seed) if tune else (found, {})


def from_run(
    run: "Run", weights: str, folder: Path | None, samples: int, evaluations: int, seed: int, tune: bool,
    report: Callable[[str], None],
) -> Found:  # fmt: skip
    """The observer of a run, and the same tuned for noise unless it is that already. ``weights``: their hash."""
    if run.observer is None:
        raise InputError(f"{run.path}: holds no fitted observer; `observer fit {run.path}` makes one")
    if run.fit is not None and run.fit.solver == "fine_tune":
        return {NOISE: run.observer}, {}
    found: dict[str, RENObserver] = {SPEED: run.observer}
    if not tune:
        return found, {}
    if run.fit is None:
        return found, {NOISE: f"{run.path} holds no finished fit to tune"}
    store = Learned(run.plant, folder, report)
    also = {"weights": weights, "samples": samples, "evaluations": evaluations, "seed": seed}
    low_noise = store.kept(NOISE, also)
    if low_noise is not None:
        report(f"learned already: {store.folder}")
        return found | {NOISE: low_noise}, {}
    return _with_noise(store, found, run.fit, run.trajectories, also, samples, evaluations, seed)


def _with_noise(
    store: Learned, found: dict[str, RENObserver], fit: "FitResult", data: Trajectories, asked: Mapping[str, Any],
    samples: int, evaluations: int, seed: int,
) -> Found:  # fmt: skip
    try:
        low_noise = store.tuned(fit, data, samples, evaluations, seed)
    except InputError as error:
        store.report(f"left out {NOISE}: {error}")
        return found, {NOISE: str(error)}
    store.keep(NOISE, asked, low_noise)
    return found | {NOISE: low_noise}, {}
