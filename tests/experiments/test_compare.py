"""The comparison at toy size: its numbers against definitions, its words against its numbers, and the command."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.compare import run as comparison
from experiments.compare import words
from experiments.compare.measure import Result, as_good, gap, judge
from experiments.compare.result import Settings
from observer.estimators import ESTIMATORS, make
from systems import InputError, Signal, Trajectories
from tests.plants import UNCERTAIN_SPRING


def result(score, low, high, diverged=0):
    one = np.ones(1)
    return Result(one, np.ones((1, 2)), score, (low, high), one, diverged, 10, one, 1.0, np.full((10, 1), score**2))


def test_numbers_are_those_of_their_definitions(rng):
    system = SimpleNamespace(
        nx=2, states=[Signal("a", "", (-1.0, 1.0)), Signal("b", "", (-np.pi, np.pi), period=2 * np.pi)],
        state_ranges=np.array([[-1.0, 1.0], [-np.pi, np.pi]]),
    )  # fmt: skip
    t = 0.1 * np.arange(20)
    x = rng.standard_normal((6, 20, 2))
    error = 0.1 * rng.standard_normal((6, 20, 2))
    error[0, :, 0] = 0.5 * (t < 0.55)  # settles at sample 6
    x_hat = x + error
    x_hat[..., 1] += 2 * np.pi  # an angle is the same a turn later
    x_hat[5, 7, 0] = np.nan
    data = Trajectories(t, x, np.zeros((6, 20, 0)), np.zeros((6, 20, 1)), np.full(6, 20))
    found = judge(system, x_hat, data, 0, 3.0)
    assert found.diverged == 1 and found.trials == 6
    expected = np.sqrt(np.mean(error[:5, 10:] ** 2, axis=(0, 1)))
    assert np.allclose(found.rms, expected)
    assert found.score == pytest.approx(100 * np.sqrt(np.mean((expected / [2, 2 * np.pi]) ** 2)))
    assert (found.rms_interval[:, 0] <= found.rms).all() and (found.rms <= found.rms_interval[:, 1]).all()
    one = judge(system, x_hat[:1], data.subset(np.array([0])), 0, 0.0)
    assert one.settling[0] == pytest.approx(0.6)


def test_bootstrap_intervals_cover_the_truth_as_often_as_they_say():
    """Errors of trials with random sizes: the interval of 40 trials holds the true RMS in about 95 of 100 repetitions."""
    system = SimpleNamespace(nx=1, states=[Signal("a", "", (-1.0, 1.0))], state_ranges=np.array([[-1.0, 1.0]]))
    rng, hits = np.random.default_rng(3), 0
    for repetition in range(200):
        error = 0.1 * rng.uniform(0.5, 1.5, (40, 1, 1)) * rng.standard_normal((40, 8, 1))
        x = np.zeros_like(error)
        data = Trajectories(np.arange(8.0), x, x[..., :0], x, np.full(40, 8))
        found = judge(system, error, data, repetition, 0.0)
        truth = 100 * 0.1 * np.sqrt(1 + 1 / 12) / 2
        hits += found.score_interval[0] <= truth <= found.score_interval[1]
    assert 0.87 * 200 < hits < 0.99 * 200


def test_a_gap_is_that_of_the_same_trials(rng):
    """Twice the error in every trial, hard or easy, is a ratio of exactly two; without a relation the interval is wide."""
    hard = rng.uniform(0.1, 10, (10, 1)) ** 2

    def of(squares, diverged=0):
        score = float(100 * np.sqrt(squares.mean()))
        return replace(result(score, score, score, diverged), squares=squares)

    best, ratio, low, high = gap({"ours": of(4 * hard), "theirs": of(hard), "wild": of(0.01 * hard, 3)}, "ours")
    assert best == "theirs" and (ratio, low, high) == pytest.approx((2, 2, 2))
    _, _, low, high = gap({"ours": of(4 * hard[::-1]), "theirs": of(hard)}, "ours")
    assert low < 1.9 and high > 2.1
    assert gap({"ours": of(hard, 1), "theirs": of(hard)}, "ours") is None and gap({"ours": of(hard)}, "ours") is None


def test_words_follow_from_the_numbers():
    names = {"a": "Alpha", "b": "Beta", "c": "Gamma"}
    table = {
        "one": {"a": result(1.0, 0.9, 1.1), "b": result(1.15, 1.05, 1.3), "c": result(0.1, 0.1, 0.1, diverged=2)},
        "two": {"a": result(4.0, 3.9, 4.1), "b": result(2.0, 1.9, 2.1), "c": result(9.0, 8.0, 10.0)},
    }
    assert as_good(table["one"]) == ("a", "b") and as_good(table["two"]) == ("b",)
    assert words.of_scenario(table["one"], names) == (
        "Smallest error: Alpha, 1 % of the ranges (0.9 to 1.1). Statistically equal over 10 trials: Beta. "
        "Diverged: Gamma (2 of 10)."
    )
    titles = {"one": "noise", "two": "bias"}
    assert "every scenario" in words.of_estimator("b", table, titles)
    assert "furthest from the best in: bias (2 times its error)" in words.of_estimator("a", table, titles)
    assert "diverged in some trial of: noise" in words.of_estimator("c", table, titles)
    lines = words.advice(table, names, titles)
    assert lines[0] == "Most often among the best: Beta, in 2 of 2 scenarios."
    assert "Diverged in some trial, so monitor them in use: Gamma." in lines
    told = words.advice({**table, "noise": table["two"]}, names, titles, {"a"})
    assert any("every initial state: Alpha; with noise as stated they are at 2 times (Alpha)" in line for line in told)


def test_everybody_meets_the_same_and_what_cannot_serve_is_said(oscillator, tmp_path, monkeypatch):
    settings = Settings(
        trials=4, duration=2.0, training=4, evaluations=3, truth="model", scenarios=("noise", "delay", "other_input"),
        estimators=("open_loop", "extended_kalman", "high_gain"),
    )  # fmt: skip
    learned = {"tuned by hand": make("steady_kalman", oscillator)}
    found = comparison.compare(oscillator, settings, learned, folder=tmp_path, report=lambda text: None)
    assert list(found.names) == ["tuned by hand", *settings.estimators]
    assert set(found.table) == set(settings.scenarios) and not found.refused
    scores = {c: {n: r.score for n, r in results.items()} for c, results in found.table.items()}
    assert scores["noise"]["extended_kalman"] < 0.3 * scores["noise"]["open_loop"]
    assert scores["noise"]["open_loop"] == scores["delay"]["open_loop"]  # the same trials
    assert scores["noise"]["extended_kalman"] != scores["delay"]["extended_kalman"]
    assert set(found.consistency) == {"tuned by hand", "extended_kalman"}
    told: list[str] = []
    measured, measure_one = [], comparison.measure.measure

    def watched(o, *rest):
        measured.append(o)
        return measure_one(o, *rest)

    monkeypatch.setattr(comparison.measure, "measure", watched)
    again = comparison.compare(oscillator, settings, learned, folder=tmp_path, report=told.append)
    assert told[0].startswith("tuned already")
    assert {c: {n: r.score for n, r in results.items()} for c, results in again.table.items()} == scores
    assert not {"ExtendedKalman", "HighGain"} & {type(o).__name__ for o in measured}  # those were kept
    assert {"SteadyKalman"} <= {
        type(o).__name__ for o in measured
    }  # an object that nobody can tell from another is not
    slow = Settings(**{**vars(settings), "limit": 1e-9})
    left = comparison.compare(oscillator, slow, {}, folder=tmp_path / "slow", report=lambda text: None)
    assert not left.names and "more than the 1e-09 s that --limit allows" in left.refused["extended_kalman"]


def test_the_command_writes_numbers_and_a_page(observer, tmp_path, monkeypatch):
    monkeypatch.setattr("reports.page.encode", lambda figure, suffix: suffix.encode())  # made, but not drawn
    (tmp_path / "spring.toml").write_text(UNCERTAIN_SPRING)
    run, out = tmp_path / "run", tmp_path / "comparison"
    size = ["--trajectories", 8, "--duration", 2, "--neurons", 2, "--epochs", 2, "--quiet"]
    observer("simulate", tmp_path / "spring.toml", "--out", run, *size)
    observer("fit", run, "--quiet")
    asked = ["--trials", 3, "--training", 3, "--evaluations", 2, "--duration", 1.5, "--quiet"]
    some = ["--scenarios", "noise,dropouts", "--estimators", "unscented_kalman,projection"]
    done = observer("compare", run, "--out", out, *asked, *some, "--json")
    assert done.code == 0, done.err
    metrics = json.loads(done.out)
    assert list(metrics["estimators"]) == ["REN for speed", "REN for noise", "projection", "unscented_kalman"]
    assert list(metrics["conditions"]) == ["noise", "dropouts"]
    ours = metrics["conditions"]["dropouts"]["results"]["REN for speed"]
    assert set(ours["rms"]) == {"q", "w"} and ours["trials"] == 3
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "When to prefer which" in page and "30 % of the measurements missing" in page and "observer compare" in page
    for name in ("overview", "noise", "dropouts"):
        assert (out / "figures" / f"{name}.pdf").is_file()
    refused = observer("compare", run, "--out", run, "--quiet")
    assert refused.code == 2 and "is the folder of a run, and it is kept" in refused.err
    refused = observer("compare", run, "--out", out, "--conditions", "hail", "--quiet")
    assert refused.code == 2 and "--scenarios names 'hail'; expected some of noiseless" in refused.err
    refused = observer("compare", run, "--out", out, "--dt", 0.2, "--quiet")
    assert refused.code == 2 and "leave out --dt" in refused.err


def test_settings_are_checked():
    with pytest.raises(InputError, match="trials is 1; expected a whole number, 2 or more"):
        Settings(trials=1)
    with pytest.raises(InputError, match="estimator is 'kalman'"):
        Settings(estimators=("kalman",))
    assert Settings().estimators == ESTIMATORS
