"""The protocol of HyperKKL (2026): SMAPE of observers of driven oscillators, from zero, transient included.

The plant is the classical Runge-Kutta map of step dt, one step a sample, with the input held over it. 100 initial states by Latin
hypercube in the published box, x_hat0 = 0, over 50 s (FitzHugh-Nagumo 100 s), and

    SMAPE = mean over trials, samples (the first included) and states of 200 |x - x_hat| / (|x| + |x_hat| + 1e-8)   [%]

for each of four inputs, whose parameters are drawn per trial: zero; constant U[-1, 1]; A sin(w t + phi), A U[0.1, 1],
w U[0.5, 3], phi U[0, 2 pi]; square wave A sign(sin(w t)), A U[0.1, 1], w U[0.5, 2]. Lorenz is not in the published table;
it is measured by the same protocol with dt = 0.01 from the box of Rössler, [-10, 10]^3. From a few states of that box (x3 < 0) Rössler
itself escapes to infinity in finite time; the paper does not say what it does with them. They are drawn anew and counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import qmc

from experiments.named.published_tables.projection import projection_run
from experiments.named.published_tables.rows import Entry, ErrorTrace, Fitted, Measurement, ProtocolSize, Row, thinned
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem, discretize
from systems.system import System
from systems.trajectories import Trajectories, simulate

INPUTS = ("zero", "const", "sin", "square")
TRIALS = 100


@dataclass(frozen=True)
class Protocol:
    """A plant of the table: library name, published box of initial states ``(nx, 2)``, dt and duration [s], published SMAPE [%]."""

    plant: str
    box: tuple[tuple[float, float], ...]
    published: tuple[float, ...] | None
    bar: float | None
    dt: float = 0.05
    duration: float = 50.0

    def system(self) -> System:
        """The library plant with the published box as its ranges and set of initial states, and inputs in [-1, 1].

        The region that is fitted is the hull of this box and of what the trajectories reach from it.
        """
        import systems.library as library

        system = library.ALL_SYSTEMS[self.plant]()
        changes = {
            name: {"range": interval, "initial": interval}
            for name, interval in zip(system.state_names, self.box, strict=True)
        }
        return system.with_states(**changes)

    def discretized(self) -> DiscreteSystem:
        """One classical Runge-Kutta step a sample, as published."""
        return discretize(self.system(), dt=self.dt, method="rk4", substeps=1)


PROTOCOLS: dict[str, Protocol] = {
    "duffing": Protocol("duffing", ((-1.0, 1.0),) * 2, (5.6, 21.1, 22.7, 21.3), 1.0),
    "van_der_pol": Protocol("van_der_pol", ((-3.0, 3.0),) * 2, (5.0, 26.0, 15.5, 17.9), 1.0),
    "fitzhugh_nagumo": Protocol(
        "fitzhugh_nagumo", ((-2.5, 2.5), (-1.5, 1.5)), (9.8, 42.1, 30.9, 32.5), 1.0, duration=100.0
    ),
    "rossler": Protocol("rossler", ((-10.0, 10.0),) * 3, (52.7, 55.4, 53.5, 54.0), None),
    "lorenz": Protocol("lorenz", ((-10.0, 10.0),) * 3, None, 2.0, dt=0.01),
}

#: Arguments of ``fit`` per plant; ``trajectories`` and ``data_duration`` [s] are those of the training data.
RECIPES: dict[str, dict[str, Any]] = {
    "duffing": {"neurons": 12, "contraction_rate": 0.65},
    "van_der_pol": {"neurons": 12, "contraction_rate": 0.65},
    "fitzhugh_nagumo": {"neurons": 12, "contraction_rate": 0.87},
    "rossler": {"neurons": 20, "contraction_rate": 0.9},
    "lorenz": {"neurons": 12, "contraction_rate": 0.985},
}
BUDGET, TRAJECTORIES = 20.0, 100


def initial_states(box: np.ndarray, count: int, seed: int) -> np.ndarray:
    """``(count, nx)`` Latin-hypercube points of the box ``(nx, 2)``."""
    unit = qmc.LatinHypercube(len(box), seed=np.random.default_rng([seed, 31])).random(count)  # type: ignore[call-arg]
    return box[:, 0] + unit * np.ptp(box, axis=1)


def inputs(kind: str, count: int, t: np.ndarray, seed: int) -> np.ndarray:
    """``(count, N)`` inputs of one kind at the times t ``(N,)``, held until the next sample."""
    rng = np.random.default_rng([seed, 37, INPUTS.index(kind)])
    if kind == "zero":
        return np.zeros((count, len(t)))
    if kind == "const":
        return np.repeat(rng.uniform(-1.0, 1.0, (count, 1)), len(t), axis=1)
    amplitude = rng.uniform(0.1, 1.0, (count, 1))
    if kind == "sin":
        return amplitude * np.sin(rng.uniform(0.5, 3.0, (count, 1)) * t + rng.uniform(0.0, 2 * np.pi, (count, 1)))
    return amplitude * np.where(np.sin(rng.uniform(0.5, 2.0, (count, 1)) * t) >= 0, 1.0, -1.0)


def trials(plant: DiscreteSystem, kind: str, count: int, duration: float, seed: int) -> tuple[Trajectories, int]:
    """The published trials of one input: Latin-hypercube states in the plant's initial box, inputs drawn per trial.

    Also how many initial states had to be drawn anew.
    """
    t = plant.dt * np.arange(round(duration / plant.dt) + 1)
    u = inputs(kind, count, t, seed)[:, :, None]
    first = initial_states(plant.system.initial_ranges, count, seed + 1000 * INPUTS.index(kind))
    x0, redrawn = lasting(plant, first, u, seed)
    return simulate(plant, x0=x0, u=u, duration=duration), redrawn


def lasting(plant: DiscreteSystem, x0: np.ndarray, u: np.ndarray, seed: int) -> tuple[np.ndarray, int]:
    """x0 ``(K, nx)`` with those redrawn from which the plant itself does not last over u ``(K, N, nu)``, and how many.

    A trajectory lasts while it is finite and within ten ranges, as :func:`systems.simulate` asks.
    """
    x0, box = x0.copy(), plant.system.initial_ranges
    rng = np.random.default_rng([seed, 41])
    pending, redrawn = np.arange(len(x0)), 0
    for _ in range(100):
        with np.errstate(all="ignore"):
            x = plant.rollout(x0[pending], u[pending, :-1])
            inside = np.abs(x - box.mean(axis=1)) <= 10 * np.ptp(plant.system.state_ranges, axis=1)
        pending = pending[~inside.all(axis=(1, 2))]
        if not len(pending):
            return x0, redrawn
        redrawn += len(pending)
        x0[pending] = rng.uniform(box[:, 0], box[:, 1], (len(pending), plant.nx))
    raise InputError(f"plant '{plant.system.name}' leaves all bounds from nearly every initial state in {box.tolist()}")


def training_data(plant: DiscreteSystem, count: int, duration: float, seed: int) -> Trajectories:
    """Trajectories to learn from: the same boxes and input laws as the trials, drawn from other seeds."""
    t = plant.dt * np.arange(round(duration / plant.dt) + 1)
    share = -(-count // len(INPUTS))
    u = np.concatenate([inputs(kind, share, t, seed + 500_009) for kind in INPUTS])[:count]
    x0, _ = lasting(
        plant, initial_states(plant.system.initial_ranges, count, seed + 500_009), u[:, :, None], seed + 500_009
    )
    return simulate(plant, x0=x0, u=u[:, :, None], duration=duration)


def smape_terms(x: np.ndarray, x_hat: np.ndarray) -> np.ndarray:
    """Elementwise 200 |x - x_hat| / (|x| + |x_hat| + 1e-8) [%]; an estimate that is not finite counts as 200."""
    with np.errstate(over="ignore", invalid="ignore"):
        terms = 200 * np.abs(x - x_hat) / (np.abs(x) + np.abs(x_hat) + 1e-8)
    return np.where(np.isfinite(terms), terms, 200.0)


def smape(x: np.ndarray, x_hat: np.ndarray) -> float:
    """The mean of :func:`smape_terms` over trials, samples and states [%]."""
    return float(np.mean(smape_terms(x, x_hat)))


def measure(name: str, seed: int, size: ProtocolSize) -> Measurement:
    """Fit one observer for a plant of the table and score it under each input, beside the projection observer."""
    protocol, recipe = PROTOCOLS[name], dict(RECIPES[name])
    plant = protocol.discretized()
    duration = size.duration * protocol.duration
    count = size.trajectories or recipe.pop("trajectories", TRAJECTORIES)
    data = training_data(plant, count, min(duration, recipe.pop("data_duration", duration)), seed)
    fitted = Fitted.on(plant, data, seed, size.fitting({"budget": BUDGET, **recipe}))
    result = fitted.result
    values: dict[str, float] = {}
    curves: list[ErrorTrace] = []
    outside = redrawn = 0
    for kind in INPUTS:
        test, again = trials(plant, kind, size.trials or TRIALS, duration, seed + 1)
        redrawn += again
        zero = np.zeros((len(test), plant.nx))
        terms = smape_terms(test.x, result.observer.run(zero, test.u, test.y))
        values[f"smape.{kind}"] = float(terms.mean())
        values[f"projection.{kind}"] = smape(
            test.x, projection_run(plant, result.observer.metric, zero, test.u, test.y)
        )
        for k, state in enumerate(plant.system.state_names):
            values[f"smape.{kind}.{state}"] = float(terms[:, :, k].mean())
        curves.append(thinned(test.t, terms.mean(axis=(0, 2)), name, kind))
        region = result.region
        outside += int((~((test.x >= region[:, 0]) & (test.x <= region[:, 1])).all(axis=(1, 2))).sum())
    facts = {
        "fastest rate": result.search.rate, "one-step loss": result.one_step_loss, "one-step rms": result.one_step_rms,
        "region": result.region, "trials drawn anew": redrawn, "trials that leave the region": outside, "dt": plant.dt,
    }  # fmt: skip
    return fitted.measurement(values, facts, curves)


def _row(name: str, group: str) -> Row:
    protocol = PROTOCOLS[name]
    published: Mapping[str, float] = dict(zip(INPUTS, protocol.published or (), strict=False))
    entries = tuple(
        Entry(
            f"smape.{kind}", kind, "%", published.get(kind),
            protocol.bar if protocol.bar is not None else published.get(kind), strict=protocol.bar is None,
        )
        for kind in INPUTS
    )  # fmt: skip
    title = f"{protocol.system().description}, dt {protocol.dt:g} s"
    return Row(
        f"{group}.{name}" if group != name else name, title, entries, partial(measure, name), RECIPES[name], BUDGET
    )


def rows() -> tuple[Row, ...]:
    """The four plants of the published table, and Lorenz by the same protocol."""
    return tuple(_row(name, "hyperkkl" if p.published else name) for name, p in PROTOCOLS.items())
