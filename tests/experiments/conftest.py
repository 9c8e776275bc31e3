import warnings
from types import SimpleNamespace

import pytest

from experiments.cli.app import app


@pytest.fixture
def observer(capsys):
    """Run the command line in this process: ``observer("check", "box") -> code, out, err``."""

    def call(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            app([str(word) for word in words], prog_name="observer")
        out, err = capsys.readouterr()
        return SimpleNamespace(code=stopped.value.code, out=out, err=err)

    return call


@pytest.fixture
def quick():
    """Options that make a whole run small."""
    return ["--trajectories", 8, "--duration", 2, "--neurons", 3, "--iterations", 3, "--trials", 6, "--quiet"]


@pytest.fixture(autouse=True)
def _severe():
    with warnings.catch_warnings():
        yield
