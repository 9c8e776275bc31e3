"""A peak of the transient is stated as what it is; diverged means: not finite, or beyond ten ranges in the window."""

from dataclasses import replace

import numpy as np
import pytest

from observer import fit
from observer.validation.result import overall_verdict
from observer.validation.validate import judged
from systems import simulate


@pytest.fixture(scope="module")
def fitted(oscillator, oscillator_data):
    return fit(oscillator, oscillator_data, neurons=0).observer


@pytest.fixture(scope="module")
def trials(oscillator):
    return simulate(oscillator, 5, 10.0, 3)


def verdict_of(fitted, trials, error, **options):
    return judged(fitted, fitted.plant, trials, trials.x + error, truth="model", seed=3, noise=False, **options)


def test_a_high_peak_before_the_window_is_no_divergence(fitted, trials):
    error = np.zeros_like(trials.x)
    width = np.ptp(fitted.plant.system.state_ranges, axis=1)
    error[2, 1, 1] = 21 * width[1]
    check = verdict_of(fitted, trials, error)
    assert check.n_diverged == 0 and check.converged_fraction == 1.0
    assert (check.peak.state, check.peak.trial) == (fitted.plant.system.state_names[1], 2)
    assert check.peak.ranges == pytest.approx(21) and check.peak.error == pytest.approx(21 * width[1])
    assert check.peak.time == pytest.approx(trials.t[1]) and check.metrics()["peak"]["ranges"] == pytest.approx(21)
    asked = [verdict_of(fitted, trials, error, peak=limit).criteria for limit in (20.0, 22.0)]
    assert [[c.passed for c in criteria if "at any time" in c.name] for criteria in asked] == [[False], [True]]


@pytest.mark.parametrize(("sample", "value"), [(-1, 11.0), (1, np.nan)])
def test_what_is_far_off_in_the_window_or_not_finite_has_diverged(fitted, trials, sample, value):
    error = np.zeros_like(trials.x)
    error[0, sample, 0] = value * np.ptp(fitted.plant.system.state_ranges[0])
    assert verdict_of(fitted, trials, error).n_diverged == 1


def test_with_stated_noise_the_rms_is_judged_and_the_verdict_needs_both(fitted, trials):
    rng = np.random.default_rng(0)
    error = 0.015 * np.ptp(fitted.plant.system.state_ranges, axis=1) * rng.standard_normal(trials.x.shape)
    options = {"truth": "model", "seed": 3}
    quiet, noisy = (
        judged(fitted, fitted.plant, trials, trials.x + error, noise=noise, **options) for noise in (False, True)
    )
    assert quiet.converged_fraction == 0 and noisy.converged_fraction == 1 and "RMS" in noisy.criteria[1].name
    good, bad = replace(noisy, verdict="pass"), replace(noisy, verdict="fail")
    assert overall_verdict(good, good, None) == overall_verdict(good, None, None) == "pass"
    assert (
        overall_verdict(good, bad, None)
        == overall_verdict(bad, good, None)
        == overall_verdict(None, None, None)
        == "fail"
    )
