"""A whole run of a plant with a region: everything in it, and all of it derived again by ``verify``."""

import json

import numpy as np
import pytest

import reports
from experiments.cli.app import app
from experiments.pipeline.verify import verify
from observer import load_run
from systems.regions import DRIFT, holds_along
from tests.plants import HARDENING_SPRING

REGION = '[region]\nenergy = "q^2 + w^2 <= 0.6"\npower = ["u*w <= 0.1"]\n'
SMALL = ("--trajectories 6 --duration 3 --neurons 2 --iterations 3 --trials 6 --worst-trials 20 --noise").split()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder, patch = tmp_path_factory.mktemp("region"), pytest.MonkeyPatch()
    patch.chdir(folder)
    page = lambda run, **_: (run.path / "report.html").write_text(reports.metrics_text(run))  # noqa: E731
    patch.setattr(reports, "write_report", page, raising=False)
    (folder / "spring.toml").write_text(HARDENING_SPRING + REGION)
    with pytest.raises(SystemExit) as stopped:
        app(["run", "spring.toml", "--out", "run", *SMALL, "--quiet"], prog_name="observer")
    patch.undo()
    assert stopped.value.code in (0, 1)
    return folder / "run"


def test_its_data_and_trials_lie_inside(run):
    found = load_run(run)
    assert found.system.region.sentences == ("q^2 + w^2 <= 0.6", "u*w <= 0.1")
    for motion in (found.trajectories, found.validation):
        here = np.isfinite(motion.x).all(axis=2)
        assert here.any() and holds_along(found.system, motion.x, motion.u, DRIFT)[here].all()
        first = motion.x[:, 0]
        assert (first[:, 0] ** 2 + first[:, 1] ** 2 <= 0.6001).all()


def test_its_certificate_says_the_region(run):
    bounds = json.loads((run / "certificate.json").read_text())["bounds"]
    assert "where q^2 + w^2 <= 0.6 and u*w <= 0.1" in bounds["region"]["sentence"]
    q, w, u = bounds["proofs"][0]["residual"]["attained_at"]
    assert q**2 + w**2 <= 0.6001 and u * w <= 0.1001


def test_it_is_derived_again(run):
    (run / "report.html").unlink()
    found = verify(run, fast=True)
    assert found.differs == found.absent == [], found
    assert "trajectories.npz: initial states and inputs of its seed" in found.agrees
