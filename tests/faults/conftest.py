"""What the suite of faults shares: a finished run of a fraction of a second, and the command line in this process."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import reports
from experiments.cli.app import app
from observer import load_run
from systems import discretize, load_system, simulate, write_recordings
from tests.experiments.conftest import observer  # noqa: F401 - a fixture
from tests.plants import FREE_SPRING

ROOT = str(Path(__file__).parents[2])
SMALL = ["--trajectories", "4", "--duration", "3", "--neurons", "2", "--epochs", "4", "--trials", "3", "--quiet"]


def small_report(run, **_):
    """In place of the report, whose figures take seconds and have tests of their own."""
    from reports.writing import publish

    return publish(run.path, "page", [SimpleNamespace(files={"errors.png": b"picture"})], ["errors"])  # type: ignore[list-item]


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A folder with a plant, a log of it, and a finished run of it called ``run``."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "spring.toml").write_text(FREE_SPRING)
    system = load_system(folder / "spring.toml")
    write_recordings(simulate(discretize(system), 1, duration=2.0, seed=1), folder / "log.csv", system)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(reports, "write_report", small_report, raising=False)
        with pytest.raises(SystemExit) as ended:
            app(["run", "spring.toml", "--out", "run", *SMALL], prog_name="observer")
    assert ended.value.code in (0, 1)
    return folder


@pytest.fixture
def shop(finished, tmp_path, monkeypatch):
    """A copy of it that a test may change, as the working folder."""
    folder = tmp_path / "shop"
    shutil.copytree(finished, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(reports, "write_report", small_report, raising=False)
    return folder


@pytest.fixture
def broken_off():
    """``broken_off("kills", folder, count, seed)``: what that finds, in a process of its own that may fork."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")

    def call(*words):
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "PYTHONPATH": ROOT}
        command = [sys.executable, "-m", "tests.faults.broken_off", *map(str, words)]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ | one_thread)
        assert ended.returncode == 0, ended.stderr[-3000:]
        return json.loads(ended.stdout.strip().splitlines()[-1])

    return call


def contents(folder: Path) -> dict[str, bytes | str]:
    """Every file, folder and link beneath ``folder``, links by their target."""
    found: dict[str, bytes | str] = {}
    for item in sorted(folder.rglob("*")):
        name = str(item.relative_to(folder))
        found[name] = (
            f"-> {item.readlink()}" if item.is_symlink() else item.read_bytes() if item.is_file() else "folder"
        )
    return found


def weights(folder) -> list[bytes]:
    """The weights of the observer of a run."""
    return [np.asarray(value).tobytes() for value in load_run(folder).observer.weights.weights().values()]


def refused(answer, *words):
    """Exit 2 with one line that has these words, and nothing on stdout."""
    lines = answer.err.splitlines()
    assert answer.code == 2 and answer.out == "" and len(lines) == 1, (answer.code, answer.out, answer.err)
    assert lines[0].startswith("error: ") and "Traceback" not in answer.err
    for word in words:
        assert word in lines[0], lines[0]
