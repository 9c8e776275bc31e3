"""Honest runs, verified by others: how many agree, differ, or are not confirmed in the time given.

    python -m benchmarks.honest_runs make FOLDER --seeds 10
    OMP_NUM_THREADS=2 NUMBA_NUM_THREADS=2 python -m benchmarks.honest_runs verify FOLDER
    OPENBLAS_CORETYPE=Nehalem NUMBA_CPU_NAME=nehalem python -m benchmarks.honest_runs verify FOLDER    # another processor

``make`` does every step of a small run for each plant and seed; ``verify`` derives each run again in a process of its own, with the
threads and the instruction set that its environment asks for. What is done already is skipped. Exit code 1: something differs.
"""

import argparse
import time
import warnings
from collections import Counter
from pathlib import Path

from experiments.pipeline.console import Console
from experiments.pipeline.prepare import run_in
from experiments.pipeline.recipe import build
from experiments.pipeline.verify import verify
from observer import runs
from systems import ALL_SYSTEMS
from systems.base.errors import InputError, NotDetectable

SIZE = {
    "data.trajectories": 12,
    "fit.neurons": 3,
    "fit.iterations": 6,
    "validation.trials": 6,
    "validation.worst_trials": 20,
}


def make(folder: Path, plants: list[str], seeds: int, samples: int) -> None:
    """A run for each plant and seed."""
    for seed in range(seeds):
        for name in plants:
            one, begin = folder / f"{name}_{seed}", time.monotonic()
            if (one / runs.METRICS).is_file():
                continue
            dt = ALL_SYSTEMS[name]().dt or 0.1
            lengths = {"data.duration": samples * dt, "validation.duration": samples * dt}
            try:
                run_in(
                    one,
                    build({"system": name, "seed": seed, **SIZE, **lengths}, {}),
                    fresh=False,
                    console=Console(True),
                )
            except (InputError, NotDetectable) as error:
                print(f"{one.name:28} no run: {error}", flush=True)
                continue
            print(f"{one.name:28} made in {time.monotonic() - begin:6.1f} s", flush=True)


def examine(folder: Path, plants: list[str], budget: float) -> int:
    """How many runs have a part that differs."""
    count: Counter[str] = Counter()
    for one in sorted(path.parent for path in folder.glob(f"*/{runs.METRICS}")):
        if one.name.rpartition("_")[0] not in plants:
            continue
        begin, found = time.monotonic(), verify(one, budget=budget)
        answer = "differs" if found.differs else "unconfirmed" if found.unconfirmed else "agrees"
        count[answer] += 1
        print(f"{one.name:28} {answer:12} {time.monotonic() - begin:6.1f} s", flush=True)
        for text in (*found.differs, *found.unconfirmed):
            print(f"    {text}", flush=True)
    print(", ".join(f"{number} {answer}" for answer, number in count.items()) or "no runs")
    return count["differs"]


def main(arguments: list[str] | None = None) -> int:
    """Make or verify."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("make", "verify"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--plants", nargs="+", default=sorted(ALL_SYSTEMS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--samples", type=int, default=60, help="samples of each trajectory and trial")
    parser.add_argument("--budget", type=float, default=120.0, help="seconds for each run that is verified")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    if options.what == "verify":
        return min(1, examine(options.folder, options.plants, options.budget))
    make(options.folder, options.plants, options.seeds, options.samples)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
