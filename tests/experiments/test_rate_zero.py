"""A plant whose whole state is measured: an exact observer forgets in one sample, and a rate of exactly 0 is a rate like any other."""

import json

import numpy as np
import pytest

import reports
from experiments.pipeline.verify import verify
from observer import load_run
from observer.certification.envelope import envelope, ultimate_bound
from observer.certification.verification import verify_certificate
from reports.sentences import knowledge
from systems.detectability import residual_lower_bound

MAP = """
name = "m"
[states]
a = { range = [0, 10] }
b = { range = [0, 10] }
[difference]
a = "0.5*a"
b = "0.8*b"
[outputs]
ya = "a"
yb = "b"
[sampling]
dt = 0.1
duration = 3
"""
TANK = """
name = "m"
[states]
h = { range = [0, 10] }
[dynamics]
h = "-0.3*h"
[outputs]
z = "h"
[sampling]
dt = 0.1
duration = 30
"""
SMALL = ("--trajectories", 12, "--neurons", 3, "--iterations", 6, "--trials", 6, "--worst-trials", 20, "--quiet")


@pytest.mark.parametrize("text", [MAP, TANK], ids=["map", "ode"])
def test_a_plant_whose_whole_state_is_measured_is_checked_run_and_verified(observer, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    page = lambda run, **_: (run.path / "report.html").write_text(reports.metrics_text(run))  # noqa: E731
    monkeypatch.setattr(reports, "write_report", page, raising=False)
    (tmp_path / "m.toml").write_text(text)
    checked = json.loads(observer("check", "m.toml", "--json").out)
    assert checked["rate"] == 0 and checked["verdict"] == "pass"
    made = observer("run", "m.toml", "--out", "run", *SMALL)
    assert made.code == 0, made.err
    run = load_run(tmp_path / "run")
    bound, _ = ultimate_bound(run.certificate)
    assert np.isfinite(bound).all() and np.isfinite(envelope(run.certificate, np.ones(run.plant.nx), 5).bound).all()
    assert "need not decay" not in " ".join(knowledge(run)[0].sentences)
    found = verify(tmp_path / "run", fast=True)
    assert not found.differs and not found.unconfirmed
    assert {part.answer for part in verify_certificate(run.certificate, run.observer, run.plant)} == {"agrees"}


def test_a_residual_at_rate_zero_has_a_lower_bound(oscillator):
    assert residual_lower_bound(oscillator, np.eye(2), 0.0, pairs=64, iterations=2).residual > 0
