"""Honest certificates, verified by others: how many parts agree, differ, or are not confirmed in the time given.

    python -m benchmarks.honest_certificates make FOLDER --plants all --seeds 10
    OMP_NUM_THREADS=2 python -m benchmarks.honest_certificates verify FOLDER
    OPENBLAS_CORETYPE=Nehalem NUMBA_CPU_NAME=nehalem python -m benchmarks.honest_certificates verify FOLDER    # another processor

``make`` fits a small observer for each plant and seed and certifies it; ``verify`` derives every certificate again in a process of its
own, with the threads and the instruction set that its environment asks for. What is done already is skipped.
"""

import argparse
import time
from collections import Counter
from pathlib import Path

from observer import Certificate, certify, fit, runs
from observer.certification.verification import AGREES, DIFFERS, verify_certificate
from observer.storage import load_observer, read_json, save_observer
from systems import ALL_SYSTEMS, discretize, simulate
from systems.base.errors import InputError


def make(folder: Path, plants: list[str], seeds: int, work: float) -> None:
    """One folder for each plant and seed, with its plant, observer and certificate."""
    for seed in range(seeds):
        for name in plants:
            one = folder / f"{name}_{seed}"
            if (one / runs.CERTIFICATE).is_file():
                continue
            begin, plant = time.monotonic(), discretize(ALL_SYSTEMS[name]())
            duration = 60 * plant.dt
            try:
                data = simulate(plant, 12, duration, seed)
                observer = fit(plant, data, neurons=3, iterations=6, seed=seed).observer
                found = certify(observer, plant, work=work, seed=seed)
            except InputError as error:
                print(f"{one.name:28} no run: {error}", flush=True)
                continue
            one.mkdir(parents=True, exist_ok=True)
            runs.save_plant(one, plant)
            save_observer(one / runs.OBSERVER, observer)
            runs.save_certificate(one, found)
            kind = "nothing" if found.bounds is None else found.bounds.kind
            print(f"{one.name:28} {kind:12} {time.monotonic() - begin:6.1f} s", flush=True)


def verify(folder: Path, budget: float) -> int:
    """How many certificates have a part that differs."""
    count, alarms = Counter(), 0
    for one in sorted(path.parent for path in folder.glob(f"*/{runs.CERTIFICATE}")):
        begin, plant = time.monotonic(), runs.load_plant(one)
        stored = Certificate.from_data(read_json(one / runs.CERTIFICATE))
        findings = verify_certificate(stored, load_observer(one / runs.OBSERVER, plant), plant, budget=budget)
        answers = Counter(f.answer for f in findings)
        worst = max(answers, key=lambda answer: (answer != AGREES, answer == DIFFERS))
        count[worst] += 1
        alarms += worst == DIFFERS
        print(f"{one.name:28} {worst:12} {time.monotonic() - begin:6.1f} s", flush=True)
        for f in findings:
            if f.answer != AGREES:
                print(f"    {f.answer}: {f.text}", flush=True)
    print(dict(count))
    return alarms


def main(arguments: list[str] | None = None) -> int:
    """Make or verify."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("make", "verify"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--plants", nargs="+", default=["all"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--work", type=float, default=0.2)
    parser.add_argument("--budget", type=float, default=120.0)
    options = parser.parse_args(arguments)
    if options.what == "verify":
        return min(1, verify(options.folder, options.budget))
    plants = sorted(ALL_SYSTEMS) if options.plants == ["all"] else options.plants
    make(options.folder, plants, options.seeds, options.work)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
