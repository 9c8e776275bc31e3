"""Time per step of the contracting REN and of every estimator on the same machine: one trajectory at a time, and a batch.

    python -m benchmarks.estimators --out docs/estimator_times.md

Every estimator takes the same trajectories through ``run``. The weights of the REN are drawn, not fitted: no time depends on them.
Estimators have the defaults of their tuning parameters. Processor time, least of many repetitions, so that other work on the machine
does not count; a run before the first counted one compiles. Plants of two states: 20 neurons, the default of ``observer run``.
"""

import argparse
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from observer.estimators import ESTIMATORS, compiled, get_estimator, label, make
from observer.networks.ren.contracting import ContractingREN
from observer.scaling import Scaling
from observer.state_observer import RENObserver, StateObserver
from observer.storage import write_text
from systems import ALL_SYSTEMS, discretize, simulate
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.trajectories import draw_initial_states

PLANTS = {
    "box": 20, "van_der_pol": 20, "duffing": 20, "fitzhugh_nagumo": 20, "reaction_diffusion": 30,
}  # plant: neurons  # fmt: skip
LARGE, FEW = 16, 60  # states; above, so many samples, and only what a person would run on such a plant
FOR_LARGE = ("open_loop", "steady_kalman", "extended_kalman")
LONG = {"moving_horizon": 12, "particle": 6000}  # samples that are enough for what takes long


@dataclass(frozen=True)
class Row:
    """Microseconds of processor time per step and trajectory."""

    plant: str
    estimator: str
    alone: float
    batched: float
    runs_as: str


def drawn_ren(plant: DiscreteSystem, neurons: int) -> RENObserver:
    """A contracting REN of the right size with drawn weights, about the middle of the region."""
    system = plant.system
    inputs = len(system.known) + system.ny
    ren = ContractingREN(inputs, system.nx, neurons, contraction_rate=0.9, identity_output=True)
    box = np.tile([-1.0, 1.0], (inputs, 1))
    return RENObserver(
        ren.explicit().to_numpy(), np.eye(system.nx), np.ones(neurons), 0.9,
        Scaling.from_box(np.tile([-1.0, 1.0], (system.nx, 1)), box), {}, plant,
    )  # fmt: skip


def least(function: Callable[[], object], repetitions: int) -> float:
    """Seconds of the processor that one call takes, the least of several after one that does not count."""
    function()
    times = []
    for _ in range(repetitions):
        begun = time.process_time()
        function()
        times.append(time.process_time() - begun)
    return min(times)


def covariance_product(nx: int) -> float:
    """Microseconds of A P A' for dense A and P ``(nx, nx)``."""
    a, p = np.random.default_rng(0).standard_normal((2, nx, nx))
    half, product = np.empty((nx, nx)), np.empty((nx, nx))

    def many() -> None:
        for _ in range(100):
            np.matmul(a, p, out=half)
            np.matmul(half, a.T, out=product)

    return 1e4 * least(many, 20)


def measured(name: str, observer: StateObserver, data: tuple[np.ndarray, ...], repetitions: int) -> tuple[float, float]:
    """(microseconds per step of one trajectory, and per step and trajectory of the batch)."""
    starts, u, y = data
    cut = min(LONG.get(name, u.shape[1]), u.shape[1])
    few = repetitions if name not in LONG else min(repetitions, 2)
    found = []
    for rows in (1, len(starts)):
        long = u.shape[1] if rows == 1 or name == "moving_horizon" else max(2, u.shape[1] // len(starts))
        samples = min(cut, long)
        part = starts[:rows], u[:rows, :samples], y[:rows, :samples]
        with np.errstate(all="ignore"):
            spent = least(lambda part=part: observer.run(*part), few)
        found.append(1e6 * spent / (rows * (samples - 1)))
    return found[0], found[1]


def measure_plant(name: str, neurons: int, samples: int, batch: int, repetitions: int) -> list[Row]:
    """All estimators on one plant; those that it does not allow are left out."""
    plant = discretize(ALL_SYSTEMS[name]())
    simulated = simulate(plant, batch, 20 * plant.dt, 0)
    repeats = -(-samples // 20)
    u, y = (np.tile(a[:, :20], (1, repeats, 1))[:, :samples] for a in (simulated.u, simulated.y))
    data = draw_initial_states(plant.system, batch, 1), u, y
    times = measured("ren", drawn_ren(plant, neurons), data, repetitions)
    rows = [Row(name, f"contracting REN, {neurons} neurons", *times, "machine code")]
    if plant.nx > LARGE:
        # The plant's Jacobian is too long for a compiler; this much no dense filter can do without.
        product = covariance_product(plant.nx)
        rows.append(Row(name, "A P A' alone, of a dense Kalman filter", product, product, "BLAS"))
        samples = min(samples, FEW)
        data = data[0], u[:, :samples], y[:, :samples]
    for kind in ESTIMATORS if plant.nx <= LARGE else FOR_LARGE:
        try:
            observer = make(kind, plant)
        except InputError:
            continue
        runs_as = getattr(get_estimator(kind), "RUNS", "NumPy")
        if runs_as == "machine code" and not compiled.serves(plant, np.eye(plant.ny), samples):
            runs_as = "NumPy"
        rows.append(Row(name, label(kind), *measured(kind, observer, data, repetitions), runs_as))
    return rows


def page(rows: list[Row], batch: int) -> str:
    """The table as Markdown."""
    lines = [
        "# Time per step of the estimators", "",
        f"Written by `python -m benchmarks.estimators` on {platform.machine()}, one thread: microseconds of processor time per "
        f"step, least of several runs. Alone: one trajectory, as beside a plant. Batch: per trajectory of {batch}. "
        "Machine code is one compiled loop over all samples with the plant's equations inside; MHE solves its programs in CasADi. "
        "The particle filter draws its random numbers in NumPy, once per sample for the whole batch.", "",
        "| plant | estimator | alone, us | batch, us | runs as |", "| --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    lines += [f"| {r.plant} | {r.estimator} | {r.alone:.3g} | {r.batched:.3g} | {r.runs_as} |" for r in rows]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plants", nargs="+", default=list(PLANTS), choices=list(PLANTS))
    parser.add_argument("--samples", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--out", default=None, help="Markdown file to write")
    options = parser.parse_args(arguments)
    rows: list[Row] = []
    for name in options.plants:
        rows += measure_plant(name, PLANTS[name], options.samples, options.batch, options.repetitions)
        for r in rows[-sum(row.plant == name for row in rows) :]:
            print(f"{r.plant:20} {r.estimator:30} {r.alone:10.3g} {r.batched:10.3g}  {r.runs_as}", flush=True)
    if options.out:
        write_text(Path(options.out), page(rows, options.batch))
        print(f"written to {options.out}")


if __name__ == "__main__":
    main()
