"""Trials of which the plant leaves its ranges: they end there, are counted as left, and are judged only if they reached the window."""

from dataclasses import replace

import numpy as np
import pytest

from observer import validate
from observer.estimators.open_loop import OpenLoop
from observer.validation.result import Validation
from observer.validation.validate import judged
from systems import InputError, Signal, System, discretize, simulate


@pytest.fixture(scope="module")
def drifting():
    """An integrator: where it goes is its input's doing."""
    return discretize(
        System(
            name="drift", states=[Signal("x", "m", (-1, 1), initial=(-0.5, 0.5))], inputs=[Signal("u", "", (-1, 1))],
            outputs=[Signal("y", "m")], dynamics=lambda u: [u[0]], output=lambda x: [x[0]], dt=0.1, duration=10.0,
        )
    )  # fmt: skip


def _judged(plant, data, error):
    return judged(OpenLoop(plant), plant, data, data.x + error, truth="model", seed=0, noise=False)


def test_what_comes_after_the_end_counts_for_nothing(drifting):
    data = simulate(drifting, 4, excitation="zero")
    lengths = np.array([101, 90, 70, 30])  # the window begins at sample 50
    x = np.where(np.arange(101)[None, :, None] < lengths[:, None, None], data.x, np.nan)
    cut = replace(data, x=x, lengths=lengths)
    error = np.zeros_like(x)
    error[:, :20] = 0.5
    found = _judged(drifting, cut, error)
    assert list(found.left) == [False, True, True, True] and list(found.judged) == [True, True, True, False]
    assert found.converged_fraction == 1.0 and found.n_diverged == 0 and found.metrics()["left"] == 3
    np.testing.assert_allclose(found.trial_settling[:, 0], 2.0)  # also of the trial that left before the window
    assert found.rms_error[0] == 0 and found.max_error[0] == 0 and found.residual_level == pytest.approx(0, abs=1e-9)
    assert (
        np.isfinite(found.error_norm).all() and np.isfinite(found.error).all() and not found.error[3, 30:].any()
    )  # the last one is held
    assert found.verdict == "pass" and "left its ranges before that" in found.criteria[-1].name


def test_an_error_that_is_large_when_the_trial_ends_has_not_settled(drifting):
    data = simulate(drifting, 2, excitation="zero")
    lengths = np.array([101, 60])
    x = np.where(np.arange(101)[None, :, None] < lengths[:, None, None], data.x, np.nan)
    error = np.zeros_like(x)
    error[1] = 0.3
    found = _judged(drifting, replace(data, x=x, lengths=lengths), error)
    assert found.converged_fraction == 0.5 and np.isnan(found.trial_settling[1, 0]) and found.verdict == "fail"
    error[1, 55:] = 30.0  # while it was still there: fifteen ranges
    assert _judged(drifting, replace(data, x=x, lengths=lengths), error).n_diverged == 1


def test_when_most_trials_leave_before_the_window_nothing_was_shown(drifting):
    data = simulate(drifting, 4, excitation="zero")
    lengths = np.array([101, 20, 20, 20])
    x = np.where(np.arange(101)[None, :, None] < lengths[:, None, None], data.x, np.nan)
    found = _judged(drifting, replace(data, x=x, lengths=lengths), np.zeros_like(x))
    assert found.converged_fraction == 1.0 and found.verdict == "fail"
    assert [c.passed for c in found.criteria] == [True, True, False]
    nowhere = replace(data, x=x, lengths=np.full(4, 20))
    assert _judged(drifting, nowhere, np.zeros_like(x)).converged_fraction == 0.0


def test_a_simulated_validation_counts_them_and_keeps_them_in_its_file(drifting, tmp_path):
    found = validate(OpenLoop(drifting), trials=12, duration=30.0, seed=0, truth="model", excitation="constant")
    assert found.left.any() and not found.left.all() and found.metrics()["left"] == int(found.left.sum())
    assert any("leave the doubled ranges and end there" in text for text in found.warnings)
    assert np.isfinite(found.rms_error).all()
    found.save(tmp_path / "v.npz")
    np.testing.assert_array_equal(Validation.load(tmp_path / "v.npz").lengths, found.lengths)


def test_a_validation_of_before_has_whole_trials(drifting):
    found = _judged(drifting, simulate(drifting, 3, excitation="zero"), 0.0)
    old = Validation(**{name: value for name, value in vars(found).items() if name not in ("lengths", "error")})
    assert not old.left.any() and old.judged.all()


def test_a_window_without_a_sample_is_still_refused(drifting):
    with pytest.raises(InputError, match="holds no sample"):
        validate(OpenLoop(drifting), trials=2, duration=5.0, window=(7.0, 8.0), truth="model", excitation="zero")
