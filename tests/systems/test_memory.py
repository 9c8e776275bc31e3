"""Memory known before work: what is free, what is refused, what is announced."""

import subprocess
import sys

import pytest

from systems.base import memory
from systems.base.errors import InputError


@pytest.fixture
def free(monkeypatch):
    """Sets what is free."""
    return lambda size: monkeypatch.setattr(memory, "available", lambda: size)


def test_what_does_not_fit_is_refused_with_both_sizes_and_the_way_out(free):
    free(9e9)
    with pytest.raises(InputError, match=r"^--trials 5 would take 12 GB of memory, and 9 GB are free; ask for fewer$"):
        memory.require(12e9, "--trials 5", "ask for fewer")


def test_what_is_large_and_fits_is_announced(free):
    free(9e9)
    memory.require(0.9e9, "this", "no way out")
    with pytest.warns(UserWarning, match=r"^the log will take about 3 GB of memory$"):
        memory.require(3e9, "the log", "no way out")


@pytest.mark.parametrize("size", [float("inf"), float("nan"), memory.arrays((1e200, 1e200))])
def test_sizes_beyond_all_numbers_are_refused(size):
    with pytest.raises(InputError, match="over a million GB"):
        memory.require(size, "this", "no way out")


def test_sizes_of_arrays():
    assert memory.arrays((2, 3), (4,)) == 80
    assert memory.arrays((10,), itemsize=1) == 10


def test_readable():
    assert [memory.readable(size) for size in (0, 4800, 48e6, 12e9)] == ["0 kB", "4.8 kB", "48 MB", "12 GB"]


@pytest.mark.parametrize(
    ("line", "folder", "limit", "used", "cache"),
    [
        ("0::/outer/inner", "outer", "memory.max", "memory.current", "inactive_file"),
        ("4:cpu,memory:/outer/inner", "memory/outer", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ],
    ids=["v2", "v1"],
)  # fmt: skip
def test_a_control_group_above_the_process_limits_it(tmp_path, monkeypatch, line, folder, limit, used, cache):
    groups = tmp_path / "groups"
    inner = groups / folder / "inner"
    inner.mkdir(parents=True)
    (inner / limit).write_text("max\n")  # without a limit of its own
    (groups / folder / limit).write_text("100000\n")
    (groups / folder / used).write_text("60000\n")
    (groups / folder / "memory.stat").write_text(f"anon 1\n{cache} 10000\n")
    (tmp_path / "cgroup").write_text(f"3:cpu:/other\n{line}\n")
    monkeypatch.setattr(memory, "_CGROUPS", groups)
    monkeypatch.setattr(memory, "_OF_PROCESS", tmp_path / "cgroup")
    assert memory.available() == memory.SHARE * 50_000


def test_without_control_groups_the_machine_is_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_OF_PROCESS", tmp_path / "none")
    assert 0 < memory.available() < 1e14


def test_a_limit_on_the_address_space_counts():
    resource = pytest.importorskip("resource")
    code = "from systems.base import memory; print(memory.available())"
    limit = 600_000_000
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )  # fmt: skip
    assert 0 < float(done.stdout) < limit
