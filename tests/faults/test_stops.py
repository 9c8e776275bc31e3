"""Ctrl-C and its relatives at any instant: one line, the exit code of the signal, and never inside an import."""

import gc
import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import experiments
from experiments.pipeline import stopping
from experiments.pipeline.console import Console, answer

ROOT = str(Path(experiments.__file__).parents[1])
pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or not hasattr(signal, "setitimer"), reason="needs POSIX signals"
)


@pytest.mark.parametrize(
    ("name", "code", "times", "instants"),
    [
        ("SIGINT", 130, 1, "1,2,4,8,16,35,60,100,160,250,400,700,1000"),
        ("SIGINT", 130, 2, "8,300"),
        ("SIGTERM", 143, 1, "10,90,500"),
        ("SIGHUP", 129, 1, "200"),
    ],
)
def test_at_any_import_of_the_first_seconds(tmp_path, name, code, times, instants):
    ended = subprocess.run(
        [sys.executable, Path(__file__).with_name("stop_points.py"), name, str(times), instants, "check", "box", "--quiet"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": ROOT}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    for at, found, said in json.loads(ended.stdout):
        assert found == code and len(said.splitlines()) == 1 and said.startswith("stopped"), (at, found, said)


def test_a_limit_of_processor_time_is_told():
    script = "import os, signal; from experiments.cli import main; import experiments.registry as r; " \
        "r.named = lambda *_: os.kill(os.getpid(), signal.SIGXCPU); main()"  # fmt: skip
    ended = subprocess.run(
        [sys.executable, "-c", script, "experiment", "box"],
        env=os.environ | {"PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2 and "ulimit -t" in ended.stderr and len(ended.stderr.splitlines()) == 1


def test_hang_ups_that_the_parent_ignores_stay_ignored(tmp_path):
    """``nohup observer run ...`` outlives its terminal."""
    script = "import os, signal; from experiments.cli import main; import experiments.registry as r; " \
        "r.named = lambda *_: os.kill(os.getpid(), signal.SIGHUP) or 1/0; main()"  # fmt: skip
    line = f"trap '' HUP; {sys.executable} -c '{script}' experiment box"
    ended = subprocess.run(["bash", "-c", line], env=os.environ | {"PYTHONPATH": ROOT}, capture_output=True, text=True)
    assert ended.returncode == 3, ended.stderr


@pytest.fixture
def listening(monkeypatch):
    """Signals that stop this process as they would stop the program, with a memory of their own."""
    numbers = [getattr(signal, name) for name in stopping.CODES] + [signal.SIGALRM]
    before = {number: signal.getsignal(number) for number in numbers}
    monkeypatch.setattr(stopping, "_stop", stopping._Stop())
    for hook in ("unraisablehook", "excepthook"):
        monkeypatch.setattr(sys, hook, getattr(sys, hook))
    stopping.listen()
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_stop_that_something_swallows_ends_the_next_step(listening, capsys):
    def command():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError("not reached")
        except KeyboardInterrupt:  # as a search does, which returns what it has
            pass
        with Console(quiet=True).step("next", "step"):
            raise AssertionError("not reached")

    assert answer(command) == 143
    assert capsys.readouterr().err.startswith("stopped; what was finished is kept")


@pytest.mark.parametrize(
    "error", [RuntimeError("a callback failed"), SystemError("init of module raised"), ImportError("numpy failed")]
)
def test_what_a_library_makes_of_a_stop_is_a_stop(listening, capsys, error):
    def command():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            raise error from None

    assert answer(command) == 130
    assert capsys.readouterr().err.splitlines()[-1].startswith("stopped")


def test_a_stop_in_a_destructor_is_tried_again(listening, monkeypatch):
    class Destroyed:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)

    with warnings.catch_warnings(), pytest.raises(KeyboardInterrupt):
        warnings.simplefilter("ignore")
        item = Destroyed()
        del item
        gc.collect()
        for _ in range(10**8):
            pass


def test_impatience_is_one_wish(listening):
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)  # at once again: the first is being answered
    stopping._stop.raised -= stopping.SAME
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    assert stopping.conclude() == 130
    stopping._stop.raised -= stopping.SAME
    os.kill(os.getpid(), signal.SIGINT)  # what is decided stays decided
