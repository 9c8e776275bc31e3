"""One process at a time changes a folder: the others are refused with its owner, whoever died is taken over, readers go on."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import experiments
from experiments.pipeline import lock
from experiments.pipeline.lock import LOCK, kept_folder, working_in
from systems.base.errors import InputError
from tests.faults.conftest import SMALL, contents, refused

ROOT = str(Path(experiments.__file__).parents[1])
HOLD = """
import sys
from experiments.pipeline.lock import working_in
with working_in(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder():
    """``holder(folder)``: a process that works in it until its stdin is closed."""
    started = []

    def hold(folder):
        words = [sys.executable, "-c", HOLD, str(folder)]
        there = {"env": os.environ | {"PYTHONPATH": ROOT}, "text": True}
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **there
        )
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == "held\n", process.communicate()
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()


WRITERS = [
    ["simulate", "spring.toml", "--out", "run", *SMALL],
    ["run", "spring.toml", "--out", "run", *SMALL],
    ["run", "spring.toml", "--out", "run", *SMALL, "--fresh"],
    ["fit", "run", "--fresh", "--quiet"],
    ["fit", "--data", "log.csv", "--plant", "spring.toml", "--out", "run"],
    ["certify", "run", "--quiet"],
    ["validate", "run", "--quiet"],
    ["report", "run", "--quiet"],
]


def test_a_second_process_is_refused_and_readers_go_on(observer, shop, holder):
    process = holder(shop / "run")
    before = contents(shop)
    for words in WRITERS:
        refused(
            observer(*words), "run: process ", f"process {process.pid} on {socket.gethostname()} since 20", "at work"
        )
    assert contents(shop) == before
    assert observer("estimate", "run", "log.csv", "-o", "out.csv").code == 0
    assert observer("export", "run", "-o", "data", "--format", "npz").code == 0
    assert observer("fine-tune", "run", "--out", "run").code == 2
    process.stdin.close()
    process.wait()
    assert not (shop / "run" / LOCK).exists()
    assert observer("report", "run", "--quiet").code in (0, 1)


def test_new_folders_experiments_and_comparisons_are_held_too(observer, shop, holder):
    process = holder(shop / "new")
    for words in (
        ["simulate", "spring.toml", "--out", "new"],
        ["fine-tune", "run", "--out", "new"],
        ["compare", "run", "--out", "new"],
        ["experiment", "box", "--out", "new"],
    ):
        refused(observer(*words), f"new: process {process.pid} on ")
    refused(observer("simulate", "spring.toml", "--out", "new/ours"), f"new: process {process.pid} on ")
    process.stdin.close()
    process.wait()
    assert not (shop / "new").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_what_a_dead_process_leaves_hinders_nobody(observer, shop, holder, number):
    process = holder(shop / "run")
    process.send_signal(number)
    process.wait()
    assert (shop / "run" / LOCK).exists() == (number != signal.SIGINT)
    assert observer("report", "run", "--quiet").code in (0, 1)
    assert not (shop / "run" / LOCK).exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', "\0" * 100])
def test_a_lock_that_cannot_be_read_is_taken_over(observer, shop, content):
    (shop / "run" / LOCK).write_text(content)
    assert observer("report", "run", "--quiet").code in (0, 1)
    assert not (shop / "run" / LOCK).exists()
    with working_in(shop / "run"):
        (shop / "run" / LOCK).write_text(content)
        refused(observer("report", "run"), "run: another process is at work in it")


def test_a_lock_of_another_host_is_judged_where_it_can_be(observer, shop, monkeypatch):
    stated = {"pid": 7, "host": "far away", "since": "2026-01-01 00:00:00", "command": "observer report run"}
    (shop / "run" / LOCK).write_text(json.dumps(stated))
    monkeypatch.setattr(lock, "_on_network", lambda folder: True)
    before = contents(shop)
    refused(
        observer("report", "run"), "process 7 on far away since 2026-01-01", "if it does not, remove run/.observer.lock"
    )
    assert contents(shop) == before
    monkeypatch.setattr(lock, "_on_network", lambda folder: False)
    assert observer("report", "run", "--quiet").code in (0, 1)


def test_a_file_system_without_locks(shop, monkeypatch):
    from filelock._native import _unix

    def missing(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(_unix, "lock_fd_nonblocking", missing)
    monkeypatch.setattr("warnings.warn", lambda *_, **__: None)
    with working_in(shop / "run"):
        with pytest.raises(InputError, match="run: another process is at work in it"), working_in(shop / "run"):
            pass
    with working_in(shop / "run"):
        pass
    assert not (shop / "run" / LOCK).exists()


def test_a_network_file_system_is_known_by_its_kind(tmp_path, monkeypatch):
    import psutil

    mounts = [
        type("Mount", (), {"mountpoint": place, "fstype": kind})
        for place, kind in (("/", "ext4"), (str(tmp_path), "nfs4"))
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounts)
    assert lock._on_network(tmp_path / "run") and not lock._on_network(Path("/"))


def test_nothing_is_left_of_what_came_to_nothing(observer, shop):
    before = contents(shop)
    (shop / "bad.toml").write_text((shop / "spring.toml").read_text().replace("-q - q^3", "50*q + q^3"))
    assert observer("run", "bad.toml", "--out", "a/b/c", "--quiet").code == 2
    (shop / "bad.toml").unlink()
    assert contents(shop) == before
    with working_in(shop / "a" / "b"), working_in(shop / "a" / "b" / "ours"):  # as an experiment and its variants
        pass
    assert contents(shop) == before


def test_links_and_folders_are_no_lock(observer, shop):
    (shop / "mine").write_text("mine")
    (shop / "run" / LOCK).symlink_to(shop / "mine")
    refused(observer("report", "run"), f"run/{LOCK}: is a link; remove it")
    (shop / "run" / LOCK).unlink()
    (shop / "run" / LOCK).mkdir()
    assert observer("report", "run").code == 2
    assert (shop / "mine").read_text() == "mine"


def test_threads_of_one_process_exclude_each_other(tmp_path):
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    barrier, inside = Barrier(4), []

    def work(k):
        barrier.wait()
        try:
            with kept_folder(tmp_path / "new", "experiment box"):
                inside.append(k)
                barrier.wait()
                inside.remove(k)
        except InputError as error:
            barrier.wait()
            return str(error)
        return ""

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(work, range(4)))
    assert said.count("") == 1 and all("at work in it" in text for text in said if text) and not inside


def test_two_processes_at_the_same_instant(tmp_path, broken_off):
    """One does the work, the other is refused; the result is that of one process alone."""
    found = broken_off("twice", tmp_path, 3, 1)
    assert found["rounds"] == 3 and found["refused"] == 3 and found["same"] == 3 and not found["faults"], found


@pytest.mark.parametrize("step", ["certify", "validate", "report"])
def test_what_a_killed_process_had_half_written_goes_with_the_next_step(observer, shop, step):
    before = {item.name for item in (shop / "run").rglob("*")}
    for name in (".certificate.abcd1234.partial.json", "figures/.errors.abcd1234.partial.png", "mine.partial", ".mine"):
        (shop / "run" / name).write_text("half")
    assert observer(step, "run", "--quiet").code in (0, 1)
    assert {item.name for item in (shop / "run").rglob("*")} - before == {"mine.partial", ".mine"}


@pytest.mark.parametrize(
    "words",
    [
        ["fit", "--data", ".", "--plant", "spring.toml", "--out", "a/b"],
        ["fit", "--data", "nothing.csv", "--plant", "spring.toml", "--out", "a/b"],
        ["run", "spring.toml", "--data", "spring.toml", "--out", "a/b"],
        ["simulate", "spring.toml", "--out", "a/b", "--trajectories", "1000000000"],
        ["fine-tune", "spring.toml", "--out", "a/b"],
        ["compare", "run", "--out", "a/b", "--scenarios", "none"],
        ["experiment", "none", "--out", "a/b"],
        ["export", "spring.toml", "-o", "a/b"],
        ["estimate", "run", "spring.toml", "-o", "a/b.csv"],
    ],
    ids=" ".join,
)
def test_a_refusal_leaves_no_folder(observer, shop, words):
    assert observer(*words).code == 2
    assert not (shop / "a").exists()
