"""Do the intervals of a calibration hold what they say? Plants with known parameters, noisy logs of u and y, many seeds.

    python -m benchmarks.calibration [--seeds 50] [--plants van_der_pol,two_mass]

Of each parameter: the share of the seeds whose 95 % interval holds the truth, the largest deviation from it in standard deviations, and
the root mean square of that number, which is 1 where the stated deviation is right.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from observer.calibration.calibrate import Calibration, calibrate
from systems import Signal, System, discretize, load_system, simulate
from systems.signals import Parameter


def two_mass() -> System:
    """A motor turns a load through a shaft that twists; the speed of the motor is measured."""

    def dynamics(x, u, p):  # type: ignore[no-untyped-def]
        motor, twist, load = x
        shaft = p["k"] * twist + p["c"] * (motor - load)
        return [(u[0] - shaft - p["b"] * motor) / p["J1"], motor - load, shaft / p["J2"]]

    return System(
        name="two_mass", description="Two-mass drive, motor speed measured",
        states=[
            Signal("motor", "rad/s", (-30, 30), initial=(-5, 5)), Signal("twist", "rad", (-1, 1), initial=(-0.1, 0.1)),
            Signal("load", "rad/s", (-30, 30), initial=(-5, 5)),
        ],
        inputs=[Signal("torque", "N m", (-2, 2))], outputs=[Signal("speed", "rad/s", noise=0.05)],
        parameters={
            "J1": Parameter(0.02, "kg m^2", (0.005, 0.05)), "J2": Parameter(0.05, "kg m^2", (0.01, 0.1)),
            "k": Parameter(20.0, "N m/rad", (5.0, 60.0)), "c": Parameter(0.05, "N m s/rad", (0.005, 0.3)),
            "b": Parameter(0.03, "N m s/rad", (0.001, 0.1)),
        },
        dynamics=dynamics, output=lambda x: [x[0]], dt=0.01, duration=2.5,
    )  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A plant, the parameters that its logs are made with, the noise of its outputs, the seconds of a log; ``hold``: samples for which a
    random input is held, where the usual excitation is too slow to show every parameter."""

    plant: Callable[[], System]
    truth: dict[str, float]
    noise: float
    seconds: float
    hold: int = 0


CASES = {
    "van_der_pol": Case(lambda: load_system("van_der_pol"), {"mu": 1.13}, 0.02, 10.0),
    "quadruple_tank": Case(lambda: load_system("quadruple_tank"), {"k1": 3.2, "k2": 3.45, "g1": 0.66, "g2": 0.63}, 0.02, 600.0),
    "quanser_qube": Case(lambda: load_system("quanser_qube"), {"Dr": 0.0011, "Dp": 0.0003}, 0.002, 2.0),
    "two_mass": Case(two_mass, {"J1": 0.017, "J2": 0.06, "k": 25.0, "c": 0.08, "b": 0.02}, 0.05, 2.5, hold=6),
}  # fmt: skip
LOGS = 2


def calibrated(name: str, seed: int, *, stated: bool = True) -> Calibration:
    """One calibration from noisy u and y; ``stated``: whether the plant states its noise."""
    case = CASES[name]
    system = case.plant()
    noisy = system.with_outputs(**{s.name: {"noise": case.noise} for s in system.outputs})
    plant, u = discretize(noisy.with_parameters(**case.truth)), None
    if case.hold:
        steps = round(case.seconds / plant.dt) + 1
        levels = np.random.default_rng(seed).uniform(
            *map(float, system.input_ranges[0]), size=(LOGS, -(-steps // case.hold))
        )
        u = np.repeat(levels, case.hold, axis=1)[:, :steps, None]
    data = simulate(plant, LOGS, case.seconds, seed=seed, noise=True, u=u)
    silent = noisy.with_outputs(**{s.name: {"noise": 0.0} for s in system.outputs})
    blind = type(data)(data.t, np.full_like(data.x, np.nan), data.u, data.y, data.lengths, data.source)
    return calibrate(discretize(noisy if stated else silent), blind, starts=1, held_out=0.0, seed=seed)


def coverage(name: str, seeds: int) -> dict[str, dict[str, float]]:
    """Of each parameter: share of the seeds that the interval covers, the largest and the RMS error in standard deviations."""
    truth = CASES[name].truth
    scores: dict[str, list[float]] = {key: [] for key in truth}
    held: dict[str, list[bool]] = {key: [] for key in truth}
    for seed in range(seeds):
        for e in calibrated(name, seed, stated=seed % 2 == 0).estimates:
            scores[e.name].append((e.value - truth[e.name]) / e.deviation)
            held[e.name].append(e.interval[0] <= truth[e.name] <= e.interval[1])
    return {
        key: {
            "covered": float(np.mean(held[key])), "largest": float(np.max(np.abs(scores[key]))),
            "rms": float(np.sqrt(np.mean(np.square(scores[key])))),
        }
        for key in truth
    }  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--plants", default=",".join(CASES))
    given = parser.parse_args()
    for name in given.plants.split(","):
        for key, found in coverage(name, given.seeds).items():
            print(
                f"{name:<16} {key:<4} covered {100 * found['covered']:.0f} %  largest {found['largest']:.2f}  RMS {found['rms']:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
