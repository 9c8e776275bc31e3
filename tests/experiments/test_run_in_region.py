"""A whole run of a plant with a region: everything in it, and all of it derived again by ``verify``."""

import json

import numpy as np
import pytest

import reports
from experiments.cli.app import app
from experiments.pipeline.verify import verify
from observer import load_run
from systems import discretize
from systems.files import load_system
from systems.observability.mirrors import mirror_sentences
from systems.regions import DRIFT, holds_along
from tests.conftest import SHARED
from tests.plants import HARDENING_SPRING

FIELD = SHARED / "field"
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


@pytest.mark.skipif(not FIELD.is_dir(), reason="the shared plants are not there")
def test_the_ambiguity_of_two_ranges_is_named():
    plant = discretize(load_system(FIELD / "two_ranges.toml"))
    (text,) = mirror_sentences(plant, plant.system.state_ranges)
    assert text.startswith("ambiguous: r1, r2 are the same at (x, y) and at (x, -y)")


@pytest.mark.slow
@pytest.mark.skipif(not FIELD.is_dir(), reason="the shared plants are not there")
@pytest.mark.parametrize(("name", "condition"), [("two_ranges.toml", "y > 0"), ("vehicle.toml", "abs(beta) <= 0.1")])
def test_plants_of_strangers_pass_with_their_region(observer, tmp_path, name, condition):
    file = tmp_path / name
    file.write_text((FIELD / name).read_text() + f'[region]\nconstraints = ["{condition}"]\n')
    found = observer(
        "run", file, "--out", tmp_path / "run", "--neurons", 6, "--iterations", 20, "--trials", 20, "--quiet"
    )
    assert found.code == 0, found.err
    assert load_run(tmp_path / "run").validation.verdict == "pass"
