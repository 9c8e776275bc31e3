"""Laws that the program finds for plants which leave their ranges by themselves."""

import numpy as np
import pytest

from systems import Signal, System, discretize, simulate
from systems.found_feedback import OUTSIDE, open_loop_share, with_found_feedback


def plant(name, states, inputs, f, outputs=1, dt=0.01, **more):
    return discretize(
        System(
            name=name, states=[Signal(n, "", r, initial=i) for n, r, i in states], inputs=[Signal(n, "", r) for n, r in inputs],
            outputs=[Signal(f"y{k}") for k in range(outputs)], dynamics=f, output=lambda x: [x[k] for k in range(outputs)], dt=dt, **more,
        )
    )  # fmt: skip


def cart_pole():
    """An inverted pendulum on a cart, the angle from upright."""

    def f(x, u):
        s, c = np.sin(x[2]), np.cos(x[2])
        a = (u[0] + 0.1 * s * (0.5 * x[3] ** 2 - 9.81 * c)) / (1 + 0.1 * s**2)
        return [x[1], a, x[3], (9.81 * s - a * c) / 0.5]

    states = [("p", (-2, 2), None), ("v", (-3, 3), None), ("a", (-0.5, 0.5), None), ("w", (-3, 3), None)]
    return plant("cart pole", states, [("force", (-15, 15))], f, outputs=2)


def bearing():
    """A magnetic bearing with a bias current."""
    f = lambda x, u: [x[1], 4e3 * x[0] + 40 * u[0]]  # noqa: E731
    return plant("bearing", [("gap", (-4e-4, 4e-4), None), ("w", (-0.1, 0.1), None)], [("i", (-0.5, 0.5))], f, dt=5e-4)


def ball_and_beam():
    f = lambda x, u: [x[1], 7 * np.sin(x[2]), u[0]]  # noqa: E731
    return plant(
        "ball", [("r", (-0.4, 0.4), None), ("v", (-1, 1), None), ("a", (-0.3, 0.3), None)], [("turn", (-3, 3))], f
    )


def tank():
    """Stable, but its input alone fills it over: a law that holds the level."""
    f = lambda x, u: [0.05 * u[0] - 0.005 * x[0]]  # noqa: E731
    return plant("tank", [("level", (0, 1), (0.2, 0.8))], [("flow", (0, 1))], f, dt=2.0, duration=400.0)


def reactor():
    """An unstable equilibrium of a stirred tank reactor with heat of reaction."""

    def f(x, u):
        rate = 0.072 * (1 - x[0]) * np.exp(x[1] / (1 + x[1] / 20))
        return [-x[0] + rate, -x[1] + 8 * rate + 0.3 * (u[0] - x[1])]

    states = [("c", (0.2, 0.7), (0.4, 0.5)), ("T", (1.5, 4.5), (2.5, 3.0))]
    return plant("reactor", states, [("Tc", (-3, 3))], f, dt=0.05, duration=15.0)


def map_():
    return discretize(
        System(
            name="map", kind="discrete", states=[Signal("n", "", (0.5, 2))], inputs=[Signal("u", "", (-1, 1))], outputs=[Signal("y")],
            dynamics=lambda x, u: [1.8 * x[0] - 0.5 + u[0]], output=lambda x: [x[0]], dt=1.0,
        )
    )  # fmt: skip


@pytest.mark.parametrize("make", [cart_pole, bearing, ball_and_beam, tank, reactor, map_])
def test_motions_stay_under_the_law_that_is_found(make):
    open_loop = make()
    assert open_loop_share(open_loop) > OUTSIDE
    found = with_found_feedback(open_loop)
    feedback = found.system.feedback
    assert feedback is not None and "by itself the plant leaves its ranges" in feedback.found
    assert feedback.excitation > 0  # beside what the references move: data in closed loop alone would be poor
    data = simulate(found, 40, seed=5)  # another seed
    low, high = found.system.state_ranges.T
    assert ((data.x >= low) & (data.x <= high)).all(axis=2).mean() > 0.9
    assert (np.nanstd(data.x, axis=(0, 1)) > 0.02 * (high - low)).all()  # and the data are not those of one point
    assert with_found_feedback(make()).system.fingerprint == found.system.fingerprint
    constants = [node[1] for node in feedback.law.nodes if node[0] == "const"]
    assert all(value == float(f"{value:.4g}") for value in constants)  # the same on every machine


def test_a_plant_that_stays_or_has_a_law_is_left_as_it_is(plants):
    assert with_found_feedback(plants["van_der_pol"]) is plants["van_der_pol"]
    given = discretize(System.from_data(with_found_feedback(map_()).system.to_data()))
    assert with_found_feedback(given) is given


def test_where_nothing_helps_the_plant_is_left_as_it_is():
    weak = plant("weak", [("x", (-1, 1), (-0.9, 0.9))], [("u", (-1e-3, 1e-3))], lambda x, u: [5 * x[0] + u[0]])
    assert with_found_feedback(weak).system.feedback is None
    free = plant("free", [("x", (-1, 1), None)], [], lambda x: [x[0]])
    assert with_found_feedback(free).system.feedback is None


def test_a_stated_initial_set_is_kept_and_another_made_smaller_where_it_must():
    f = lambda x, u: [x[1], 2 * u[0]]  # noqa: E731
    both = [("a", (-0.3, 0.3), None), ("w", (-3, 3), None)]
    found = with_found_feedback(plant("free body", both, [("torque", (-1, 1))], f)).system
    assert found.feedback is not None and all(s.initial is not None for s in found.states)
    assert "initial states in the middle" in found.feedback.found
    stated = [("a", (-0.3, 0.3), (-0.1, 0.1)), ("w", (-3, 3), (-0.2, 0.2))]
    kept = with_found_feedback(plant("free body", stated, [("torque", (-1, 1))], f)).system
    assert kept.states[1].initial == (-0.2, 0.2) and kept.feedback is not None


def test_an_integrator_that_no_input_moves_does_not_stop_the_search():
    f = lambda x, u: [x[1], u[0] + x[2] - 0.1 * x[1], 0 * x[0]]  # noqa: E731
    states = [("q", (-1, 1), (-0.3, 0.3)), ("w", (-2, 2), (-0.3, 0.3)), ("load", (-1, 1), None)]
    found = with_found_feedback(plant("loaded", states, [("u", (-8, 8))], f))
    data = simulate(found, 40, seed=2)
    assert (data.lengths == len(data.t)).all() and np.abs(data.x[:, :, 0]).max() < 1.2


def test_a_lander_that_uses_up_its_mass_has_a_law_too():
    f = lambda x, u: [x[1], u[0] / x[2] - 9.81, -u[0] / 3000]  # noqa: E731
    states = [("h", (0, 100), None), ("v", (-20, 20), None), ("m", (500, 1000), None)]
    found = with_found_feedback(plant("lander", states, [("T", (0, 16000))], f, dt=0.1)).system  # no exact equilibrium
    assert found.feedback is not None
