"""A full disk or a read-only folder at any write of a run: one line, nothing half-written, and the same result afterwards."""

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import observer as library
import reports
from experiments.pipeline.job import CHECKPOINT
from observer import load_run
from observer.fitting.solvers import loop
from observer.storage import write_bytes, write_text
from systems import simulate, write_recordings
from systems.recordings import FORMATS
from tests.faults.conftest import weights
from tests.plants import FREE_SPRING

WORDS = ["run", "spring.toml", "--trajectories", 4, "--duration", 3, "--neurons", 2, "--epochs", 4, "--trials", 3, "--quiet"]  # fmt: skip
ROOT = str(Path(library.__file__).parents[1])
SAID = {errno.ENOSPC: "no space left on the disk", errno.EROFS: "read-only", errno.EACCES: "permission denied"}


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A folder with a plant, in which a whole run takes a fraction of a second and saves a checkpoint at every turn."""
    (tmp_path / "spring.toml").write_text(FREE_SPRING)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        reports, "write_report", _report, raising=False
    )  # figures take seconds, and have their own tests
    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    return tmp_path


def _report(run, **_):
    (run.path / "figures").mkdir(exist_ok=True)
    write_bytes(run.path / "figures" / "errors.png", b"picture")
    write_text(run.path / "report.html", "page")


class Disk:
    """Counts what a run asks of the disk (a file made, flushed, moved into place) and refuses the request number ``fails``."""

    def __init__(self, monkeypatch, folder):
        self.folder, self.count, self.fails, self.code = str(folder), 0, 0, errno.ENOSPC
        for module, name in ((tempfile, "mkstemp"), (os, "fsync"), (os, "replace")):
            monkeypatch.setattr(module, name, self._asked(getattr(module, name)))

    def _asked(self, real):
        def ask(*arguments, **options):
            where = str(options.get("dir") or arguments[0])
            if isinstance(arguments[0] if arguments else None, int):
                where = os.readlink(f"/proc/self/fd/{arguments[0]}")
            if where.startswith(self.folder):
                self.count += 1
                if self.count == self.fails:
                    raise OSError(self.code, os.strerror(self.code))
            return real(*arguments, **options)

        return ask

    def arm(self, request, code=errno.ENOSPC):
        self.count, self.fails, self.code = 0, request, code


def whole_or_absent(folder):
    """Every file that is there can be read, and nothing else is there."""
    if (folder / "system.json").exists():
        load_run(folder)
    for file in folder.rglob("*"):
        assert not file.name.startswith("."), file
        if file.suffix == ".json":
            json.loads(file.read_text())


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("stride", [pytest.param(1, marks=pytest.mark.slow), 19])
def test_any_write_may_fail_and_the_run_ends_where_an_unbroken_one_does(observer, shop, monkeypatch, stride):
    disk = Disk(monkeypatch, shop / "whole")
    disk.arm(0)
    assert observer(*WORDS, "--out", "whole").code in (0, 1)
    requests, expected = disk.count, weights(shop / "whole")
    files = {item.relative_to(shop / "whole") for item in (shop / "whole").rglob("*")}
    assert requests > 50
    disk.folder = str(shop / "broken")
    for request in range(1 + requests % stride, requests + 1, stride):
        code = list(SAID)[request % 3]
        disk.arm(request, code)
        answer = observer(*WORDS, "--out", "broken")
        assert answer.code == 2 and len(answer.err.splitlines()) == 1, (request, answer.err)
        assert answer.err.startswith("error: broken/") and SAID[code] in answer.err and "partial" not in answer.err
        whole_or_absent(shop / "broken")
        disk.arm(0)
        answer = observer(*WORDS, "--out", "broken")
        assert answer.code in (0, 1), (request, answer.err)
        assert weights(shop / "broken") == expected, request
        assert {item.relative_to(shop / "broken") for item in (shop / "broken").rglob("*")} == files, request
        shutil.rmtree(shop / "broken")


def test_a_fit_that_could_not_be_saved_goes_on_from_its_checkpoint(observer, shop, monkeypatch):
    real, asked = library.fit, []
    monkeypatch.setattr("observer.storage.save_observer", _full)
    monkeypatch.setattr("observer.runs.save_observer", _full)
    assert observer(*WORDS, "--out", "run").code == 2
    assert (shop / "run" / CHECKPOINT).is_file()
    monkeypatch.undo()
    monkeypatch.chdir(shop)
    monkeypatch.setattr(reports, "write_report", _report, raising=False)
    monkeypatch.setattr(
        library, "fit", lambda *a, **o: asked.append(o["checkpoint"].is_file()) or real(*a, **o), raising=False
    )
    assert observer(*WORDS, "--out", "run").code in (0, 1)
    assert asked == [True] and not (shop / "run" / CHECKPOINT).exists()


def _full(path, *_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@pytest.mark.parametrize(
    "words", [["run", "spring.toml", "--out", "run", "--fresh", *WORDS[2:]], ["validate", "run", "--trials", 5]]
)
def test_what_is_to_be_replaced_stays_when_there_is_no_room(observer, shop, monkeypatch, words):
    assert observer(*WORDS, "--out", "run").code in (0, 1)
    before = {item: item.read_bytes() for item in (shop / "run").rglob("*") if item.is_file()}
    monkeypatch.setattr(os, "posix_fallocate", lambda *_: _full("scratch"))
    answer = observer(*words)
    assert answer.code == 2 and answer.err.splitlines()[-1].startswith("error: run: no space left on the disk"), (
        answer.err
    )
    assert {item: item.read_bytes() for item in (shop / "run").rglob("*") if item.is_file()} == before


CHILD = """
import resource, sys
import reports
from experiments.cli import main
from tests.faults.test_full_disk import _report
reports.write_report = _report
limit = int(sys.argv.pop(1))
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
main()
"""


def _child(folder, limit, *before):
    return subprocess.run(
        [*before, sys.executable, "-c", CHILD, str(limit), *map(str, WORDS), "--out", "run"],
        cwd=folder, env=os.environ | {"PYTHONPATH": ROOT}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="needs RLIMIT_FSIZE")
def test_a_file_that_grows_too_large_is_told_in_one_line(observer, shop):
    """The kernel refuses in the middle of a write: the bytes before it are on the disk, and must not stay."""
    assert observer(*WORDS, "--out", "whole").code in (0, 1)
    ended = _child(shop, (shop / "whole" / "trajectories.npz").stat().st_size // 2)
    assert ended.returncode == 2 and len(ended.stderr.splitlines()) == 1, ended.stderr
    assert ended.stderr.startswith("error: run/trajectories.npz: the file would be larger") and "ulimit" in ended.stderr
    whole_or_absent(shop / "run")
    assert observer(*WORDS, "--out", "run").code in (0, 1)
    assert weights(shop / "run") == weights(shop / "whole")


def _mounts():
    return shutil.which("unshare") and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not _mounts(), reason="may not mount a file system")
@pytest.mark.parametrize(("options", "said"), [("size=24k", SAID[errno.ENOSPC]), ("ro", SAID[errno.EROFS])])
def test_a_real_file_system_that_is_full_or_read_only(shop, options, said):
    (shop / "run").mkdir()
    script = f'mount -t tmpfs -o {options} none run && "$@"; code=$?; ls -A run | grep partial; exit $code'
    ended = _child(shop, 0, "unshare", "-m", "sh", "-c", script, "sh")
    assert ended.returncode == 2 and len(ended.stderr.splitlines()) == 1, ended.stderr
    assert ended.stderr.startswith("error: run/") and said in ended.stderr and ended.stdout == ""


@pytest.mark.skipif(os.name != "posix", reason="needs RLIMIT_FSIZE")
@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_an_export_that_does_not_fit_leaves_nothing(tmp_path, oscillator, kind):
    """Each library has its own words for a full disk; a person gets those of the application."""
    import resource

    for module in {"parquet": ("pyarrow", "pandas"), "hdf5": ("h5py",)}.get(kind, ()):
        pytest.importorskip(module)
    path = tmp_path / f"data{FORMATS[kind]}"
    path.write_bytes(b"earlier")
    data = simulate(oscillator, 1, duration=100.0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, hard))
    try:
        with pytest.raises(OSError) as refused:
            write_recordings(data, path, oscillator.system)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (refused.value.errno, refused.value.filename) == (errno.EFBIG, str(path))
    assert [item.name for item in tmp_path.iterdir()] == [path.name] and path.read_bytes() == b"earlier"
