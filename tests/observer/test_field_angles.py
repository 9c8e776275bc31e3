"""Strangers' plants with an angle: one that hangs and is logged on two branches, and one that turns through."""

import numpy as np
import pytest

from observer import certify, fit, validate
from systems import discretize, load_system, read_recordings, simulate
from systems.angles import wrap
from tests.conftest import SHARED

FIELD = SHARED / "field"
pytestmark = pytest.mark.skipif(not FIELD.is_dir(), reason="the strangers' plants are not here")


def quickly(name, **options):
    plant = discretize(load_system(FIELD / f"{name}.toml"))
    return fit(plant, simulate(plant, 20, seed=0), neurons=6, samples=800, **options).observer


def test_a_motion_that_is_written_on_two_branches_gives_the_same_estimates():
    """The logs are rounded to 1e-6, on either branch."""
    observer = quickly("hanging", iterations=6)
    found = []
    for name in ("plain", "wrapped"):
        log = read_recordings(FIELD / "logs" / f"hanging_{name}.csv", observer.system, observer.dt)
        for first in (3.1, 3.1 - 2 * np.pi, 3.1 + 6 * np.pi):
            x_hat = observer.run([first, 0.0], log.u[0], log.y[0])
            rms = np.sqrt(np.mean(wrap(x_hat - log.x[0], np.array([2 * np.pi, np.nan])) ** 2, axis=0))
            assert rms == pytest.approx([0.027, 0.27], rel=0.2)
            found.append(x_hat)
        assert not log.warnings
    for x_hat in found:
        np.testing.assert_allclose(x_hat, found[0], atol=2e-5)


def test_a_pendulum_that_turns_through_settles_from_everywhere_and_is_proved():
    observer = quickly("spin", iterations=12)
    check = validate(observer, trials=200, duration=4.0)
    assert check.verdict == "pass" and np.ptp(check.x[:, :, 0], axis=1).max() > 2 * np.pi
    assert check.trial_settling.max() <= 1.0
    proof = certify(observer, work=0.05)
    assert proof.holds and proof.bounds.proved and proof.bounds.proofs[0].residual.upper < 0.01
    wrapped = observer.run(check.x_hat[:, 0], check.u, np.mod(check.y, 2 * np.pi))
    np.testing.assert_allclose(wrapped, check.x_hat, atol=1e-9)
