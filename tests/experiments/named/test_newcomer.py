"""Adding an experiment with a page is one folder (run.py, page.py) and one name in the registry: a toy, by the command."""

import json
import sys

import pytest
from typer.testing import CliRunner

from experiments import registry
from experiments.cli.app import app
from experiments.runner import Experiment

RUN = """
from dataclasses import dataclass

from experiments.runner import Measured, Size
from systems.base.errors import InputError

CALLS = []


@dataclass(frozen=True)
class ToySize(Size):
    neurons: int = 3
    seeds: int = 3


FULL = ToySize()


def measure(size, seed, parts, rows="squares"):
    if rows != "squares":
        raise InputError(f"--rows is {rows}; expected squares")
    found = []
    for k in range(seed, seed + size.seeds):
        found.append(parts.keep(f"parts/{k}", {"size": size.to_data(), "seed": k}, square, k))
        parts.say(f"{k}: {found[-1]['value']}")
    return Measured(size, seed, found)


def square(k):
    if CALLS.count(k) == 0 and k == 1:
        CALLS.append(k)
        raise KeyboardInterrupt
    CALLS.append(k)
    return {"k": k, "value": k * k}
"""

PAGE = """
from experiments.runner import judged
from reports.experiment_page import Requirement
from reports.quantities import Number


def page(result):
    largest = max(row["value"] for row in result.rows)
    criteria = [Requirement("largest square", Number(largest), "at most 16", largest <= 16)]
    return judged(criteria, {"squares": result.rows}, result.size, title="Squares", sentence="Squares are computed.")
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The toy's package on the path and its name in the registry; returns the command, and the calls of its part."""
    package = tmp_path / "squares_toy"
    package.mkdir()
    for name, text in (("__init__", ""), ("run", RUN), ("page", PAGE)):
        (package / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    experiment = Experiment("squares", "squares of numbers", ("rows", "neurons"), package="squares_toy")
    monkeypatch.setattr(registry, "EXPERIMENTS", (*registry.EXPERIMENTS, experiment))

    def command(*words):
        return CliRunner().invoke(app, ["experiment", "squares", "--out", str(tmp_path / "out"), *words])

    yield command, lambda: sys.modules["squares_toy.run"].CALLS
    for name in ("squares_toy", "squares_toy.run", "squares_toy.page"):
        sys.modules.pop(name, None)


def test_a_new_experiment_runs_is_stopped_resumes_and_passes(toy, tmp_path):
    command, calls = toy
    stopped = command("--neurons", "5")
    assert stopped.exit_code == 130 and "resumes from there" in stopped.output and calls() == [0, 1]
    assert (tmp_path / "out" / "parts" / "0.json").is_file() and not (tmp_path / "out" / "metrics.json").exists()
    done = command("--neurons", "5", "--json")
    assert done.exit_code == 0 and calls() == [0, 1, 1, 2]
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["experiment"] == "squares" and metrics["passed"] and metrics["criteria"][0]["value"] == 4
    assert [row["value"] for row in metrics["squares"]] == [0, 1, 4] and '"squares"' in done.output
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "largest square" in page and "observer experiment squares --neurons 5 --seed 0" in page
    assert command("--neurons", "5").exit_code == 0 and calls() == [0, 1, 1, 2]  # nothing is left to measure
    assert command("--neurons", "5", "--fresh").exit_code == 0 and calls()[4:] == [0, 1, 2]


def test_a_criterion_that_is_not_met_is_exit_1(toy):
    command, _ = toy
    failed = command("--seed", "3")
    assert failed.exit_code == 1 and "not met: largest square is 25, required at most 16" in failed.output


def test_bad_input_is_exit_2_and_writes_nothing(toy, tmp_path):
    command, _ = toy
    for words, text in (
        (("--budget", "5s"), "experiment 'squares' has no --budget; it takes --rows, --neurons, --seed, --fresh"),
        (("--rows", "cubes"), "--rows is cubes; expected squares"),
        (("--data", "."), "has no --data"),
    ):
        refused = command(*words)
        assert refused.exit_code == 2 and text in refused.output
    assert not (tmp_path / "out").exists()


def test_it_is_listed(toy):
    """Its name is what the command line knows of it."""
    assert registry.named("squares").description == "squares of numbers"
