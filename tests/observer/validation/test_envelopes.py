"""Trials against their envelopes: none crosses a true one, one that is too low is crossed, and the two kinds are distinguished."""

from types import SimpleNamespace

import numpy as np
import pytest

from observer.validation.envelopes import trial_envelopes

RATE, PUSH = 0.9, 0.01


def trials(metric, residual=PUSH, noise=False):
    """Errors of e+ = A e + r with |A|_M = RATE and |r|_M = residual, so that the sampled envelope holds with that residual."""
    rng = np.random.default_rng(0)
    root = np.linalg.cholesky(metric).T
    turn = np.array([[np.cos(0.7), np.sin(0.7)], [-np.sin(0.7), np.cos(0.7)]])
    a = RATE * np.linalg.solve(root, turn @ root)
    e = [rng.standard_normal((12, 2))]
    for _ in range(80):
        way = rng.standard_normal((12, 2))
        push = np.linalg.solve(root, (way / np.linalg.norm(way, axis=1, keepdims=True)).T).T
        e.append(e[-1] @ a.T + residual * push)
    error = np.stack(e, axis=1)
    return SimpleNamespace(
        error=error, x=0 * error, u=np.zeros((12, 81, 0)), noise=noise, dt=0.1, plant_method="DOP853"
    )


@pytest.fixture
def metric():
    return np.array([[2.0, 0.3], [0.3, 0.5]])


def certificate(metric, **changes):
    return SimpleNamespace(**({"rate": RATE, "metric": metric, "holds": True, "bounds": None} | changes))


def test_no_trial_crosses_a_sampled_envelope_that_knows_the_residual(metric):
    found = trial_envelopes(certificate(metric), trials(metric), None, PUSH)
    assert found is not None and found.kind == "sampled" and found.crossed == 0
    assert found.to_data() == {"kind": "sampled", "trials": 12, "crossed": 0, "left_region": 0}
    np.testing.assert_allclose(found.steady, np.sqrt(np.diag(np.linalg.inv(metric))) * PUSH / (1 - RATE))


def test_a_larger_residual_or_a_slower_error_crosses_it(metric):
    assert trial_envelopes(certificate(metric), trials(metric, 20 * PUSH), None, PUSH).crossed == 12
    assert trial_envelopes(certificate(metric, rate=0.6), trials(metric), None, PUSH).crossed == 12
    lost = trials(metric)
    lost.error[3, 40:] = np.nan
    assert trial_envelopes(certificate(metric), lost, None, PUSH).crossed == 1


def test_nothing_is_claimed_where_nothing_is_known(metric):
    assert trial_envelopes(certificate(metric), trials(metric), None) is None
    assert trial_envelopes(certificate(metric, holds=False), trials(metric), None, PUSH) is None
    assert trial_envelopes(certificate(metric), trials(metric, noise=True), None, PUSH) is None
    assert trial_envelopes(None, trials(metric), None, PUSH) is None
