"""Calibration from inputs and outputs: known parameters found, intervals that hold, what is not identifiable is named."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.calibration import CASES, calibrated, coverage
from observer.calibration.calibrate import calibrate, free_parameters
from observer.calibration.states import estimated_states
from observer.calibration.whiteness import whiteness
from systems import InputError, Signal, System, discretize, load_system, simulate
from systems.signals import Parameter


def _lag(dynamics, ranges, output=lambda x: [x[0]], noise=0.02):
    return System(
        name="lag", states=[Signal("x", "", (-3, 3)), Signal("z", "", (-3, 3))], inputs=[Signal("u", "", (-1, 1))],
        outputs=[Signal("y", "", noise=noise)], dynamics=dynamics, output=output, dt=0.1,
        parameters={name: Parameter(value, "", span) for name, (value, span) in ranges.items()},
    )  # fmt: skip


def _logs(system, truth, count=3, seed=1, seconds=6.0):
    data = simulate(discretize(system.with_parameters(**truth)), count, seconds, seed=seed, noise=True)
    return replace(data, x=np.full_like(data.x, np.nan))  # nothing but u and y


@pytest.mark.parametrize("name", CASES)
def test_parameters_are_found_within_three_deviations(name):
    found = calibrated(name, seed=3)
    assert found.status == "converged" and found.verdict == "pass"
    for item in found.estimates:
        assert abs(item.value - CASES[name].truth[item.name]) < 3 * item.deviation, item
        assert item.deviation < 0.2 * (item.range[1] - item.range[0])
    np.testing.assert_allclose(found.noise, CASES[name].noise, rtol=0.2)


def test_noise_that_is_not_stated_weighs_the_outputs_as_stated_noise_does():
    """One sensor is a hundred times as noisy as the other: taken for equals, they would give another value."""
    dynamics, _ = GAIN

    def made(noises):
        return System(
            name="lag", states=[Signal("x", "", (-3, 3)), Signal("z", "", (-3, 3))], inputs=[Signal("u", "", (-1, 1))],
            outputs=[Signal(f"y{k}", "", noise=noise) for k, noise in enumerate(noises)], dynamics=dynamics,
            output=lambda x: [x[0], x[0]], dt=0.1, parameters={"a": Parameter(1.0, "", (0.5, 3.0))},
        )  # fmt: skip

    stated, silent = made((0.002, 0.2)), made((0.0, 0.0))
    data = _logs(stated, {"a": 1.5})
    known, found = (
        calibrate(discretize(system), data, starts=1, held_out=0).estimates[0] for system in (stated, silent)
    )
    assert abs(found.value - known.value) < 0.1 * known.deviation and found.deviation < 1.2 * known.deviation


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_intervals_cover(name):
    """95 % over 50 seeds: fewer than 41 of 50 would occur once in ten thousand. Stated deviations may be somewhat too large."""
    for found in coverage(name, 50).values():
        assert found["covered"] >= 0.82 and 0.6 < found["rms"] < 1.3


PAIRS = {
    "only k1*k2 is seen": (lambda x, u, p: [-x[0] + p["k1"] * p["k2"] * u[0], -x[1]], {"k1": (1.0, (0.5, 3)), "k2": (2.0, (0.5, 4))},
                           {"k1": 1.5, "k2": 1.9}),
    "only a + b is seen": (lambda x, u, p: [-(p["a"] + p["b"]) * x[0] + u[0], -x[1]], {"a": (1.0, (0.5, 3)), "b": (0.5, (0.1, 4))},
                           {"a": 1.5, "b": 0.9}),
    "only k/m is seen": (lambda x, u, p: [-x[0] + p["k"] / p["m"] * u[0], -x[1]], {"k": (1.0, (0.5, 3)), "m": (2.0, (0.5, 4))},
                         {"k": 1.5, "m": 1.9}),
    "nothing about c": (lambda x, u, p: [-x[0] + u[0], -p["c"] * x[1]], {"c": (1.0, (0.5, 3))}, {"c": 1.5}),
}  # fmt: skip


@pytest.mark.parametrize("text", PAIRS)
def test_what_is_not_identifiable_is_named(text):
    dynamics, ranges, truth = PAIRS[text]
    system = _lag(dynamics, ranges)
    found = calibrate(discretize(system), _logs(system, truth), starts=1, held_out=0)
    assert found.verdict == "fail" and not any(item.identified for item in found.estimates)
    assert len(found.directions) == 1 and text in found.directions[0]
    assert all("interval is as wide as the range" in item.remark for item in found.estimates)


GAIN = (lambda x, u, p: [-p["a"] * x[0] + u[0], -x[1]], {"a": (1.0, (0.5, 3.0))})


def test_a_parameter_at_the_end_of_its_range_is_named():
    system = _lag(*GAIN)
    wide = system.with_parameters(a=1.0)
    data = _logs(wide, {"a": 3.6})
    found = calibrate(discretize(system), data, starts=1, held_out=0)
    assert found.estimates[0].at_end == 1 and "upper end of its range" in found.estimates[0].remark
    assert found.verdict == "fail" and found.estimates[0].value == pytest.approx(3.0)


def test_gaps_of_y_and_of_u_and_irregular_lengths_are_bridged():
    system = _lag(*GAIN, noise=0.0)  # to be estimated
    data = _logs(system.with_outputs(y={"noise": 0.02}), {"a": 1.7}, count=4, seconds=8.0)
    y, u, lengths = data.y.copy(), data.u.copy(), data.lengths.copy()
    y[0, 20:35], u[1, 40:50], y[2, ::2], lengths[3] = np.nan, np.nan, np.nan, 47
    found = calibrate(discretize(system), replace(data, y=y, u=u, lengths=lengths), starts=2, seed=1)
    assert [len(s) for s in found.stretches if s.log == 1] in ([], [40, 31])  # cut where the input is missing
    (item,) = found.estimates
    assert abs(item.value - 1.7) < 3 * item.deviation and found.noise[0] == pytest.approx(0.02, rel=0.3)
    assert found.system.outputs[0].noise == pytest.approx(found.noise[0], rel=0.1)
    assert found.held_out is not None and found.held_out.free_run_rms[0] < 1.5 * 0.02 and found.white[0].white


def test_the_same_seed_gives_the_same_result_to_the_bit():
    system = _lag(*GAIN)
    one, other = (calibrate(discretize(system), _logs(system, {"a": 1.7}), seed=4) for _ in range(2))
    assert one.estimates == other.estimates and one.starts == other.starts


def test_an_angle_that_turns_may_be_logged_wrapped():
    """y jumps by 2 pi in the log; the motion does not."""
    two_pi = 2 * np.pi
    system = System(
        name="rotor", states=[Signal("angle", "", (-20, 20), initial=(-1, 1), period=two_pi), Signal("w", "", (-8, 8), initial=(2, 5))],
        inputs=[Signal("u", "", (-1, 1))], outputs=[Signal("y", "rad", period=two_pi, noise=0.01)],
        parameters={"d": Parameter(0.2, "", (0.05, 1.0))}, dynamics=lambda x, u, p: [x[1], -p["d"] * x[1] + u[0]],
        output=lambda x: [x[0]], dt=0.05,
    )  # fmt: skip
    data = _logs(system, {"d": 0.31})
    wrapped = replace(data, y=(data.y + np.pi) % two_pi - np.pi)
    plain, turned = (calibrate(discretize(system), each, starts=1, held_out=0) for each in (data, wrapped))
    assert plain.estimates[0].value == pytest.approx(turned.estimates[0].value, abs=1e-7)
    assert abs(plain.estimates[0].value - 0.31) < 3 * plain.estimates[0].deviation


def test_residuals_of_a_wrong_model_are_not_white_and_widen_the_intervals():
    system = _lag(*GAIN)
    bent = _lag(lambda x, u, p: [-p["a"] * x[0] - 0.6 * x[0] ** 3 + u[0], -x[1]], GAIN[1])
    data = _logs(bent, {"a": 1.0})
    found = calibrate(discretize(system), data, starts=1, held_out=0)
    assert not found.white[0].white and found.inflation > 1.5


def test_whiteness_knows_white_from_coloured(rng):
    white = rng.standard_normal(500)
    coloured = np.convolve(white, [1, 0.8, 0.5], "same")
    assert whiteness([white]).white and whiteness([white]).inflation == 1
    found = whiteness([coloured[:200], coloured[200:]])
    assert not found.white and found.rho[0] > 0.5 and found.probability < 1e-6 and found.inflation > 1.4
    holes = np.where(rng.random(500) < 0.3, np.nan, white)
    assert whiteness([holes]).white


def test_a_stop_keeps_the_best_start_that_was_finished():
    system, calls = _lag(*GAIN), []

    def stop_in(stage):
        def report(p):
            calls.append(p.stage)
            if p.stage == stage:
                raise KeyboardInterrupt

        return report

    data = _logs(system, {"a": 1.7})
    found = calibrate(discretize(system), data, progress=stop_in("start 2"))
    assert found.status == "interrupted" and found.verdict == "fail" and abs(found.estimates[0].value - 1.7) < 0.1
    with pytest.raises(KeyboardInterrupt):
        calibrate(discretize(system), data, progress=stop_in("start 1"))


def test_states_by_the_equations_are_those_of_the_motion():
    system = load_system("van_der_pol").with_outputs(y={"noise": 0.01})
    plant = discretize(system)
    data = simulate(plant, 3, 6.0, seed=2, noise=True)
    found = estimated_states(plant, replace(data, x=np.full_like(data.x, np.nan)))
    assert np.abs(found.x - data.x).max() < 0.05 and "states are not compared with anything" in found.warnings[-1]
    wrong = discretize(system.with_parameters(mu=0.8))
    said = estimated_states(wrong, replace(data, x=np.full_like(data.x, np.nan))).warnings[-1]
    assert "times the stated noise; `observer calibrate` finds better parameters" in said


def test_what_cannot_be_calibrated_is_refused():
    system = _lag(*GAIN)
    plant, data = discretize(system), _logs(system, {"a": 1.7}, count=1)
    fixed = replace(system, parameters={"a": 1.0})
    with pytest.raises(InputError, match="no parameter of 'lag' has a range"):
        calibrate(discretize(fixed), data)
    with pytest.raises(InputError, match="'k' is no parameter of 'lag'"):
        free_parameters(system, ["k"])
    unused = _lag(GAIN[0], GAIN[1] | {"q": (1.0, (0, 2))})
    with pytest.raises(InputError, match="'q' is used by no equation"):
        free_parameters(unused)
    with pytest.raises(InputError, match="no log has 5 measured samples"):
        calibrate(plant, replace(data, y=np.full_like(data.y, np.nan)))
    with pytest.raises(InputError, match="use the method rk4, not exact"):
        calibrate(discretize(_lag(lambda x, u, p: [-p["a"] * x[0] + u[0], -x[1]], GAIN[1]), method="exact"), data)
