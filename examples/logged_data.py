"""Logged data: a log as a real logger writes it, with gaps and irregular stamps, read and replayed through an observer.

The shell does the same with `observer fit --data 'logs/*.csv' --plant FILE --out RUN` and
`observer estimate RUN log.csv -o out.csv`. Run it with `python examples/logged_data.py`.
"""

import tempfile
from pathlib import Path

import numpy as np

from observer import fit
from systems import discretize, pendulum, read_recordings, simulate


def write_log(path: Path, seed: int) -> None:
    """One swing of a pendulum as a log: stamps with a millisecond of jitter, a sensor that drops out, a gap of a second."""
    plant = discretize(pendulum())
    rng = np.random.default_rng(seed)
    truth = simulate(plant, 1, duration=10.0, seed=seed)
    rows = ["time,angle,rate,torque,encoder", "s,rad,rad/s,rad/s^2,rad"]  # the units are compared with the plant's
    for k, t in enumerate(truth.t):
        if 4.0 < t < 5.0:
            continue  # the logger was busy
        angle, rate = truth.x[0, k]
        encoder = "" if rng.random() < 0.02 else f"{truth.y[0, k, 0]:.6f}"  # an empty cell is a missing value
        rows.append(f"{t + rng.uniform(0, 1e-3):.6f},{angle:.6f},{rate:.6f},{truth.u[0, k, 0]:.6f},{encoder}")
    path.write_text("\n".join(rows) + "\n")


def main(neurons: int = 4, iterations: int = 30) -> np.ndarray:
    """Learn from three logs, replay the observer over a fourth; returns its RMS errors (rad, rad/s)."""
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder) / f"swing_{seed}.csv" for seed in range(4)]
        for seed, log in enumerate(logs):
            write_log(log, seed)
        plant = discretize(pendulum())
        columns = {"measured_angle": "encoder"}  # a column with another name than its signal
        data = read_recordings(logs[:3], plant.system, columns=columns)
        fresh = read_recordings(logs[3], plant.system, columns=columns)
    print(f"learning from {len(data)} logs, {len(data.transitions())} complete steps of {plant.dt:g} s")
    fitted = fit(plant, data, neurons, iterations=iterations)

    # A sample without a measurement is nan: there the observer uses its own prediction. Missing inputs must be filled.
    u = np.nan_to_num(fresh.u)
    x_hat = fitted.observer.run(np.zeros(2), u, fresh.y)  # the initial state of the pendulum is unknown
    late = fresh.t > 6.0
    rms = np.sqrt(np.nanmean((x_hat - fresh.x)[0, late] ** 2, axis=0))
    print(f"{int(np.isnan(fresh.y).sum())} samples have no measurement")
    print(f"RMS error after 6 s: angle {rms[0]:.4f} rad, rate {rms[1]:.4f} rad/s")
    return rms


if __name__ == "__main__":
    main()
