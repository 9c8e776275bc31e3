"""Whole runs of plants that need a controller: a law that is given, one that is found, and logs of a closed loop."""

import json

import numpy as np
import pytest

import reports
from observer import load_run
from observer.storage import write_text
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
SMALL = ["--trajectories", 6, "--neurons", 0, "--settling-time", 0.5, "--trials", 6, "--worst-trials", 20, "--quiet"]


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch):
    write = lambda run, **_: write_text(run.path / "report.html", reports.metrics_text(run))  # noqa: E731
    monkeypatch.setattr(reports, "write_report", write, raising=False)


@pytest.mark.parametrize("law", [LAW, ""], ids=["given", "found"])
def test_a_run_under_feedback_passes_and_is_derived_again(observer, tmp_path, law):
    (tmp_path / "cart.toml").write_text(CART + law)
    answer = observer("run", tmp_path / "cart.toml", "--out", tmp_path / "run", *SMALL[:-1])
    assert answer.code == 0, answer.err
    assert ("by itself the plant is outside its ranges" in answer.err + answer.out) == (not law)
    run = load_run(tmp_path / "run")
    feedback = run.system.feedback
    assert feedback.inputs == ("u",) and bool(feedback.found) == (not law)
    assert run.metrics["feedback"]["found"] == feedback.found and run.metrics["validation"]["left"] == 0
    worst = run.metrics["validation"]["worst_start"]["settling"]["u"]
    assert list(worst) == ["u", *(s.name for s in feedback.references)]
    assert np.abs(run.validation.x[..., 0]).max() < 1.0
    text = " ".join(reports.sentences.feedback_sentences(run))
    assert "a feedback law drives u" in text and ("No law was given" in text) == (not law)
    assert observer("verify", tmp_path / "run", "--fast").code == 0
    assert observer("check", tmp_path / "cart.toml", "--quiet").code == 0
    # The same command goes on with the same run: the law is found again as it was.
    assert "done already" in observer("run", tmp_path / "cart.toml", "--out", tmp_path / "run", *SMALL[:-1]).err
    # An input that was changed is no longer that of the law.
    if law:
        data = dict(np.load(tmp_path / "run" / "trajectories.npz"))
        data["u"][0, 5, 0] += 1.0
        np.savez(tmp_path / "run" / "trajectories.npz", **data)
        assert observer("verify", tmp_path / "run", "--fast").code == 1


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


def test_of_a_single_log_the_end_is_held_out(observer, logs, tmp_path):
    answer = observer("run", logs / "cart.toml", "--data", logs / "log_000.csv", *WORDS, "--out", tmp_path / "run")
    assert answer.code == 0 and "the end of the only log, which the fit did not use" in answer.err, answer.err


def test_trials_are_simulated_where_that_is_asked_for_or_the_logs_are_too_short(observer, logs, tmp_path):
    words = ["run", logs / "cart.toml", *WORDS, "--worst-trials", 20, "--quiet"]
    answer = observer(*words, "--data", logs / "log_*.csv", "--noise", "--out", tmp_path / "asked")
    assert answer.code == 0, answer.err
    assert json.loads((tmp_path / "asked" / "metrics.json").read_text())["validation"]["plant_method"] == "DOP853"
    lines = (logs / "log_000.csv").read_text().splitlines()
    (tmp_path / "short.csv").write_text("\n".join(lines[:40]) + "\n")
    words[-1:] = []
    answer = observer(*words, "--data", tmp_path / "short.csv", "--out", tmp_path / "short")
    assert (
        answer.code == 0 and "by simulated trials, not on the held-out logs: the longest complete stretch" in answer.err
    )
    assert observer("verify", tmp_path / "short", "--fast").code == 0
