"""Kill a run at random moments until it has finished: the body of test_kill.py, in a process of its own that may fork.

Usage: python kill_points.py FOLDER KILLS SEED. Prints one JSON line: kills, and the hashes of both observers.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import matplotlib.figure  # noqa: F401 - loaded before forking, so that a child is at work when it is killed
import torch  # noqa: F401

import observer.fitting.solvers.gauss_newton
import observer.networks.ren.contracting  # noqa: F401
import reports.writing  # noqa: F401
from experiments.cli import main
from observer import load_run
from observer.fitting.solvers import loop
from observer.storage import file_hash

ARGUMENTS = ["--neurons", "4", "--epochs", "50", "--trials", "5", "--quiet"]


def run(plant: Path, out: Path) -> None:
    """In a child: the whole pipeline, then leave without the parent's clean-up."""
    loop.SAVE_EVERY = 0.02
    sys.argv = ["observer", "run", str(plant), "--out", str(out), *ARGUMENTS]
    code = 3
    try:
        main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        os._exit(code)


def start(plant: Path, out: Path) -> int:
    child = os.fork()
    if child == 0:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        run(plant, out)
    return child


def finish(plant: Path, out: Path) -> float:
    began = time.perf_counter()
    _, status = os.waitpid(start(plant, out), 0)
    assert os.waitstatus_to_exitcode(status) == 0, f"exit {os.waitstatus_to_exitcode(status)}"
    return time.perf_counter() - began


def weights(out: Path) -> list[list[float]]:
    observer = load_run(out).observer
    return [value.reshape(-1).tolist() for value in observer.weights.weights().values()]


def torture(folder: Path, kills: int, seed: int) -> None:
    plant = folder / "plant.toml"
    whole, broken = folder / "whole", folder / "broken"
    length = finish(plant, whole)
    moments, killed = random.Random(seed), 0
    while killed < kills:
        child = start(plant, broken)
        time.sleep(moments.uniform(0.0, 0.4 * length))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            killed += 1
        elif os.waitstatus_to_exitcode(status) == 0:  # it was quicker than the moment: start the next one afresh
            import shutil

            assert weights(broken) == weights(whole)
            shutil.rmtree(broken)
        else:
            raise AssertionError(f"a resumed run ended with exit {os.waitstatus_to_exitcode(status)}")
        for file in broken.glob("*") if broken.exists() else ():
            if file.suffix == ".json":
                json.loads(file.read_text())  # whole or not there
    finish(plant, broken)
    stale = [p.name for p in broken.rglob(".*")]
    print(
        json.dumps(
            {"kills": killed, "same": weights(broken) == weights(whole), "stale": stale, "hash": file_hash(plant)}
        )
    )


if __name__ == "__main__":
    torture(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
