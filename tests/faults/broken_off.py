"""Commands broken off at random instants, in a process of its own that may fork: the body of test_broken_off.py and test_locks.py.

    python -m tests.faults.broken_off kills FOLDER COUNT SEED      SIGKILL; then the same command until it ends as an unbroken one
    python -m tests.faults.broken_off signals FOLDER COUNT SEED    SIGINT, SIGTERM, SIGHUP; likewise
    python -m tests.faults.broken_off twice FOLDER COUNT SEED      two processes at the same instant

Prints one JSON line. Every command is broken off COUNT times. With ROWS=run,fit in the environment only these.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.figure  # noqa: F401 - loaded before forking, so that a child is at work when it is broken off
import numpy as np
import torch  # noqa: F401

import experiments.compare.page
import experiments.compare.run
import observer.certification.certificate
import observer.fine_tuning.fine_tune
import observer.fitting.solvers.gauss_newton
import observer.networks.ren.contracting
import observer.validation.side_by_side
import reports.writing
from experiments.cli import main
from experiments.pipeline.lock import LOCK
from observer.fitting.solvers import loop
from observer.runs import load_run
from tests.plants import FREE_SPRING

SIZE = ["--trajectories", "10", "--duration", "4", "--neurons", "4", "--epochs", "60", "--trials", "5"]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: What a signal may end with: the exit codes, or its own default where it came before the program was ready for it.
CODES = {0, 1, 129, 130, 143, -signal.SIGTERM, -signal.SIGHUP}
#: Names in files that say how long something took (and ``...seconds``), or what was made of such numbers.
TIMINGS = ("seconds", "checksum", "hashes", "advice")


@dataclass(frozen=True)
class Row:
    """A command, and the state of the folder that it begins from: how many steps of ``STEPS`` are done."""

    words: list[str]
    before: int = 5


STEPS = [
    ["simulate", "plant.toml", "--out", "run", *SIZE],
    ["fit", "run"],
    ["certify", "run"],
    ["validate", "run"],
    ["report", "run"],
]
ROWS = {
    **{words[0]: Row(words, k) for k, words in enumerate(STEPS)},
    "run": Row(["run", "plant.toml", "--out", "run", *SIZE], 0),
    "export": Row(["export", "run", "-o", "data", "--force"]),
    "estimate": Row(["estimate", "run", "log.csv", "-o", "out.csv", "--force"]),
    "fine-tune": Row(["fine-tune", "run", "--out", "tuned", "--noise", "0.02", "--iterations", "8", "--horizon", "25"]),
    "compare": Row(
        [
            "compare",
            "run",
            "--out",
            "compared",
            "--no-fine-tune",
            "--estimators",
            "open_loop,projection",
            "--scenarios",
            "noise,bias",
            "--trials",
            "3",
            "--training",
            "3",
            "--evaluations",
            "4",
            "--duration",
            "2",
        ]
    ),
}


def small_report(run: Any, **_: Any) -> Path:
    """In place of the figures, which take seconds: one file among them and the page, as they are written."""
    picture = type("One", (), {"files": {"errors.png": b"picture" * 1000}})
    return reports.writing.publish(run.path, "page", [picture], ["errors"])


def small_comparison(folder: Path, **_: Any) -> Path:
    """Likewise for a comparison."""
    return reports.writing.publish(folder, "page", [], [])


def child(folder: Path, words: list[str], log: Path) -> int:
    """Fork; in the child run the command as ``observer`` does, then leave without the parent's clean-up."""
    process = os.fork()
    if process:
        return process
    code = 3
    try:
        os.chdir(folder)
        sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(sink, 1), os.dup2(sink, 2)
        loop.SAVE_EVERY = 0.02
        observer.certification.certificate.BUDGET = 1e4  # s: on a busy machine too, searches end by their work alone
        vars(reports)["write_report"] = small_report
        vars(experiments.compare.page)["write_estimators_report"] = small_comparison
        sys.argv = ["observer", *words, "--quiet"]
        main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    except KeyboardInterrupt:  # before the program was ready for it
        code = 130
    finally:
        os._exit(code)
    return 0


def ended(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def whole(folder: Path, words: list[str], log: Path) -> float:
    """Run the command to its end; its seconds."""
    began = time.perf_counter()
    code = ended(child(folder, words, log))
    assert code in (0, 1), f"{words[0]}: exit {code}, {log.read_text()[-2000:]}"
    return time.perf_counter() - began


def states(folder: Path, log: Path, count: int) -> list[Path]:
    """``folder/0``, ``folder/1`` and so on: the plant and its run after so many steps, never broken off."""
    from systems import discretize, load_system, simulate, write_recordings

    found = [folder / "0"]
    found[0].mkdir()
    (found[0] / "plant.toml").write_text(FREE_SPRING)
    system = load_system(found[0] / "plant.toml")
    write_recordings(simulate(discretize(system), 1, duration=4.0, seed=1), found[0] / "log.csv", system)
    for k, words in enumerate(STEPS[:count]):
        shutil.copytree(found[-1], folder / str(k + 1))
        found.append(folder / str(k + 1))
        whole(found[-1], words, log)
    return found


def content(folder: Path) -> dict[str, Any]:
    """What is in every file, but for how long something took."""
    files = [item for item in sorted(folder.rglob("*")) if item.is_file() and not item.name.startswith(".")]
    return {str(item.relative_to(folder)): _of_file(item) for item in files}


def _of_file(path: Path) -> Any:
    if path.suffix == ".json":
        return _without_timings(json.loads(path.read_text()))
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            return {name: _of_array(archive[name]) for name in archive.files if not name.endswith(TIMINGS)}
    if path.name == "history.csv":
        head, *rows = (line.split(",") for line in path.read_text().splitlines())
        kept = [k for k, name in enumerate(head) if not name.endswith(TIMINGS)]
        return [[row[k] for k in kept] for row in (head, *rows)]
    return path.read_bytes()


def _of_array(array: np.ndarray) -> Any:
    if array.dtype.kind == "U" and array.ndim == 0 and str(array).startswith("{"):
        return _without_timings(json.loads(str(array)))
    return (array.dtype.str, array.shape, array.tobytes())


def _without_timings(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_timings(item) for key, item in value.items() if not key.endswith(TIMINGS)}
    return [_without_timings(item) for item in value] if isinstance(value, list) else value


def differing(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two contents differ, for a person."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            text for key in sorted({*one, *other}) for text in differing(one.get(key), other.get(key), f"{path}/{key}")
        ]
    return [] if one == other else [path]


def half_written(folder: Path, killed: bool) -> list[str]:
    """Files that cannot be read, and without a kill also what should have been removed."""
    found = []
    for item in folder.rglob("*"):
        if item.name.startswith("."):
            found += (
                [] if killed or item.name == LOCK else [f"left: {item.name}"]
            )  # a signal may hit just before it is removed
            continue
        try:
            if item.suffix == ".json":
                json.loads(item.read_text())
            elif item.suffix == ".npz":
                _of_file(item)
        except Exception as error:
            found.append(f"{item.name}: {error}")
    for run in (folder / "run", folder / "tuned"):
        if (run / "system.json").exists():
            try:
                load_run(run)
            except Exception as error:
                found.append(f"load_run: {error}")
    return found


def break_off(folder: Path, count: int, seed: int, send: Callable[[random.Random], int]) -> dict[str, Any]:
    """Every row is broken off ``count`` times in all, goes on each time, and ends as an unbroken one."""
    log, moments, faults = folder / "log", random.Random(seed), Counter()
    chosen = os.environ.get("ROWS", ",".join(ROWS)).split(",")
    broken, codes = Counter(), Counter()
    before = states(folder, log, max(ROWS[name].before for name in chosen))
    for name in chosen:
        row = ROWS[name]
        expected, work = folder / f"{name} unbroken", folder / f"{name} broken"
        shutil.copytree(before[row.before], expected)
        length = whole(expected, row.words, log)
        unbroken = content(expected)
        shutil.copytree(before[row.before], work)
        tries = 0
        while broken[name] < count and tries < 20 * count:
            tries += 1
            process, number = child(work, row.words, log), send(moments)
            time.sleep(moments.uniform(0.0, (0.4 if row.before == 0 else 0.9) * length))
            os.kill(process, number)
            code = ended(process)
            codes[str(code)] += 1
            if number != signal.SIGKILL and code not in CODES:
                faults[f"{name}: exit {code}"] += 1
            for text in half_written(work, code < 0):
                faults[f"{name}: {text}"] += 1
            if code in (0, 1):  # it was quicker: compare, and begin anew
                faults.update(f"{name}: differs in {text}" for text in differing(unbroken, content(work)))
                shutil.rmtree(work)
                shutil.copytree(before[row.before], work)
            else:
                broken[name] += 1
        whole(work, row.words, log)
        faults.update(f"{name}: differs in {text}" for text in differing(unbroken, content(work)))
        for text in (text for run in (work / "run", work / "tuned") for text in half_written(run, False)):
            faults[f"{name}: {text} at the end"] += 1
    if "Traceback" in log.read_text():
        faults["traceback"] += 1
    return {"broken": broken, "codes": codes, "faults": faults}


def verified(folder: Path, log: Path) -> int:
    """The exit code of ``observer verify``, without the report of the test, which nobody can make again."""
    (folder / "run" / "report.html").unlink()
    shutil.rmtree(folder / "run" / "figures")
    return ended(child(folder, ["verify", "run"], log))


def twice(folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Two processes on one folder: one works, the other is refused, and the result is that of one alone."""
    log, moments, faults = folder / "log", random.Random(seed), Counter()
    words, refused, same = ROWS["run"].words, 0, 0
    before = states(folder, log, 0)
    whole(before[0], words, log)
    alone, as_alone = content(before[0]), verified(before[0], log)
    for k in range(count):
        work = folder / f"round {k}"
        work.mkdir()
        for name in ("plant.toml", "log.csv"):
            shutil.copy(before[0] / name, work)
        log.write_text("")
        processes = [child(work, words, log)]
        time.sleep(moments.choice([0.0, 0.0, moments.uniform(0.0, 0.05)]))
        processes.append(child(work, words, log))
        codes = sorted(map(ended, processes))
        if codes[0] not in (0, 1) or codes[1] != 2:
            faults[f"exit {codes}"] += 1
        refused += "at work in it" in log.read_text() and "error" in log.read_text()
        different = differing(alone, content(work))
        if verified(work, log) != as_alone:
            faults["verify"] += 1
        faults.update(different)
        same += not different
        if (work / "run" / LOCK).exists():
            faults["a lock is left"] += 1
    return {"rounds": count, "refused": refused, "same": same, "faults": faults}


if __name__ == "__main__":
    what, where, number, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    if what == "twice":
        print(json.dumps(twice(where, number, seed)))
    elif what == "kills":
        print(json.dumps(break_off(where, number, seed, lambda moments: signal.SIGKILL)))
    else:
        print(json.dumps(break_off(where, number, seed, lambda moments: moments.choice(SIGNALS))))
