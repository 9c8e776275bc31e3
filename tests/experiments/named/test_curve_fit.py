"""The curve fit: the least loss by hand, the measured slope, and a page at smoke size."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from experiments.named.curve_fit import run as curve_fit
from experiments.pipeline.console import Interrupted
from experiments.runner import Parts
from observer.storage import write_json
from systems.base.errors import InputError


def test_the_best_function_of_a_slope_is_a_ramp_through_the_step():
    u = np.linspace(-0.3, 0.3, 61)
    loss, values = curve_fit.least_loss(u, curve_fit.step(u), 10.0)
    # By hand: the target jumps between u = -0.01 and 0, so the ramp of slope 10 is centred there; it has ten intervals.
    ramp = np.clip(0.5 + 10 * (u + 0.005), 0, 1)
    np.testing.assert_allclose(values, ramp, atol=1e-6)
    assert loss == pytest.approx(np.mean((ramp - curve_fit.step(u)) ** 2), rel=1e-6)
    assert curve_fit.least_loss(u, curve_fit.step(u), 200.0)[0] < 1e-12  # steep enough for the step itself


def test_the_steepest_place_of_a_known_function_is_found():
    def sharp(u):  # slope 3 / cosh^2, narrower than the grid
        return torch.tanh(3e4 * (u - 0.1234567)) / 1e4

    slope, place = curve_fit.largest_slope(sharp, -0.3, 0.3, points=2001)
    assert slope == pytest.approx(3.0, rel=1e-6) and place == pytest.approx(0.1234567, abs=1e-7)


def test_page_metrics_and_resuming_at_smoke_size(tmp_path, monkeypatch, perform):
    done = perform("curve_fit", tmp_path, seed=3, size=curve_fit.SMOKE)
    (row,) = done.metrics["seeds"]
    assert done.metrics["passed"] == (done.code == 0) == all(c["passed"] for c in done.metrics["criteria"])
    assert 0 < row["slope"] <= 10 * (1 + 1e-9) and row["proved"] and row["loss"] >= row["least_loss"]
    assert (
        all(text in done.page for text in ("94", "toy size", "--seed 3"))
        and (tmp_path / "figures" / "fit.pdf").is_file()
    )
    monkeypatch.setattr(curve_fit, "fit_step", None)  # nothing is left to fit
    assert perform("curve_fit", tmp_path, seed=3, size=curve_fit.SMOKE).code == done.code
    with pytest.raises(InputError, match="has no --neurons; it takes --iterations"):
        perform("curve_fit", tmp_path, neurons=3)
    with pytest.raises(InputError, match="--iterations is 0; expected at least 1"):
        perform("curve_fit", tmp_path, epochs=0)  # the option's name in earlier versions


def test_a_network_steeper_than_its_bound_fails_the_experiment(tmp_path, monkeypatch, perform):
    fitted = curve_fit.fit_step(curve_fit.SMOKE, 0)
    monkeypatch.setattr(curve_fit, "fit_step", lambda size, seed: fitted | {"slope": 10.001})
    assert perform("curve_fit", tmp_path, size=curve_fit.SMOKE).code == 1


def test_ctrl_c_keeps_the_finished_seeds_and_the_same_command_goes_on(tmp_path, monkeypatch, perform, undrawn):
    fitted, done = curve_fit.fit_step(curve_fit.SMOKE, 0), []

    def fit(size, seed):
        if seed == 1 and len(done) == 1:
            done.append("stopped")
            raise KeyboardInterrupt
        done.append(seed)
        return fitted

    monkeypatch.setattr(curve_fit, "fit_step", fit)
    two = replace(curve_fit.SMOKE, seeds=2)
    with pytest.raises(Interrupted, match="resumes from there"):
        perform("curve_fit", tmp_path, size=two)
    assert not (tmp_path / "metrics.json").exists()
    perform("curve_fit", tmp_path, size=two)
    assert done == [0, "stopped", 1]


def test_a_kept_part_belongs_to_its_key(tmp_path):
    parts = Parts(tmp_path)
    assert parts.keep("a/b", {"seed": 0}, lambda: [1, 2]) == [1, 2]
    assert parts.keep("a/b", {"seed": 0}, lambda: [9]) == [1, 2]
    assert parts.keep("a/b", {"seed": 1}, lambda value: [value], 9) == [9]
    assert Parts(tmp_path, fresh=True).keep("a/b", {"seed": 1}, lambda: [8]) == [8]


def test_parts_of_earlier_versions_are_taken(tmp_path):
    for name, content in (
        ("fit", {"key": 1, "outcome": "a"}), ("plant", {"key": 1, "row": "b"}),
        ("table", {"row": "a name", "fingerprint": 1, "measurement": "c"}),
    ):  # fmt: skip
        write_json(tmp_path / f"{name}.json", content)
    assert [Parts(tmp_path).stored(name, 1) for name in ("fit", "plant", "table", "none")] == ["a", "b", "c", None]
