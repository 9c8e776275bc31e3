"""Feedback laws: read in every form, applied sample by sample, and where a trajectory under them ends."""

import json

import numpy as np
import pytest

from systems import InputError, Signal, SimulationError, System, discretize, load_system, simulate
from systems.closed_loop import driven, ends_of, stepwise
from systems.feedback import Feedback, applied
from systems.trajectories import draw_commands, draw_initial_states, draw_inputs

CART = """
name = "unstable cart"
[states]
x = { range = [-1, 1], unit = "m", initial = [-0.2, 0.2] }
v = { range = [-3, 3], unit = "m/s", initial = [-0.3, 0.3] }
[inputs]
u = { range = [-30, 30], unit = "m/s^2" }
w = { range = [-1, 1] }
[parameters]
gain = 30
[definitions]
pull = "gain*v/5"
[dynamics]
x = "v"
v = "10*x + u + 0.1*w"
[outputs]
place = { equation = "x", unit = "m", noise = 0.01 }
[feedback]
u = "-gain*(place - target) - pull"
excitation = 0.05
[references]
target = { range = [-0.3, 0.3], unit = "m", excitation = "sine" }
[sampling]
dt = 0.01
duration = 1
"""


@pytest.fixture(scope="module")
def cart(tmp_path_factory):
    path = tmp_path_factory.mktemp("cart") / "cart.toml"
    path.write_text(CART)
    return load_system(path)


def unstable(**more):
    """The cart with one input, in Python."""
    return System(
        name="cart", states=[Signal("x", "m", (-1, 1), initial=(-0.2, 0.2)), Signal("v", "m/s", (-3, 3), initial=(-0.3, 0.3))],
        inputs=[Signal("u", "", (-30, 30))], outputs=[Signal("y", "m", noise=0.01)], parameters={"gain": 30.0},
        dynamics=lambda x, u: [x[1], 10 * x[0] + u[0]], output=lambda x: [x[0]], dt=0.01, **more,
    )  # fmt: skip


def test_inputs_are_the_law_of_the_same_sample_clipped_with_excitation_added(cart):
    plant = discretize(cart)
    data = simulate(plant, 5, seed=3)
    commands = draw_commands(cart, plant.dt, 5, len(data.t), 3)
    drawn, target = commands[..., 0], commands[..., 2]
    law = -30 * (data.x[..., 0] - target) - 6 * data.x[..., 1]
    np.testing.assert_allclose(data.u[..., 0], np.clip(law + 0.05 * drawn, -30, 30), atol=1e-12)
    np.testing.assert_array_equal(
        data.u[..., 1], draw_inputs(cart, plant.dt, 5, len(data.t), 3)[..., 1]
    )  # as it is without a law
    np.testing.assert_allclose(data.x[:, 1:], plant.step(data.x[:, :-1], data.u[:, :-1]), atol=1e-12)
    np.testing.assert_allclose(data.y, data.x[..., :1], atol=1e-12)
    assert (data.lengths == len(data.t)).all() and np.abs(data.x[..., 0]).max() < 1
    saturated = simulate(plant, 5, seed=3, x0=np.full((5, 2), (-0.9, -2.5)))
    assert saturated.u[:, 0, 0].max() == 30.0


def test_the_law_is_the_same_in_toml_and_in_python_and_as_stored_data(cart):
    law = Feedback(
        law=lambda y, r, x, p: -p["gain"] * (y[0] - r[0]) - p["gain"] * x[1] / 5, inputs=("u",), excitation=0.05,
        references=[Signal("target", "m", (-0.3, 0.3), excitation="sine")],
    )  # fmt: skip
    plain = System.from_data({key: value for key, value in cart.to_data().items() if key != "feedback"})
    assert plain.feedback is None and "feedback" not in plain.to_data() and plain.fingerprint != cart.fingerprint
    again = System.from_data(json.loads(json.dumps(cart.to_data())))
    assert again.fingerprint == cart.fingerprint
    from dataclasses import replace

    for other in (again, replace(plain, feedback=law)):
        one, two = simulate(discretize(cart), 3, seed=1), simulate(discretize(other), 3, seed=1)
        np.testing.assert_allclose(one.u, two.u, atol=1e-9)


def test_a_plain_function_drives_every_known_input_and_nothing_is_added_to_it_by_zero_excitation():
    system = unstable(feedback=lambda x, p: -p["gain"] * x[0] - 6 * x[1])
    data = simulate(discretize(system), 3, duration=1.0, excitation="zero")
    np.testing.assert_allclose(data.u[..., 0], -30 * data.x[..., 0] - 6 * data.x[..., 1], atol=1e-12)
    assert not system.unused  # the gain is a parameter of the law alone
    assert np.abs(data.x[:, -1]).max() < 0.02


def test_noise_reaches_the_plant_through_a_law_of_outputs_only():
    for law, through in ((lambda y, x: -30 * y[0] - 6 * x[1], True), (lambda x: -30 * x[0] - 6 * x[1], False)):
        plant = discretize(unstable(feedback=law))
        clean, noisy = (simulate(plant, 2, duration=0.5, noise=noise) for noise in (False, True))
        assert (np.abs(clean.u - noisy.u).max() > 0.1) == through
        if through:
            drawn = draw_commands(plant.system, plant.dt, 2, len(noisy.t), 0)
            np.testing.assert_allclose(applied(plant.system, noisy.t, noisy.x, noisy.y, drawn), noisy.u, atol=1e-12)


def test_the_compiled_loop_is_the_loop_sample_by_sample_and_the_reference_integrator_agrees(cart):
    plant = discretize(cart)
    commands = draw_commands(cart, plant.dt, 4, 101, 0)
    x0 = draw_initial_states(cart, 4, 0)
    x, u = driven(plant, x0, commands)
    slow = stepwise(plant, x0, commands)
    np.testing.assert_allclose(x, slow.x, atol=1e-12)
    np.testing.assert_allclose(u, slow.u, atol=1e-10)
    truth = simulate(plant, 4, truth="reference")
    assert truth.method == "DOP853"
    np.testing.assert_allclose(truth.x, x, atol=1e-5)


def test_a_given_input_acts_as_it_is(cart):
    plant = discretize(cart)
    given = np.zeros((1, 11, 2))
    assert not simulate(plant, duration=0.1, x0=np.zeros((1, 2)), u=given).x.any()


def test_a_discrete_map_and_a_map_of_its_own_clock_are_driven():
    system = System(
        name="map", kind="discrete", states=[Signal("n", "", (0, 2))], inputs=[Signal("u", "", (-1, 1))], outputs=[Signal("y")],
        dynamics=lambda x, u: [1.5 * x[0] + u[0]], output=lambda x: [x[0]], feedback=lambda t, x: -0.7 * x[0] + 0.1 * np.sin(t), dt=1.0,
    )  # fmt: skip
    data = simulate(discretize(system), 2, duration=20.0, excitation="zero", truth="reference")
    np.testing.assert_allclose(data.x[:, 1:, 0], 1.5 * data.x[:, :-1, 0] + data.u[:, :-1, 0], atol=1e-12)
    assert data.method == "discrete map" and (data.lengths == 21).all()
    wanted = np.clip(-0.7 * data.x[..., 0] + 0.1 * np.sin(data.t), -1, 1)
    np.testing.assert_allclose(data.u[..., 0], wanted, atol=1e-12)


@pytest.mark.parametrize(
    ("feedback", "said"),
    [
        (lambda x: [x[0], x[1]], "returns 2 values; expected 1, one for each of u"),
        (lambda x, z: [x[0]], "argument 'z' is unknown; arguments are matched by name among t, x, u, p, y, r"),
        (Feedback(law=lambda x: [x[0]], inputs=("force",)), "drives 'force', which is no known input"),
        (Feedback(law=lambda r: [r[0]], references=[Signal("r1")]), "reference 'r1' needs a range"),
        (Feedback(law=lambda r: [r[0]], references=[Signal("gain", "", (0, 1))]), "'gain' is the name of a reference"),
        (Feedback(law=lambda x: [x[0]], excitation=2), "excitation is 2; expected a share from 0 to 1"),
    ],
)
def test_what_is_no_law_for_this_plant_is_refused(feedback, said):
    with pytest.raises(InputError, match=said):
        unstable(feedback=feedback)


def test_an_output_that_the_driven_input_reaches_at_once_is_refused_in_the_law():
    system = dict(
        name="through", states=[Signal("x", "", (-1, 1))], inputs=[Signal("u", "", (-1, 1)), Signal("w", "", (-1, 1))],
        outputs=[Signal("y"), Signal("z")], dynamics=lambda x, u: [u[0] - x[0]], output=lambda x, u: [x[0] + u[0], x[0] + u[1]],
    )  # fmt: skip
    with pytest.raises(InputError, match="uses output 'y', which depends on the driven input 'u' in the same sample"):
        System(**system, feedback=Feedback(law=lambda y: [-y[0]], inputs=("u",)))
    assert System(**system, feedback=Feedback(law=lambda y: [-y[1]], inputs=("u",))).feedback.inputs == ("u",)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('u = "-gain*(place', 'force = "-gain*(place', "feedback drives 'force', which is no known input"),
        ("target) - pull", "aim) - pull", "feedback.u: name 'aim' is unknown"),
        ('u = "-gain*(place - target) - pull"\n', "", "drives u, w.*returns 0|returns 0 values"),
        ("excitation = 0.05", 'excitation = "strong"', "feedback.excitation is 'strong'; expected a share from 0 to 1"),
        ("target = {", "gain = {", "the name 'gain' is already a parameter"),
        ("range = [-0.3, 0.3], unit", "span = [-0.3, 0.3], unit", "key references.target.span is unknown"),
        ("[feedback]\n", "[sampling2]\n", "key sampling2 is unknown"),
    ],
)
def test_faults_of_a_law_in_toml_are_located(tmp_path, old, new, said):
    assert old in CART
    (tmp_path / "cart.toml").write_text(CART.replace(old, new))
    with pytest.raises(InputError, match=said):
        load_system(tmp_path / "cart.toml")


def test_references_without_a_law_are_refused(tmp_path):
    head, tail = CART.split("[feedback]")
    (tmp_path / "cart.toml").write_text(head + "[references]" + tail.split("[references]")[1])
    with pytest.raises(InputError, match=r"\[references\] belong to a law; add \[feedback\]"):
        load_system(tmp_path / "cart.toml")


# Where a trajectory ends ---------------------------------------------------------------------------------------------


def test_a_trajectory_that_leaves_ends_there_and_the_others_go_on():
    plant = discretize(unstable())
    with pytest.raises(SimulationError, match="leaves ten times its range"):
        simulate(plant, 10, duration=2.0)
    for truth in ("model", "reference"):
        data = simulate(plant, 10, duration=2.0, truth=truth, leave=True)
        low, high = ends_of(plant.system).T
        assert (data.lengths < 201).all() and (data.lengths > 10).all()
        for x, u, n in zip(data.x, data.u, data.lengths, strict=True):
            assert ((x[:n] >= low) & (x[:n] <= high)).all() and np.isnan(x[n:]).all()
            after = plant.step(x[n - 1], u[n - 1])
            assert not ((after >= low) & (after <= high)).all()
        assert "10 of 10 trajectories leave the doubled ranges and end there" in " ".join(data.warnings)
        assert len(data.transitions()) == (data.lengths - 1).sum()


def test_a_plant_that_leaves_at_once_is_refused_with_a_way_out():
    fast = System(
        name="fast", states=[Signal("x", "", (-1, 1))], inputs=[Signal("u", "", (-1, 1))], outputs=[Signal("y")],
        dynamics=lambda x, u: [100 * x[0] + u[0]], output=lambda x: [x[0]], dt=0.01,
    )  # fmt: skip
    with pytest.raises(
        SimulationError, match=r"half of 10 trajectories leave .* give a law for its inputs \(\[feedback\]\)"
    ):
        simulate(discretize(fast), 10, duration=1.0, leave=True)


def test_an_angle_never_leaves_and_initial_states_are_always_inside():
    system = System(
        name="turning", states=[Signal("a", "rad", (-1, 1), period=6.28), Signal("w", "", (-1, 1), initial=(-5, 5))],
        outputs=[Signal("y")], dynamics=lambda x: [x[1], 0 * x[0]], output=lambda x: [x[0]], dt=0.1,
    )  # fmt: skip
    data = simulate(discretize(system), 6, duration=3.0, leave=True)
    assert (data.lengths == 31).all() and np.abs(data.x[..., 0]).max() > 2


def test_a_long_motion_takes_fine_steps_in_place_of_the_reference_integrator(cart, monkeypatch):
    from systems import closed_loop

    slow = simulate(discretize(cart), 2, truth="reference")
    monkeypatch.setattr(closed_loop, "LONG", 50)
    plant = discretize(cart)
    fine = simulate(plant, 2, truth="reference")
    steps = closed_loop.fine_steps(plant, 101)
    assert steps in (1, 2, 4, 8) and fine.method == f"RK4 in {steps} steps per sample, within 3e-10 of DOP853"
    np.testing.assert_allclose(fine.x, slow.x, atol=1e-8)
    assert closed_loop.fine_steps(plant, 49) == 0


def test_a_broken_limit_ends_a_trajectory_and_is_an_error_only_where_none_may_end():
    system = System(
        name="tank", states=[Signal("h", "m", (0.1, 1.0), initial=(0.2, 0.9), limits=(0.0, 1.1))], outputs=[Signal("y")],
        inputs=[Signal("q", "", (0, 1), excitation="constant")], dynamics=lambda x, u: [0.1 * u[0] - 0.05], output=lambda x: [x[0]], dt=0.1,
    )  # fmt: skip
    with pytest.raises(SimulationError, match="breaks its limits"):
        simulate(discretize(system), 20, duration=20.0)
    data = simulate(discretize(system), 20, duration=20.0, leave=True)
    assert (data.lengths < 201).any() and np.nanmax(data.x) <= 1.1 and np.nanmin(data.x) >= 0.0
