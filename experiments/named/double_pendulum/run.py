"""A real double pendulum: parameters from its angles alone, a REN on the calibrated equations, and replays of held-out swings."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.named.double_pendulum.data import swings
from experiments.named.double_pendulum.plant import double_pendulum
from experiments.runner import Parts, Size
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories

OURS = "REN"
CLASSICAL = ("extended_kalman", "unscented_kalman", "moving_horizon")
SETTLED = 1.0  # s after which errors are judged
WRONG = (0.5, 4.0)  # rad and rad/s: the first estimates are off by up to so much
BAR = 1.1  # times the best classical estimator


@dataclass(frozen=True, kw_only=True)
class PendulumSize(Size):
    """Logs to calibrate on, starts of that search, neurons and iterations of the fit, evaluations and logs of the tuning, and their
    samples; first estimates of each held-out swing."""

    logs: int = 26
    starts: int = 3
    neurons: int = 20
    iterations: int = 60
    evaluations: int = 40
    tuned: int = 6
    samples: int = 400
    estimates: int = 5
    classical: tuple[str, ...] = CLASSICAL


FULL = PendulumSize()


@dataclass(frozen=True)
class Swings:
    """What was measured: the calibration, the fit, and a replay for each observer: RMS by state after a second, and a curve."""

    size: PendulumSize
    seed: int
    calibration: dict[str, Any]
    fit: dict[str, Any]
    replays: dict[str, dict[str, Any]]
    reference: dict[str, Any]

    @property
    def ratios(self) -> tuple[float, float]:
        """Of the rates: RMS of the REN over that of the best classical estimator, state by state."""
        ours = self.replays[OURS]["rms"][2:]
        others = [item["rms"] for name, item in self.replays.items() if not name.startswith(OURS)]
        best = [min(rms[k] for rms in others) for k in (2, 3)]
        return ours[0] / best[0], ours[1] / best[1]


def measure(size: PendulumSize, seed: int, parts: Parts, data: Path | None = None) -> Swings:
    """Calibrate, fit, replay. Raises InputError where the logs are not there."""
    from systems import discretize

    plant = discretize(double_pendulum())
    fitted, held_out = swings(data, plant.system, size.logs)
    own = {"logs": len(fitted), "starts": size.starts, "seed": seed}
    found = parts.keep("calibration", own, _calibrated, plant, fitted, size, seed, parts.say)
    values = {name: item["value"] for name, item in found["parameters"].items()}
    parts.say("calibrated: " + ", ".join(f"{name} {value:.4g}" for name, value in values.items()))
    system = plant.system.with_parameters(**values)
    system = system.with_outputs(**{name: {"noise": level} for name, level in found["noise"].items()})
    plant = replace(plant, system=system)
    tuning = {"evaluations": size.evaluations, "tuned": size.tuned, "samples": size.samples}
    key = own | {"found": found["parameters"], "noise": found["noise"], "estimates": size.estimates}
    ours = parts.keep("observer", key | tuning | {"neurons": size.neurons, "iterations": size.iterations},
                      _ours, plant, fitted, held_out, size, seed, parts.say)  # fmt: skip
    replays = ours["replays"]
    for kind in size.classical:
        item = parts.keep(kind, key | tuning, _classical, kind, plant, fitted, held_out, size, seed)
        replays[item["label"]] = item["replay"]
        parts.say(
            f"{item['label']}: rates after {SETTLED:g} s {item['replay']['rms'][2]:.4f}, {item['replay']['rms'][3]:.4f} rad/s"
        )
    return Swings(size, seed, found, ours["fit"], replays, _reference(held_out, plant.dt))


def _calibrated(
    plant: DiscreteSystem, fitted: Trajectories, size: PendulumSize, seed: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Parameters from the angles alone; the states of the logs are taken away first."""
    import time

    from observer.calibration.calibrate import CalibrationProgress, calibrate

    last = [time.perf_counter()]

    def progress(p: CalibrationProgress) -> None:
        if time.perf_counter() - last[0] > 5:
            last[0] = time.perf_counter()
            say(f"calibrate: {p.stage}, iteration {p.iteration}, loss {p.loss:.4g}")

    blind = replace(fitted, x=np.full_like(fitted.x, np.nan))
    found = calibrate(plant, blind, starts=size.starts, seed=seed, progress=progress)
    h, names = found.held_out, plant.system.output_names
    return {
        "parameters": {e.name: {"value": e.value, "deviation": e.deviation, "remark": e.remark} for e in found.estimates},
        "noise": {signal.name: signal.noise for signal in found.system.outputs},
        "residual": dict(zip(names, found.noise.tolist(), strict=True)), "status": found.status, "inflation": found.inflation,
        "one_step": None if h is None else dict(zip(names, h.one_step_rms.tolist(), strict=True)),
        "free_run": None if h is None else dict(zip(names, h.free_run_rms.tolist(), strict=True)),
    }  # fmt: skip


def _ours(
    plant: DiscreteSystem, fitted: Trajectories, held_out: Trajectories, size: PendulumSize, seed: int, say: Callable[[str], None]
) -> dict[str, Any]:  # fmt: skip
    """RENs on the calibrated equations, over the states that they give to the fitted swings: with neurons and linear, the better first."""
    from observer import certify, fit
    from observer.calibration.states import estimated_states
    from observer.estimators.tuning import error_loss, initial_estimates

    data = estimated_states(plant, replace(fitted, x=np.full_like(fitted.x, np.nan)))
    some, found = _some(fitted, size), []
    for neurons in dict.fromkeys((size.neurons, 0)):
        ren = fit(plant, data, neurons=neurons, iterations=size.iterations, seed=seed).observer
        loss = error_loss(plant, some.x, ren.run(initial_estimates(plant, len(some), seed), some.u, some.y))
        say(f"REN of {neurons} neurons: loss on fitted swings {loss:.4g}")
        found.append((loss, neurons, ren))
    found.sort(key=lambda item: item[:2])
    chosen = found[0][2]
    proof = certify(chosen, work=0.05, seed=seed)
    names = [OURS, *(f"{OURS} of {neurons} neurons" for _, neurons, _ in found[1:])]
    return {
        "replays": {name: _replayed(ren, held_out, size, seed) for name, (_, _, ren) in zip(names, found, strict=True)},
        "fit": {"neurons": found[0][1], "losses": {str(neurons): loss for loss, neurons, _ in found}, "rate": proof.rate,
                "holds": proof.holds, "rate_per_second": proof.rate_per_second, "region": data.reached.tolist()},
    }  # fmt: skip


def _some(fitted: Trajectories, size: PendulumSize) -> Trajectories:
    """The beginnings of the last fitted swings, on which every observer is tuned or chosen, against their reference rates.

    The swings decay: those just before the held-out ones are the most like them."""
    n = min(size.samples, int(fitted.lengths.min()))
    rows = np.arange(max(0, len(fitted) - size.tuned), len(fitted))
    return Trajectories(fitted.t[:n], fitted.x[rows, :n], fitted.u[rows, :n], fitted.y[rows, :n], np.full(len(rows), n))


def _classical(
    kind: str, plant: DiscreteSystem, fitted: Trajectories, held_out: Trajectories, size: PendulumSize, seed: int
) -> dict[str, Any]:
    """A classical estimator of the same equations, tuned on swings that were fitted, against their reference rates."""
    from observer.estimators import label
    from observer.estimators.tuning import tune_each

    _, found = next(iter(tune_each(plant, _some(fitted, size), (kind,), evaluations=size.evaluations, seed=seed)))
    if isinstance(found, Exception):
        raise found
    return {
        "label": label(kind),
        "values": dict(found.values),
        "replay": _replayed(found.observer, held_out, size, seed),
    }


def _replayed(observer: Any, held_out: Trajectories, size: PendulumSize, seed: int) -> dict[str, Any]:
    """RMS of the errors by state after :data:`SETTLED`, largest error then, and one swing."""
    n = int(held_out.lengths.min())
    rng = np.random.default_rng([seed, 21])
    rows = np.repeat(np.arange(len(held_out)), size.estimates)
    x, u, y = (a[rows, :n] for a in (held_out.x, held_out.u, held_out.y))
    off = rng.uniform(-1, 1, (len(rows), 4)) * np.array([WRONG[0], WRONG[0], WRONG[1], WRONG[1]])
    x_hat = observer.run(x[:, 0] + off, u, y)
    error = x_hat - x
    late = error[:, held_out.t[:n] >= SETTLED]
    thin = slice(None, None, 2)
    return {
        "rms": np.sqrt(np.mean(late**2, axis=(0, 1))).tolist(), "largest": np.max(np.abs(late), axis=(0, 1)).tolist(),
        "median": np.median(np.abs(error), axis=0)[thin].tolist(), "x_hat": x_hat[0, thin].tolist(),
    }  # fmt: skip


def _reference(held_out: Trajectories, dt: float) -> dict[str, Any]:
    """The first held-out swing, and how far the reference rates are from central differences of the angles: what they are good to."""
    n = int(held_out.lengths.min())
    rates = (held_out.y[:, 2:n] - held_out.y[:, : n - 2]) / (2 * dt)
    floor = np.sqrt(np.mean((rates - held_out.x[:, 1 : n - 1, 2:]) ** 2, axis=(0, 1)))
    return {"t": held_out.t[:n:2].tolist(), "x": held_out.x[0, :n:2].tolist(), "floor": floor.tolist()}
