"""Standard streams that are closed, full, ASCII only or without a reader: the work is done, and no traceback is shown."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import experiments
from experiments.pipeline.console import answer, show
from experiments.pipeline.streams import Outlet, lost_results
from tests.plants import FREE_SPRING

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a POSIX shell and /dev/full")
ROOT = str(Path(experiments.__file__).parents[1])
NEW = "-m experiments.cli new plant.toml"
LIST = "-m experiments.cli list"


def shell(line, folder, **environment):
    """A line of ``bash`` in which PY is the interpreter; (exit code, stdout, stderr)."""
    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line.replace('PY ', f'{sys.executable} ')}"],
        cwd=folder, env=os.environ | {"PYTHONPATH": ROOT, **environment}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "Traceback" not in ended.stderr and "Exception ignored" not in ended.stderr, ended.stderr
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize(
    ("streams_given", "code", "said"),
    [
        (">&-", 2, "could not be printed"),
        (">/dev/full", 2, "no space left"),
        ("<&-", 0, ""),
        ("2>&-", 0, ""),
        ("2>/dev/full", 0, ""),
        ("<&- >&- 2>&-", 2, ""),
        ("| true", 0, ""),
    ],
)
def test_the_work_is_done_and_lost_results_are_no_success(tmp_path, streams_given, code, said):
    found, _, err = shell(f"PY {NEW} {streams_given}", tmp_path)
    assert (tmp_path / "plant.toml").is_file()
    assert found == code and said in err and len(err.splitlines()) == (1 if said else 0), err


def test_a_reader_that_leaves_early_or_was_never_there(tmp_path):
    assert shell(f"PY {LIST} | head -1", tmp_path)[0] == 0
    assert shell(f"PY {LIST} 2>&1 | true", tmp_path)[0] == 0


@pytest.mark.parametrize(
    "environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_units_and_names_in_an_ascii_stream(tmp_path, environment):
    (tmp_path / "plant.toml").write_text(FREE_SPRING.replace('"m"', '"µm/s²"'), encoding="utf-8")
    code, out, err = shell("PY -m experiments.cli check plant.toml --quiet", tmp_path, **environment)
    assert code == 0 and "\\xb5m/s\\xb2" in out and err == ""


def test_a_run_goes_on_without_its_progress(tmp_path):
    """``observer run ... 2>&1 | head -1`` ended with 0 and no run."""
    (tmp_path / "plant.toml").write_text(FREE_SPRING)
    code, out, _ = shell(
        "PY -m experiments.cli simulate plant.toml --out run --trajectories 2 --duration 1 2>&1 | head -1", tmp_path
    )
    assert code == 0 and len(out.splitlines()) == 1
    assert (tmp_path / "run" / "trajectories.npz").is_file()


def test_nothing_is_written_into_a_file_that_got_a_standard_descriptor(tmp_path):
    """A library that prints into descriptor 2 must not meet a file of the run there."""
    probe = (
        "import os; from experiments.pipeline.streams import secure; secure(); file = open('mine', 'w'); "
        "os.write(2, b'noise of a library'); file.close()"
    )
    shell(f'PY -c "{probe}" <&- >&- 2>&-', tmp_path)
    assert (tmp_path / "mine").read_text() == ""


class Broken(io.StringIO):
    def __init__(self, error, *, closed_at=0):
        super().__init__()
        self.error, self.left = error, closed_at

    def write(self, text):
        if self.left == 0:
            raise self.error
        self.left -= 1
        return super().write(text)


@pytest.mark.parametrize(
    ("error", "lost"), [(OSError(28, "full"), True), (BrokenPipeError(), False), (OSError(5, "terminal gone"), True)]
)
def test_an_outlet_never_raises_and_remembers(monkeypatch, error, lost):
    outlet = Outlet(Broken(error, closed_at=1))
    monkeypatch.setattr(sys, "stdout", outlet)
    outlet.write("first")
    assert outlet.lost is None and lost_results() is None
    print("second")
    outlet.flush()
    assert outlet.lost is error and outlet.getvalue() == "first"
    assert (lost_results() is error) is lost


@pytest.mark.parametrize("verdict", [0, 1])
def test_results_that_were_lost_are_exit_2_whatever_the_verdict(monkeypatch, capsys, verdict):
    def command():
        show("result")
        return verdict

    monkeypatch.setattr(sys, "stdout", Outlet(Broken(OSError(28, "full"))))
    assert answer(command) == 2
    assert "could not be printed" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdout", Outlet(Broken(BrokenPipeError())))
    assert answer(command) == verdict


def test_secure_keeps_descriptors_and_encodings(tmp_path):
    probe = (
        "import os, sys; from experiments.pipeline.streams import secure; secure(); "
        "print(sys.stdout.encoding, 'm/s\\u00b2 \\udce9'); os.write(2, b'2'); sys.stdout.flush()"
    )
    assert shell(f'PY -c "{probe}"', tmp_path, PYTHONIOENCODING="ascii") == (0, "ascii m/s\\xb2 \\udce9\n", "2")
    assert shell(f'PY -c "{probe}"', tmp_path, PYTHONIOENCODING="utf-8") == (0, "utf-8 m/s² \\udce9\n", "2")
