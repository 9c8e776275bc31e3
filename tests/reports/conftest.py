"""Fixtures of the report tests: one real report, shared, and a way to write pages without drawing every file."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for fakes.py, whatever way pytest imports test files

import fakes

from reports import write_report


@pytest.fixture(scope="session")
def results():
    """Results of a plant with two states; not to be changed."""
    return fakes.fake_results(2, trials=12, duration=4.0)


@pytest.fixture(scope="session")
def report(results, tmp_path_factory):
    """The path of a whole report, with every figure."""
    return write_report(
        tmp_path_factory.mktemp("run"), command=fakes.COMMAND, metrics={"system": "van_der_pol"}, **results
    )


@pytest.fixture
def quick(monkeypatch):
    """Figures are made but written as a few bytes, not drawn: pages can then be tested by the dozen."""
    monkeypatch.setattr("reports.page.encode", lambda figure, suffix: suffix.encode())
