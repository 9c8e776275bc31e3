"""Integrators come to an end: sliding modes are named and integrated by fixed steps, what runs away is refused."""

import numpy as np
import pytest

from systems import InputError, Signal, SimulationError, System, discretize, simulate
from systems.fixed_steps import fixed_steps
from systems.integration import integrate_reference, reference_motion
from systems.toml_files import system_from_toml


def _plant(equation, states="x = { range = [-1, 1] }", dt=0.05):
    rows = "\n".join(f'{name} = "{text}"' for name, text in equation.items())
    return system_from_toml(
        f'[states]\n{states}\n[dynamics]\n{rows}\n[outputs]\ny = "x"\n[sampling]\ndt = {dt}\nduration = 2', "plant.toml"
    )


TWO = "x = { range = [-1, 1] }\nw = { range = [-1, 1] }"
SLIDING = {
    "sign": ({"x": "-sign(x)"}, "x = { range = [-1, 1] }", "between -1 and 1"),
    "variable structure": ({"x": "w", "w": "-3*sign(x + w)"}, TWO, "of 'w' switches between -3 and 3"),
}


@pytest.mark.parametrize("case", SLIDING)
def test_a_sliding_mode_is_named_and_integrated_by_fixed_steps(case):
    equations, states, words = SLIDING[case]
    plant = discretize(_plant(equations, states))
    assert any("sliding mode" in text and words in text and "accurate to" in text for text in plant.warnings)
    data = simulate(plant, 4, 2.0, truth="reference")
    assert data.method == "RK4 with fixed steps"
    assert any("Runge-Kutta steps of one length" in text for text in data.warnings)


def test_the_states_of_a_sliding_mode_are_right_to_the_stated_accuracy():
    system = _plant({"x": "-sign(x)"})
    x0 = np.array([[0.8], [-0.33]])
    motion = reference_motion(system, x0, np.zeros((2, 40, 0)), 0.05)
    t = 0.05 * np.arange(41)
    exact = np.sign(x0) * np.maximum(np.abs(x0) - t, 0.0)
    stated = float(motion.warning.rpartition("accurate to ")[2].split()[0])
    assert np.abs(motion.x[:, :, 0] - exact).max() < 2 * 2 * max(stated, 1e-5)  # the range is 2 wide
    assert "x=0 from the initial state" in motion.warning


def test_fixed_steps_agree_with_the_adaptive_integrator_where_both_work():
    system = _plant({"x": "w", "w": "-sin(x) - 0.1*w"}, TWO)
    x0 = np.array([[0.5, -0.5], [0.1, 0.9]])
    x, substeps, error = fixed_steps(system, x0, np.zeros((2, 20, 0)), 0.05)
    assert substeps == 16 and error.max() < 1e-9
    np.testing.assert_allclose(x, integrate_reference(system, x0, np.zeros((2, 20, 0)), 0.05), atol=1e-9)


#: Each hung, or would end as something else than what it is.
ENDS = {
    "stiff chatter": ({"x": "-1e6*sign(x)"}, "the derivative of 'x' is -1e.06"),
    "a pole": ({"x": "-1/x"}, "narrow the ranges to where the equations hold"),
    "poles of a tangent": ({"x": "tan(3*x)"}, "narrow the ranges to where the equations hold"),
    "finite escape within a sample": ({"x": "50*x^3"}, "without bound"),
    "a root of a negative number": ({"x": "-sqrt(x)"}, "derivative of x is not finite inside the region"),
    "a root that becomes negative": ({"x": "-sqrt(x + 1) - 0.5"}, "narrow the ranges to where the equations hold"),
}


@pytest.mark.parametrize("case", ENDS)
def test_what_cannot_be_integrated_is_refused_by_name(case):
    equations, words = ENDS[case]
    with pytest.raises(InputError, match=words):
        discretize(_plant(equations))


def test_a_finite_escape_names_state_time_and_initial_state():
    plant = discretize(_plant({"x": "x^2 + 0.5"}))
    with pytest.raises(SimulationError, match=r"'x' grows without bound near t = .* from the initial state x="):
        simulate(plant, 4, 8.0, truth="reference")


def test_an_oscillation_far_faster_than_the_sample_ends():
    motion = reference_motion(_plant({"x": "-x + sin(6.28e9*t)"}), np.array([[0.5]]), np.zeros((1, 4, 0)), 0.05)
    assert "too fast or too rough for adaptive steps" in motion.warning and np.isfinite(motion.x).all()


def test_a_root_reached_in_finite_time_ends():
    motion = reference_motion(_plant({"x": "-sign(x)*abs(x)^(1/3)"}), np.array([[0.3]]), np.zeros((1, 40, 0)), 0.05)
    assert abs(motion.x[0, -1, 0]) < 1e-4


def test_not_a_number_from_the_first_step_on_ends():
    """scipy chooses a first step of nan and never accepts one."""
    system = System(
        name="gap", states=[Signal("x", "", (0, 1))], outputs=[Signal("y")], dt=0.1,
        dynamics=lambda x: [np.log(x[0])], output=lambda x: [x[0]],
    )  # fmt: skip
    with pytest.raises(SimulationError, match="'x' is nan"):
        integrate_reference(system, np.array([[-0.5]]), np.zeros((1, 3, 0)), 0.1)


def test_patience_ends_within_a_sample(monkeypatch):
    monkeypatch.setattr("systems.integration.PATIENCE", 0.0)
    with pytest.raises(SimulationError, match=r"needs more than 0 s for one sample near t = .*take fewer trials"):
        integrate_reference(_plant({"x": "-sign(x)"}), np.array([[0.5]]), np.zeros((1, 20, 0)), 0.05)


@pytest.mark.parametrize("method", ["Radau", "cvodes"])
def test_implicit_integrators_end_too(method):
    motion = reference_motion(_plant({"x": "-sign(x)"}), np.array([[0.5], [0.2]]), np.zeros((2, 20, 0)), 0.05, method)
    exact = np.maximum(np.array([[0.5], [0.2]]) - 0.05 * np.arange(21), 0)
    assert np.abs(motion.x[:, :, 0] - exact).max() < 1e-4
