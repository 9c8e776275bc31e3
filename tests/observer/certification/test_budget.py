"""A clock can end every search of a certificate: what is proved by then is kept, what was not begun is named, and all repeats."""

import numpy as np
import pytest

from experiments.pipeline.verification.findings import AGREES
from observer import certify, fit
from observer.certification.residual import bound_horizon, bound_residual
from observer.certification.residual.model import OutOfTimeError, OutOfWorkError
from observer.certification.verification import verify_certificate


@pytest.fixture(scope="module")
def fitted(oscillator, oscillator_data):
    return fit(oscillator, oscillator_data, neurons=2, iterations=2).observer


def test_without_time_there_is_one_bound_and_the_rest_is_named_and_it_verifies(fitted, oscillator):
    certificate = certify(fitted, budget=1e-9)
    bounds = certificate.bounds
    assert certificate.holds and bounds.kind == "proved" and len(bounds.proofs) == 1
    assert bounds.proof.residual.status == "clock" and np.isfinite(bounds.proof.residual.upper)
    assert {"settled", "refined metric", "horizon"} <= set(bounds.omitted) and set(bounds.omitted.values()) == {"clock"}
    assert "--budget" in bounds.reason
    assert {found.answer for found in verify_certificate(certificate, fitted, oscillator)} == {AGREES}


def test_progress_names_what_is_searched(fitted):
    told = []
    certify(fitted, work=0.05, progress=lambda name, cells, seconds: told.append((name, cells)))
    assert "one step" in {name for name, _ in told} and all(cells > 0 for _, cells in told)


def test_many_steps_that_time_or_work_do_not_suffice_for(fitted, oscillator):
    """A slow mode asks for thousands of steps, whose sampling alone takes longer than a whole certificate."""
    with pytest.raises(OutOfTimeError):
        bound_horizon(fitted, oscillator, rate=0.99, budget=0.0)
    with pytest.raises(OutOfWorkError):
        bound_horizon(fitted, oscillator, rate=0.9999, work=1e8)


def test_a_round_that_the_clock_ends_is_as_if_it_had_not_begun(fitted, oscillator, monkeypatch):
    from observer.certification.residual.model import Model

    look, looks = Model.look_at_the_clock, []

    def after_some(model):
        looks.append(0)
        if len(looks) > 3:
            raise OutOfTimeError
        look(model)

    monkeypatch.setattr(Model, "look_at_the_clock", after_some)
    cut = bound_residual(fitted, oscillator, gap=1e-3)
    monkeypatch.undo()
    assert cut.status == "clock" and cut.cells > 1
    again = bound_residual(fitted, oscillator, gap=1e-3, cells=cut.cells)
    assert (again.upper, again.cells, again.lower) == (cut.upper, cut.cells, cut.lower)
