"""Adding a plant is one file and one name: a toy passes the library's contract and is known to the command line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOY = '''"""A tank that drains through a hole."""

from systems.library.facts import Facts
from systems.signals import Signal
from systems.system import System

FACTS = Facts(equilibria=(((0.5,), (0.5,)),))


def toy() -> System:
    """x' = u - x."""
    return System(
        name="toy",
        description="A tank that drains",
        source="any textbook",
        states=[Signal("level", "m", (0.0, 1.0), initial=(0.2, 0.8))],
        inputs=[Signal("inflow", "m/s", (0.2, 0.8))],
        outputs=[Signal("y", "m")],
        dynamics=lambda x, u: [u[0] - x[0]],
        output=lambda x: [x[0]],
        dt=0.1,
        duration=5.0,
    )
'''


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A copy of the product with the newcomer in its library; a function that runs Python in it."""
    folder = tmp_path_factory.mktemp("house")
    for room in ("systems", "observer", "experiments", "reports"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    library = folder / "systems" / "library"
    (library / "toy.py").write_text(TOY)
    names = (library / "__init__.py").read_text()
    (library / "__init__.py").write_text(names.replace("NAMES = (", 'NAMES = (\n    "toy",', 1))
    suite = folder / "tests" / "systems"
    suite.mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "conftest.py", suite.parent)
    shutil.copy(ROOT / "tests" / "systems" / "test_library.py", suite)
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}

    def python(*arguments):
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    return python


def test_the_contract_of_the_library_runs_on_it(house):
    answer = house("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/systems/test_library.py", "-k", "toy")
    assert answer.returncode == 0, answer.stdout[-2000:]
    assert int(answer.stdout.splitlines()[-1].split()[0]) >= 6, answer.stdout  # "8 passed, ..."


def test_commands_and_imports_know_it_by_name(house):
    program = "from systems import toy; print(toy().name); from experiments.cli import main; main()"
    answer = house("-c", program, "check", "toy")
    assert answer.returncode == 0 and answer.stdout.startswith("toy\ntoy: A tank that drains"), answer.stderr
    assert "result: detectable" in answer.stdout
