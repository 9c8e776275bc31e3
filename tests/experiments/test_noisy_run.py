"""A plant that states noise of its motion and of its sensor: run, judged with the noise, verified."""

import json

import pytest

import reports
from experiments.pipeline.verify import verify
from observer import load_run
from reports.sentences import key_numbers
from reports.sentences import verdict as banner

NOISY = """
name = "drifting spring"
[states]
q = { range = [-1, 1] }
w = { range = [-1.5, 1.5], initial = [-0.5, 0.5], process_noise = 0.01 }
[dynamics]
q = "w"
w = "-q - q^3 - 0.2*w"
[outputs]
y = { equation = "q", noise = SENSOR }
[sampling]
dt = 0.1
duration = 8
"""
SMALL = ("--trajectories", 10, "--neurons", 3, "--iterations", 6, "--trials", 20, "--worst-trials", 20, "--quiet")


@pytest.mark.parametrize(("sensor", "verdict"), [("0.005", "pass"), ("0.4", "fail")])
def test_the_verdict_is_that_with_the_noise_and_all_is_derived_again(observer, tmp_path, monkeypatch, sensor, verdict):
    monkeypatch.chdir(tmp_path)
    page = lambda run, **_: (run.path / "report.html").write_text(reports.metrics_text(run))  # noqa: E731
    monkeypatch.setattr(reports, "write_report", page, raising=False)
    (tmp_path / "spring.toml").write_text(NOISY.replace("SENSOR", sensor))
    made = observer("run", "spring.toml", "--out", "run", *SMALL, "--settling-time", "3s")
    assert f"verdict: {verdict}" in made.out and "with noise" in made.out and "peak" in made.out, made.err
    run = load_run(tmp_path / "run")
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["verdict"] == verdict
    assert run.validation.verdict == "pass" and run.validation_noise.verdict == verdict
    shown = banner(run)
    assert shown.status == verdict and ("Next: " in shown.sentence) == (verdict == "fail")
    assert "with noise" in next(n for n in key_numbers(run) if n.label == "RMS error").note
    found = verify(tmp_path / "run", fast=True)
    assert not found.differs and not found.unconfirmed
