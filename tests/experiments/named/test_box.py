"""The box experiment at toy size, and at full size by command (`pytest -m slow`)."""

import numpy as np
import pytest

from experiments.named.box import published as published_box
from experiments.named.box import run as experiment
from systems import box, discretize

TOY = {"neurons": 6, "iterations": 45, "trials": 5}


@pytest.fixture(scope="module")
def toy(tmp_path_factory, perform):
    out = tmp_path_factory.mktemp("box")
    return out, perform("box", out, **TOY)


def test_variants_metrics_and_report(toy):
    out, done = toy
    metrics = done.metrics
    assert done.code == 0
    assert metrics["network"]["nv"] == 6 and metrics["validation"]["plant_method"] == "euler"
    variants = metrics["variants"]
    assert variants["ours_true_ode"]["plant_method"] == "DOP853"
    assert variants["ours"]["against_true_ode"]["plant_method"] == "DOP853"
    assert variants["published"]["figure"]["rms_error"]["velocity"] == 1.26e-2
    assert "published figure" in done.page and "ours_true_ode/report.html" in done.page
    assert (out / "figures" / "comparison.pdf").is_file()
    assert any("report.html" in line for line in done.said)


def test_the_same_command_resumes(toy, perform):
    out, _ = toy
    before = (out / "ours" / "observer.safetensors").stat().st_mtime_ns
    assert perform("box", out, **TOY).code == 0
    assert (out / "ours" / "observer.safetensors").stat().st_mtime_ns == before


def test_protocol_is_the_published_one():
    plant = discretize(box(), method="euler")
    assert plant.dt == 0.01 and plant.substeps == 1
    x, u = np.array([0.3, -0.4]), np.array([0.0])
    np.testing.assert_allclose(plant.step(x, u), x + 0.01 * np.array([-0.4, -5 * 0.3 + 0.5 * 0.4 * 0.4]))
    assert experiment.PROTOCOL == {"trials": 50, "duration": 20.0, "estimate_start": "zero"}
    assert plant.system.initial_ranges.tolist() == [[-0.2, 0.2], [-0.2, 0.2]]


def test_the_published_recipe_trains_and_stays_a_contraction():
    from observer import certify

    plant = discretize(box(), method="euler")
    result = published_box.retrain(plant, seed=0, passes=6, neurons=8, trajectories=10, duration=0.5)
    assert len(result.losses) == 6 and result.losses[-1] < 0.2 * result.losses[0]
    proof = certify(result.observer, plant)
    assert proof.rate <= 1.0


@pytest.mark.slow
def test_the_bars_at_full_size(tmp_path, perform):
    done = perform("box", tmp_path)
    metrics = done.metrics
    assert done.code == 0
    assert metrics["network"]["nv"] >= 20
    assert metrics["variants"]["ours"]["rms_error"]["velocity"] <= experiment.VELOCITY_BAR
    assert metrics["variants"]["ours"]["diverged"] == 0 and metrics["variants"]["ours_true_ode"]["diverged"] == 0
    assert metrics["fit"]["one_step_loss"] <= metrics["fit"]["start_loss"] / 3
