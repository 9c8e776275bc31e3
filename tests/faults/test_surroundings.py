"""A folder that may only be read, and a user without a home or caches: readers work, writers say why they do not."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from systems.base.arrays import read_arrays
from tests.faults.conftest import ROOT, SMALL, contents, weights

#: Runs several commands in one process; a line of JSON for each: exit code, stdout, stderr.
COMMANDS = """
import contextlib, io, json, os, sys
from experiments.cli.app import app
if os.environ.pop("SMALL_REPORT", ""):
    import reports
    from tests.faults.conftest import small_report
    reports.write_report = small_report
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            app(words, prog_name="observer")
        except SystemExit as ended:
            code = ended.code
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


def answers(folder, commands, *before, **environment):
    """(code, out, err) of each command, in a process of its own; ``before``: the words in front of it."""
    there = {
        name: value for name, value in (os.environ | {"PYTHONPATH": ROOT} | environment).items() if value is not None
    }
    words = [*before, sys.executable, "-c", COMMANDS, json.dumps(commands)]
    ended = subprocess.run(words, cwd=folder, env=there, capture_output=True, text=True)
    assert ended.returncode == 0 and "Traceback" not in ended.stderr, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def _mounts():
    return shutil.which("unshare") and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


def is_honest(answer):
    """Whether ``verify --json`` found nothing but the page that stands in for the report here."""
    code, out, _ = answer
    found = json.loads(out)
    return (
        code == 1
        and not found["unconfirmed"]
        and all(text.startswith(("report.html", "figures")) for text in found["differs"])
    )


@pytest.mark.skipif(not _mounts(), reason="may not mount a file system")
def test_a_run_that_may_only_be_read(shop):
    (shop / "inside").mkdir()
    readers = [
        ["verify", "run", "--json"],
        ["estimate", "run", "log.csv", "-o", "out.csv"],
        ["export", "run", "-o", "data", "--format", "npz"],
    ]
    writers = [
        ["certify", "run"], ["validate", "run"], ["report", "run"], ["fit", "run", "--fresh"],
        ["run", "spring.toml", "--out", "run", *SMALL, "--fresh"], ["simulate", "spring.toml", "--out", "run", *SMALL],
        ["fine-tune", "run", "--out", "run/new"], ["new", "run/new.toml"],
    ]  # fmt: skip
    before = contents(shop / "run")
    mount = 'mount --bind run run && mount -o remount,ro,bind run && "$@"'
    found = answers(shop, readers + writers, "unshare", "-m", "sh", "-c", mount, "sh")
    for words, (code, out, err) in zip(readers, found, strict=False):
        assert is_honest((code, out, err)) if words[0] == "verify" else code == 0, (words, out)
        assert err == "", (words, err)
    for words, (code, out, err) in zip(writers, found[len(readers) :], strict=True):
        assert code == 2 and out == "" and len(err.splitlines()) == 1, (words, code, out, err)
        assert err.startswith("error: run/") and ("read-only" in err or "the folder of a run" in err), err
    assert contents(shop / "run") == before and len((shop / "out.csv").read_text().splitlines()) > 10


NOWHERE = dict.fromkeys(
    ("REN_OBSERVER_CACHE", "NUMBA_CACHE_DIR", "MPLCONFIGDIR", "XDG_CACHE_HOME", "TMPDIR"), "/proc/nowhere"
)


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"HOME": None, **NOWHERE}, id="nothing"),
        pytest.param({"HOME": None, "USER": None, "LOGNAME": None}, id="no home", marks=pytest.mark.slow),
        pytest.param({"HOME": "/nowhere"}, id="home of nobody", marks=pytest.mark.slow),
        pytest.param({"HOME": "/proc", **NOWHERE}, id="read-only home", marks=pytest.mark.slow),
    ],
)
def test_without_a_home_or_caches_the_same_run_is_made(shop, environment):
    commands = [
        ["run", "spring.toml", "--out", "again", *SMALL],
        ["verify", "again", "--json"],
        ["run", "box", "--out", "box", *SMALL],
    ]
    (code, _, err), verified, (of_box, *_) = answers(shop, commands, SMALL_REPORT="yes", **environment)
    said = [
        line for line in err.splitlines() if "MPLCONFIGDIR" not in line and not line.startswith("mkdir -p")
    ]  # by matplotlib
    assert code in (0, 1) and not said and is_honest(verified) and of_box in (0, 1), err
    for name in ("trajectories.npz", "validation.npz"):
        one, two = (read_arrays(shop / folder / name) for folder in ("again", "run"))
        assert all(np.array_equal(one[key], two[key]) for key in ("t", "x", "u", "y")), (
            name
        )  # not the command that made them
    assert weights("again") == weights("run")
    (answer,) = answers(shop, [["report", "again", "--quiet"]], **environment)
    assert (
        answer[0] in (0, 1) and "Traceback" not in answer[2] and len(list((shop / "again" / "figures").iterdir())) > 5
    )
