import json
from types import SimpleNamespace

import pytest

from experiments.registry import named
from experiments.runner import run_experiment


@pytest.fixture(scope="session")
def perform():
    """Run a named experiment: ``perform("mnist", out, size=SMOKE)`` -> code, said, metrics, page."""

    def call(name, out, **options):
        said: list[str] = []
        code = run_experiment(named(name), out, report=said.append, quiet=True, **options)
        page = out / "report.html"
        text = page.read_text(encoding="utf-8") if page.is_file() else ""
        return SimpleNamespace(
            code=code, said=said, metrics=json.loads((out / "metrics.json").read_text(encoding="utf-8")), page=text
        )

    return call


@pytest.fixture
def undrawn(monkeypatch):
    """Pages with criteria are not drawn: their metrics and exit code are enough."""
    monkeypatch.setattr("reports.experiment_page.write_experiment_page", lambda folder, **_: folder)
