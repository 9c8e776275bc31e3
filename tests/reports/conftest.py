"""Fixtures of the report tests: one real report, shared, and a way to write pages without drawing every file."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for fakes.py, whatever way pytest imports test files

import fakes

from reports import write_report


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run of a plant with two states; not to be changed."""
    made = fakes.fake_run(2, tmp_path_factory.mktemp("run"), trials=12, duration=4.0)
    return replace(made, metrics={"system": "van_der_pol", "command": fakes.COMMAND})


@pytest.fixture(scope="session")
def report(run):
    """The path of a whole report, with every figure."""
    return write_report(run)


@pytest.fixture
def quick(monkeypatch):
    """Figures are made but written as a few bytes, not drawn: pages can then be tested by the dozen."""
    monkeypatch.setattr("reports.page.encode", lambda figure, suffix: suffix.encode())
