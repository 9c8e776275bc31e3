"""One contract for all solvers: they agree, keep the proof, respect every limit, resume exactly, and end in words."""

import itertools
import time
from importlib import import_module

import numpy as np
import pytest

from observer import Progress, certify, fit
from observer.fitting.initial.linear import linear_observer
from observer.fitting.problem import Samples
from observer.fitting.result import HISTORY
from observer.fitting.solvers import SOLVERS
from systems import ALL_SYSTEMS, InputError, discretize, simulate

#: iterations, and the share of the start's loss they must reach: each of its own kind, second-order ones far below
ENOUGH = {
    "gauss_newton": (40, 1e-4),
    "levenberg_marquardt": (60, 1e-3),
    "lbfgs": (150, 0.2),
    "adam": (300, 0.2),
}
OPTIONS = {"neurons": 4, "settling_time": 2.0, "samples": 300}


@pytest.fixture(scope="module")
def results(oscillator, oscillator_data):
    return {
        name: fit(oscillator, oscillator_data, solver=name, iterations=ENOUGH[name][0], **OPTIONS) for name in SOLVERS
    }


def test_every_solver_is_under_this_contract():
    assert set(ENOUGH) == set(SOLVERS)


@pytest.mark.parametrize("name", SOLVERS)
def test_it_improves_on_the_start_as_its_kind_should_and_none_beats_gauss_newton(name, results):
    result = results[name]
    assert result.solver == name and result.status.sentence == result.message
    assert result.one_step_loss < ENOUGH[name][1] * result.start_loss
    assert results["gauss_newton"].one_step_loss <= 10 * result.one_step_loss
    assert set(result.history) == set(HISTORY) and np.isfinite(result.history["bound"]).all()


@pytest.mark.parametrize("name", SOLVERS)
def test_all_agree_where_the_answer_is_known(name):
    """A linear plant is its own best observer model: whatever the solver, the linear initial network cannot be made worse."""
    plant = discretize(ALL_SYSTEMS["mass_spring_damper"]())
    result = fit(plant, simulate(plant, 10), neurons=2, iterations=20, samples=200, solver=name)
    assert result.one_step_loss < 1e-18


@pytest.mark.parametrize("name", SOLVERS)
def test_the_proof_holds_at_the_rate_that_was_asked_for(name, results, oscillator):
    proof = certify(results[name].observer, oscillator)
    assert proof.holds and proof.rate <= results[name].observer.contraction_rate * (1 + 1e-9)


@pytest.mark.parametrize("name", SOLVERS)
def test_same_seed_same_observer_and_an_interrupted_fit_ends_where_an_unbroken_one_does(
    name, results, oscillator, oscillator_data, tmp_path
):
    """Stopped from within at the second look, then resumed: bitwise the weights of the fit that was left alone."""
    calls = []

    def stop(progress: Progress) -> None:
        calls.append(progress)
        if len(calls) == 2:
            raise KeyboardInterrupt

    options = {"solver": name, "iterations": ENOUGH[name][0], "checkpoint": tmp_path / "c.npz", **OPTIONS}
    first = fit(oscillator, oscillator_data, progress=stop, **options)
    assert first.status == "interrupted" and first.one_step_loss <= first.start_loss * (1 + 1e-9)
    second = fit(oscillator, oscillator_data, **options)
    assert second.status == results[name].status and second.iterations == results[name].iterations
    for weight, value in results[name].observer.weights.weights().items():
        np.testing.assert_array_equal(getattr(second.observer.weights, weight), value)
    assert len(second.history["loss"]) == len(results[name].history["loss"])


def test_interrupted_while_it_is_sharpened_it_is_sharpened_again(oscillator, oscillator_data, tmp_path):
    options = {"iterations": 60, "checkpoint": tmp_path / "c.npz", **OPTIONS}
    whole = fit(oscillator, oscillator_data, iterations=60, **OPTIONS)
    sharpened = []

    def stop(progress: Progress) -> None:
        if progress.stage.startswith("sharpen"):
            sharpened.append(progress)
            raise KeyboardInterrupt

    first = fit(oscillator, oscillator_data, progress=stop, **options)
    assert sharpened and first.status == "interrupted"
    second = fit(oscillator, oscillator_data, **options)
    np.testing.assert_array_equal(second.observer.weights.A, whole.observer.weights.A)
    np.testing.assert_array_equal(second.history["loss"], whole.history["loss"])


@pytest.mark.parametrize("name", SOLVERS)
def test_a_checkpoint_of_another_solver_is_left_alone(name, oscillator, oscillator_data, tmp_path):
    path = tmp_path / "c.npz"
    other = next(solver for solver in SOLVERS if solver != name)

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    fit(oscillator, oscillator_data, solver=other, iterations=60, progress=stop, checkpoint=path, **OPTIONS)
    result = fit(oscillator, oscillator_data, solver=name, iterations=2, checkpoint=path, **OPTIONS)
    assert result.iterations <= 16 and result.status == "iteration_limit"


@pytest.mark.parametrize("name", SOLVERS)
def test_a_budget_nobody_can_keep_ends_in_the_linear_observer(name, oscillator, oscillator_data):
    result = fit(oscillator, oscillator_data, solver=name, budget=1e-3, **OPTIONS)
    assert result.status == "budget" and "budget" in result.message
    assert result.one_step_loss == pytest.approx(result.start_loss, rel=1e-6)


@pytest.mark.parametrize("name", SOLVERS)
def test_a_budget_ends_a_fit_that_has_iterations_left(name, oscillator, oscillator_data, monkeypatch):
    """The clock jumps by a second per look at it, so that the test needs no waiting and knows when the budget is over."""
    fit(
        oscillator, oscillator_data, solver=name, iterations=1, **OPTIONS
    )  # the kernels are loaded: that looks at the clock too
    clock = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))
    ends = []
    result = fit(
        oscillator, oscillator_data, solver=name, budget=200.0, progress=lambda p: ends.append(p.seconds), **OPTIONS
    )
    assert result.status in ("budget", "converged")
    assert not ends or max(ends) <= 200.0
    assert result.seconds < 230.0


@pytest.mark.parametrize("name", SOLVERS)
def test_a_tolerance_stops_it_once_the_estimated_error_is_small_enough(name, results, oscillator, oscillator_data):
    reached = results[name].history["bound"]
    tolerance = float(np.sqrt(reached[0] * reached[-1]))
    result = fit(oscillator, oscillator_data, solver=name, iterations=ENOUGH[name][0], tolerance=tolerance, **OPTIONS)
    assert result.status == "tolerance" and result.history["bound"][-1] <= tolerance
    assert result.iterations < results[name].iterations


@pytest.mark.parametrize("name", SOLVERS)
def test_data_that_is_not_finite_ends_in_a_status(name, oscillator, oscillator_data, monkeypatch):
    """One next state is nan after the start was made: the linear observer comes back, with words."""
    module = import_module(f"observer.fitting.solvers.{name}")
    solve = getattr(module, name)

    def spoiled(problem, monitor):
        problem.train.x_next[7, 0] = np.nan
        return solve(problem, monitor)

    monkeypatch.setattr(module, name, spoiled)
    monkeypatch.setattr("observer.fitting.initial.linear.linear_observer", _finite_rows_only)
    result = fit(oscillator, oscillator_data, solver=name, iterations=60, **OPTIONS)
    assert result.status == "non_finite" and np.isfinite(result.one_step_loss)
    assert result.one_step_loss <= result.start_loss * (1 + 1e-9)


def _finite_rows_only(samples, *args):
    good = np.isfinite(samples.x_next).all(axis=1)
    return linear_observer(Samples(samples.x[good], samples.v[good], samples.x_next[good]), *args)


@pytest.mark.parametrize(
    ("tolerance", "words"),
    [(0.0, "expected a positive number"), ({"z": 1.0}, "expected states of the plant: q, w"), ({}, "names no state")],
)
def test_tolerances_that_cannot_be_used(tolerance, words, oscillator, oscillator_data):
    with pytest.raises(InputError, match=words):
        fit(oscillator, oscillator_data, tolerance=tolerance)
