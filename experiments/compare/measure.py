"""Estimators on the same trials: errors with intervals, settling times, diverged runs, time per step."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from observer.estimators.consistency import consistency
from observer.estimators.gaussian import GaussianFilter
from observer.state_observer import StateObserver
from observer.validation.validate import DIVERGED, settling_times
from systems.angles import periods, wrap
from systems.base.errors import InputError
from systems.system import System
from systems.trajectories import Trajectories

DRAWS = 1000  # of the bootstrap
CONFIDENCE = 0.95
WARM, PROBE = 12, 4  # samples that may compile or fill a window, and those by which the time of a whole run is foretold


@dataclass(frozen=True, eq=False)
class Result:
    """One estimator in one scenario, over K trials.

    ``rms`` ``(nx,)`` in units of the states, second half of the trials that did not diverge, and ``rms_interval`` ``(nx, 2)``;
    ``score``: RMS over all states in per cent of their ranges, and ``score_interval``; ``settling`` ``(nx,)``: median over the
    trials of the last time [s] at which an error exceeds 2 % of its range, infinite where most never settle; ``diverged``:
    trials with an error beyond ten ranges in the second half, or not finite; ``curve`` ``(N,)``: median over the trials of the
    largest error of any state in ranges. ``microseconds`` of processor time per sample and trajectory of this batch.
    ``squares`` ``(K, nx)``: mean
    square error in ranges of each trial, second half; nan where it diverged.
    """

    rms: np.ndarray
    rms_interval: np.ndarray
    score: float
    score_interval: tuple[float, float]
    settling: np.ndarray
    diverged: int
    trials: int
    curve: np.ndarray
    microseconds: float
    squares: np.ndarray

    def to_data(self, names: tuple[str, ...]) -> dict[str, Any]:
        """JSON-able, without the curve."""
        return {
            "rms": dict(zip(names, self.rms.tolist(), strict=True)),
            "rms_interval": dict(zip(names, self.rms_interval.tolist(), strict=True)),
            "score": self.score, "score_interval": list(self.score_interval),
            "settling_time": dict(zip(names, self.settling.tolist(), strict=True)),
            "diverged": self.diverged, "trials": self.trials, "microseconds": self.microseconds,
        }  # fmt: skip


def foretold(observer: StateObserver, x_hat0: np.ndarray, data: Trajectories) -> float:
    """Seconds of the processor that a whole run is going to take step by step, from a few samples of it."""
    begun, samples = 0.0, len(data.t)
    with np.errstate(all="ignore"):
        state = observer.init(x_hat0)
        for k in range(WARM + PROBE):
            begun = time.process_time() if k == WARM else begun
            state = observer.step(state, data.u[:, k % samples], data.y[:, k % samples])
    return (time.process_time() - begun) / PROBE * (samples - 1)


def measure(observer: StateObserver, x_hat0: np.ndarray, data: Trajectories, seed: int) -> Result:
    """Run one estimator over the trials of one scenario."""
    begun = time.process_time()  # what others do on the machine is not its fault
    with np.errstate(all="ignore"):
        x_hat = observer.run(x_hat0, data.u, data.y)
    spent = time.process_time() - begun
    return judge(observer.system, x_hat, data, seed, 1e6 * spent / (len(data) * max(1, len(data.t) - 1)))


def judge(system: System, x_hat: np.ndarray, data: Trajectories, seed: int, microseconds: float) -> Result:
    """The numbers of estimates x_hat ``(K, N, nx)``."""
    width = np.ptp(system.state_ranges, axis=1)
    angles = periods(system.states)
    with np.errstate(all="ignore"):
        error = np.abs(wrap(x_hat - data.x, angles)) / width
    half = len(data.t) // 2
    lost = ~np.isfinite(error).all(axis=(1, 2)) | (error[:, half:] > DIVERGED).any(axis=(1, 2))
    kept = np.flatnonzero(~lost)
    shown = np.where(np.isfinite(error), error, np.inf)
    with np.errstate(all="ignore"):
        curve = np.median(shown.max(axis=2), axis=0)
    settling = np.median(settling_times(shown, data.t), axis=0)
    nothing, every = np.full(system.nx, np.nan), np.full((len(data), system.nx), np.nan)
    common = {
        "settling": settling,
        "diverged": int(lost.sum()),
        "trials": len(data),
        "curve": curve,
        "microseconds": microseconds,
    }
    if not len(kept):
        return Result(nothing, np.stack([nothing, nothing], axis=1), np.nan, (np.nan, np.nan), squares=every, **common)
    squares = every[kept] = np.mean(error[kept, half:] ** 2, axis=1)
    draws = np.random.default_rng([seed, 17]).integers(0, len(kept), (DRAWS, len(kept)))
    drawn = np.mean(squares[draws], axis=1)
    tail = 100 * (1 - CONFIDENCE) / 2
    bounds = np.percentile(np.sqrt(drawn), [tail, 100 - tail], axis=0).T
    scores = np.percentile(100 * np.sqrt(drawn.mean(axis=1)), [tail, 100 - tail])
    mean = squares.mean(axis=0)
    return Result(
        rms=np.sqrt(mean) * width, rms_interval=bounds * width[:, None], score=float(100 * np.sqrt(mean.mean())),
        score_interval=(float(scores[0]), float(scores[1])), squares=every, **common,
    )  # fmt: skip


def consistent(observer: StateObserver, x_hat0: np.ndarray, data: Trajectories) -> dict[str, Any] | None:
    """NEES, NIS and whiteness over the later three quarters of the trials; None for an estimator without a covariance or with
    runs that are not finite."""
    if not isinstance(observer, GaussianFilter):
        return None
    try:
        with np.errstate(all="ignore"):
            return consistency(observer, data.x, data.u, data.y, x_hat0, skip=len(data.t) // 4).to_data()
    except (InputError, np.linalg.LinAlgError):
        return None


def as_good(results: Mapping[str, Result]) -> tuple[str, ...]:
    """The estimators that are best or statistically equal to the best: no run diverged, and the interval reaches below the
    upper end of the best one's."""
    sound = {name: r for name, r in results.items() if r.diverged == 0 and np.isfinite(r.score)}
    if not sound:
        return ()
    best = min(sound.values(), key=lambda r: r.score)
    return tuple(
        name
        for name, r in sorted(sound.items(), key=lambda item: item[1].score)
        if r.score_interval[0] <= best.score_interval[1]
    )


def gap(results: Mapping[str, Result], name: str, seed: int = 0) -> tuple[str, float, float, float] | None:
    """(the best estimator, error of ``name`` over its error, and the 95 % interval of that ratio); None where ``name`` lost a trial
    or is alone.

    The interval is of the ratio itself, over the same trials drawn for both: what makes a trial hard cancels.
    """
    sound = {n: r for n, r in results.items() if r.diverged == 0 and np.isfinite(r.score) and n != name}
    own = results.get(name)
    if own is None or own.diverged or not np.isfinite(own.score) or not sound:
        return None
    best = min(sound, key=lambda n: sound[n].score)
    ours, theirs = own.squares.mean(axis=1), sound[best].squares.mean(axis=1)
    draws = np.random.default_rng([seed, 19]).integers(0, len(ours), (DRAWS, len(ours)))
    ratios = np.sqrt(ours[draws].mean(axis=1) / np.maximum(theirs[draws].mean(axis=1), 1e-300))
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(ratios, [tail, 100 - tail])
    return best, own.score / max(sound[best].score, 1e-300), float(low), float(high)
