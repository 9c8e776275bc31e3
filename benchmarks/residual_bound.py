"""How close proved residuals come to attained ones, and certified steady errors to observed ones, on library plants.

    python -m benchmarks.residual_bound --plants box duffing lorenz --fit 20 --budget 30

Each plant is fitted for ``--fit`` seconds. The first table is of the one-step residual over states and inputs. The second is
of N steps, unforced: the certified steady error of each state over the worst one observed in rollouts from random
initial states in the region with an exact initial estimate, in the second half of 8 N samples of trajectories that stay inside.
"""

import argparse
import time

import numpy as np

from observer import certify, fit
from observer.certification.residual import Unprovable, bound_horizon, bound_residual
from observer.state_observer import RENObserver
from systems import ALL_SYSTEMS, discretize, simulate
from systems.discretization import DiscreteSystem

PLANTS = ("box", "van_der_pol", "duffing", "fitzhugh_nagumo", "pendulum", "lorenz")


def worst_seen(
    observer: RENObserver, plant: DiscreteSystem, region: np.ndarray, samples: int, starts: int, seed: int
) -> tuple[np.ndarray, int]:
    """(largest |e_i| (nx,) in the second half of ``samples``, how many trajectories stayed in the region until the end)."""
    rng = np.random.default_rng(seed)
    states, held = region[: plant.nx], region[plant.nx :].mean(axis=1)
    x = rng.uniform(states[:, 0], states[:, 1], (starts, plant.nx))
    u = np.broadcast_to(held, (starts, plant.nu))
    estimate, inside, worst = x, np.ones(starts, dtype=bool), np.zeros((starts, plant.nx))
    with np.errstate(all="ignore"):
        for k in range(samples):
            y = plant.output(x, u)
            known = u[:, plant.system.known]
            x, estimate = plant.step(x, u), observer.weights.next_state(estimate, np.concatenate([known, y], axis=1))
            inside &= ((states[:, 0] <= x) & (x <= states[:, 1])).all(axis=1)
            if k >= samples // 2:
                worst = np.maximum(worst, np.abs(estimate - x))
    return worst[inside].max(axis=0, initial=0.0), int(inside.sum())


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{v:.3g}" for v in values)


def main(arguments: list[str] | None = None) -> None:
    """Fit, bound, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plants", nargs="+", default=list(PLANTS), choices=sorted(ALL_SYSTEMS))
    parser.add_argument("--neurons", type=int, default=20)
    parser.add_argument("--fit", type=float, default=20.0, help="seconds of fitting per plant")
    parser.add_argument("--budget", type=float, default=30.0, help="seconds per bound")
    parser.add_argument("--starts", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args(arguments)
    lines: list[str] = []
    print("plant             dims   proved      attained    ratio   cells    seconds  status")
    for name in options.plants:
        plant = discretize(ALL_SYSTEMS[name]())
        data = simulate(plant, 50, seed=options.seed)
        observer = fit(plant, data, neurons=options.neurons, budget=options.fit, seed=options.seed).observer
        try:  # a first call compiles, or loads what was compiled
            bound_residual(observer, plant, budget=0.0, threads=options.threads)
            b = bound_residual(observer, plant, budget=options.budget, threads=options.threads, seed=options.seed)
        except Unprovable as error:
            print(f"{name:17} {error}")
            continue
        dims = int((np.ptp(b.region, axis=1) > 0).sum())
        ratio = b.upper / b.lower
        text = (
            f"{name:17} {dims:4}   {b.upper:.4e}  {b.lower:.4e}  {ratio:5.3f} {b.cells:8}  {b.seconds:7.2f}  {b.status}"
        )
        print(text, flush=True)
        rate = certify(observer, plant).rate
        begun = time.perf_counter()
        h = bound_horizon(observer, plant, rate=rate, budget=options.budget, threads=options.threads, seed=options.seed)
        seen, inside = worst_seen(observer, plant, h.region, 8 * h.steps, options.starts, options.seed + 1)
        with np.errstate(divide="ignore"):
            over, apart = h.steady_state / seen, h.state_upper / h.state_lower
        lines.append(
            f"{name:17} {h.steps:4} {h.cells:7} {time.perf_counter() - begun:8.1f}  {h.status:7} sup |d|: {_numbers(apart)}"
            f"   steady: {_numbers(h.steady_state)}   seen: {_numbers(seen)} ({inside} inside)   ratio: {_numbers(over)}"
        )
    print(
        "\nplant                N   cells  seconds  status  proved over attained sup |d_i|, certified steady error, worst seen"
    )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
