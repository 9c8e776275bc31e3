"""What a user installs: a wheel and a source distribution that are whole, and a command that works from any folder."""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("systems", "observer", "reports", "experiments")
SMALL = ["--trajectories", "4", "--duration", "2", "--neurons", "2", "--iterations", "3", "--trials", "3", "--quiet"]


def _call(*words, folder, **environment):
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(word) for word in words], cwd=folder, env=kept | environment, capture_output=True, text=True, timeout=900
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(wheel, source distribution) of a copy of this tree."""
    folder = tmp_path_factory.mktemp("built")
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    for name in tracked.stdout.splitlines():
        if (ROOT / name).is_file() and name.split("/")[0] in (*PACKAGES, "tests", name):
            (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "tree" / name).write_bytes((ROOT / name).read_bytes())
    done = _call(
        sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", ".", folder=folder / "tree"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return next((folder / "dist").glob("*.whl")), next((folder / "dist").glob("*.tar.gz"))


def test_wheel_and_source_hold_every_file_of_the_packages_and_no_tests(built):
    with zipfile.ZipFile(built[0]) as wheel:
        in_wheel = set(wheel.namelist())
    with tarfile.open(built[1]) as source:
        in_source = {name.partition("/")[2] for name in source.getnames()}
    files = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {Path(name).suffix for name in files} >= {".py", ".pyi", ".html", ".css", ".toml", ".txt", ".npz"}
    assert files <= in_wheel and files <= in_source
    assert not [name for name in in_wheel | in_source if name.startswith(("tests", "benchmarks", "docs"))]


@pytest.fixture
def elsewhere(tmp_path):
    """A folder of a user, whose own packages are called as ours are."""
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(
            "raise RuntimeError('the user has packages of these names too')"
        )
    return tmp_path


def test_an_installed_command_ignores_folders_of_the_same_name(built, elsewhere):
    with zipfile.ZipFile(built[0]) as wheel:
        wheel.extractall(elsewhere / "site")
    script = elsewhere / "bin" / "observer"
    script.parent.mkdir()
    script.write_text("from experiments.cli import main\nmain()\n")
    done = _call(sys.executable, script, "run", "box", "--out", "run", *SMALL, folder=elsewhere,
                 PYTHONPATH=str(elsewhere / "site"))  # fmt: skip
    assert done.returncode in (0, 1) and "verdict" in done.stdout, done.stderr
    assert (elsewhere / "run" / "report.html").is_file()


@pytest.mark.slow
def test_a_clean_environment_runs_the_command_without_extras(built, elsewhere):
    venv.create(elsewhere / "venv", with_pip=True)
    python = elsewhere / "venv" / "bin" / "python"
    done = _call(python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", built[0], folder=elsewhere)
    assert done.returncode == 0, done.stderr
    done = _call(python.parent / "observer", "run", "box", "--out", "run", *SMALL, folder=elsewhere)
    assert done.returncode in (0, 1) and "verdict" in done.stdout, done.stderr
    assert (elsewhere / "run" / "report.html").is_file()
