"""Whole runs of plants that need a controller: a law that is given, one that is found, and logs of a closed loop."""

from dataclasses import replace

import numpy as np
import pytest

import reports
from experiments.pipeline.decision import shown_by_logs
from experiments.pipeline.recipe import build
from experiments.pipeline.verify import verify
from observer import load_run
from observer.storage import write_text
from observer.validation.on_logs import part
from systems import discretize, load_system, simulate, write_recordings
from systems.found_feedback import with_found_feedback

CART = """
name = "unstable cart"
[states]
x = { range = [-1, 1], unit = "m", initial = [-0.2, 0.2] }
v = { range = [-3, 3], unit = "m/s", initial = [-0.3, 0.3] }
[inputs]
u = { range = [-30, 30], unit = "m/s^2" }
[dynamics]
x = "v"
v = "10*x + u"
[outputs]
y = { equation = "x", unit = "m", noise = 0.001 }
[sampling]
dt = 0.02
"""
LAW = """
[feedback]
u = "-30*(y - goal) - 6*v"
[references]
goal = { range = [-0.3, 0.3] }
"""
SMALL = [
    "--trajectories",
    6,
    "--neurons",
    0,
    "--settling-time",
    0.3,
    "--trials",
    6,
    "--worst-trials",
    20,
    "--same-model",
]


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch):
    write = lambda run, **_: write_text(run.path / "report.html", reports.metrics_text(run))  # noqa: E731
    monkeypatch.setattr(reports, "write_report", write, raising=False)


def _passes(observer, folder, law):
    (folder / "cart.toml").write_text(CART + law)
    answer = observer("run", folder / "cart.toml", "--out", folder / "run", *SMALL)
    assert answer.code == 0, answer.err
    assert ("by itself the plant leaves its ranges" in answer.err + answer.out) == (not law)
    run = load_run(folder / "run")
    feedback = run.system.feedback
    assert feedback.inputs == ("u",) and bool(feedback.found) == (not law)
    assert run.metrics["feedback"]["found"] == feedback.found and run.metrics["validation"]["left"] == 0
    worst = run.metrics["validation"]["worst_start"]["settling"]["u"]
    assert list(worst) == ["u", *(s.name for s in feedback.references)]
    assert np.abs(run.validation.x[..., 0]).max() < 1.0
    text = " ".join(reports.sentences.feedback_sentences(run))
    assert "a feedback law drives u" in text and ("No law was given" in text) == (not law)


def test_a_run_under_a_found_law_passes_and_is_derived_again(observer, tmp_path):
    _passes(observer, tmp_path, "")
    assert observer("verify", tmp_path / "run", "--fast").code == 0
    # An input that was changed is no longer that of the law.
    data = dict(np.load(tmp_path / "run" / "trajectories.npz"))
    data["u"][0, 5, 0] += 1.0
    np.savez(tmp_path / "run" / "trajectories.npz", **data)
    assert any("u[0, 5, 0]" in text for text in verify(tmp_path / "run", fast=True).differs)


@pytest.mark.slow
@pytest.mark.parametrize("law", [LAW, ""], ids=["given", "found"])
def test_a_run_under_feedback_is_derived_again_with_all_its_searches(observer, tmp_path, law):
    _passes(observer, tmp_path, law)
    (tmp_path / "run" / "report.html").unlink()  # figures have their own tests
    found = verify(tmp_path / "run")
    assert found.differs == found.unexamined == []
    assert observer("check", tmp_path / "cart.toml", "--quiet").code == 0


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Five logs of the closed loop, and the plant's file, which says nothing of any loop."""
    folder = tmp_path_factory.mktemp("logs")
    (folder / "cart.toml").write_text(CART)
    plant = with_found_feedback(discretize(load_system(folder / "cart.toml")))
    write_recordings(simulate(plant, 5, duration=6.0, seed=4, noise=True), folder / "log.csv", plant.system)
    return folder


WORDS = ["--neurons", 0, "--settling-time", 0.5, "--trials", 6]


def test_a_run_from_logs_of_a_closed_loop_is_validated_on_held_out_logs(observer, logs, tmp_path):
    words = ["run", logs / "cart.toml", "--data", logs / "log_*.csv", *WORDS]
    answer = observer(*words, "--out", tmp_path / "run")
    assert answer.code == 0, answer.err
    run = load_run(tmp_path / "run")
    assert run.metrics["validation"]["plant_method"] == "logged data"
    assert "1 of the 5 logs, which the fit did not use" in run.metrics["validation"]["warnings"][0]
    assert "logs_chose_the_iterate" not in run.metrics["validation"]
    rest, held_out = run.trajectories.split(0.2, seed=0)
    assert any(np.array_equal(run.validation.x[0, :5], log[:5]) for log in held_out.x) and len(rest) == 4
    assert "on logs held out of the fit" in reports.sentences.summary(run)
    assert observer("verify", tmp_path / "run", "--fast").code == 0


def test_of_a_single_log_the_end_is_held_out_and_of_many_a_fifth(oscillator_data):
    rest, judged, apart = part(oscillator_data, 0, learned=False)
    assert apart and (len(rest), len(judged)) == (32, 8)
    one = oscillator_data.subset(np.array([0]))
    rest, judged, apart = part(one, 0, learned=False)
    assert apart and (len(rest.t), len(judged.t)) == (80, 21)


def test_trials_are_simulated_where_that_is_asked_for_or_the_logs_are_too_short(oscillator, oscillator_data):
    recipe = build({"system": "oscillator", "data.files": "log.csv"})
    assert shown_by_logs(recipe, oscillator, oscillator_data, 0.5) == ""
    assert shown_by_logs(recipe, oscillator, oscillator_data, 0.99).startswith(
        "the held-out logs have 10 s without a gap"
    )
    asked = recipe.changed(**{"validation.noise": True})
    assert "validation.noise was asked for" in shown_by_logs(asked, oscillator, oscillator_data, 0.5)
    short = oscillator_data.subset(np.array([0]))
    assert "1 samples" not in shown_by_logs(recipe, oscillator, short, 0.5)  # 21 samples are held out
    gappy = replace(oscillator_data, y=np.where(np.arange(101)[:, None] % 15 == 0, np.nan, oscillator_data.y))
    assert shown_by_logs(recipe, oscillator, gappy, 0.5).startswith(
        "the longest complete stretch of the held-out logs has 14 samples"
    )
    assert shown_by_logs(build({"system": "oscillator"}), oscillator, oscillator_data, 0.5) == "there are no logs"
