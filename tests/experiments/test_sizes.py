"""What a request costs is known before it is begun: refused with its option, and nothing is made."""

import numpy as np
import pytest

from observer import fit, validate
from observer.estimators import make
from observer.validation import validate as validation
from observer.validation.worst_cases import trials as searches
from observer.validation.worst_cases.worst_case import worst_initial_states
from systems import InputError, discretize, mass_spring_damper, simulate
from systems.base import memory
from systems.discretization import MOST_OPERATIONS


@pytest.fixture
def little(monkeypatch):
    """10 MB are free."""
    monkeypatch.setattr(memory, "available", lambda: 10e6)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--trajectories", 1_000_000], "--trajectories 1000000, each of"),
        (["--trials", 10_000], "--trials 10000, each of"),
        (["--duration", 1e9], "--trajectories 100, each of 1e+09 s"),
        (["--substeps", 100_000], "substeps is 100000: a step of rk4 is then"),
        (["--dt", 1e-9], "--dt"),
    ],
)
def test_a_run_that_does_not_fit_is_refused_before_it_begins(observer, tmp_path, monkeypatch, little, words, said):
    monkeypatch.chdir(tmp_path)
    answer = observer("run", "mass_spring_damper", "--out", "run", "--quiet", *words)
    assert answer.code == 2 and said in answer.err and len(answer.err.splitlines()) == 1, answer.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"), [(["--trials", 100_000], "--trials 100000"), (["--training", 10**6], "--training")]
)
def test_a_comparison_that_does_not_fit_is_refused(observer, tmp_path, monkeypatch, little, words, said):
    from experiments.compare.result import Settings
    from experiments.compare.run import compare

    plant = discretize(mass_spring_damper())
    values = {words[0].lstrip("-"): words[1]}
    with pytest.raises(InputError, match=rf"{said} .* would take .* and 10 MB are free"):
        compare(plant, Settings(estimators=("open_loop", "particle"), **values), {})


def test_neurons_that_do_not_fit_are_refused(little):
    plant = discretize(mass_spring_damper())
    with pytest.raises(
        InputError, match=r"a fit of 3000 neurons to .* transitions would take .* ask for fewer neurons"
    ):
        fit(plant, simulate(plant, 4, 1.0), neurons=3000)


def test_trials_and_trajectories_of_the_library(little):
    plant = discretize(mass_spring_damper())
    with pytest.raises(InputError, match="100000 trials of 1 s in samples of"):
        validate(make("open_loop", plant), trials=100_000, duration=1.0)
    for options in ({"trajectories": 10**6}, {"duration": 1e300}, {"duration": 1e308}):
        with pytest.raises(InputError, match="would take"):
            simulate(plant, **options)


def test_a_step_of_too_many_operations_is_refused():
    with pytest.raises(InputError, match=f"expected at most {MOST_OPERATIONS}, so take fewer substeps"):
        discretize(mass_spring_damper(), substeps=10**7)


def test_pieces_change_no_number(monkeypatch):
    """Validation and search in pieces of a few trials are those in one piece."""
    plant = discretize(mass_spring_damper())
    observer = fit(plant, simulate(plant, 4, 1.0), neurons=2, iterations=2).observer
    whole = validate(observer, trials=13, duration=2.0, truth="model")
    worst = worst_initial_states(observer, plant, 1.0, 40)
    monkeypatch.setattr(validation, "PIECE", 1000)
    monkeypatch.setattr(searches, "CHUNK", 500)
    again = validate(observer, trials=13, duration=2.0, truth="model")
    for name in ("x_hat", "diverged", "converged", "in_region", "trial_settling", "max_error"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
    for name in ("rms_error", "error_norm", "residual_level"):
        np.testing.assert_allclose(getattr(again, name), getattr(whole, name), rtol=1e-12)
    assert worst_initial_states(observer, plant, 1.0, 40)["late"].value == pytest.approx(worst["late"].value, rel=1e-9)


def test_a_large_batch_is_evaluated_in_pieces(monkeypatch):
    from systems import evaluation

    system, rng = mass_spring_damper(), np.random.default_rng(0)
    x, u = rng.normal(size=(50, 7, system.nx)), rng.normal(size=(50, 7, system.nu))
    whole = system.derivative(x, u), system.derivative(x, u[0, 0]), system.measure(x[0], u[:, :1])
    monkeypatch.setattr(evaluation, "MOST_VALUES", 100)
    pieces = system.derivative(x, u), system.derivative(x, u[0, 0]), system.measure(x[0], u[:, :1])
    for one, other in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(one, other)
