"""Discretisation: each method has its order, its measured error is true, and the reference integrator is independent."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from systems import ALL_SYSTEMS, InputError, Signal, SimulationError, System, discretize, simulate
from systems.evaluation import evaluate
from systems.integration import integrate_reference, time_scales


def _slope(system, method, steps):
    """Order of the global error over a fixed time, from the errors at several step sizes."""
    x0 = np.array([[0.7, -0.4]])
    u = np.full((1, 1, system.nu), 0.3)
    horizon = 1.0
    truth = integrate_reference(system, x0, u, horizon)[:, -1]
    errors = []
    for count in steps:
        plant = discretize(system, horizon / count, method, substeps=1)
        x = x0
        for _ in range(count):
            x = plant.step(x, u[:, 0])
        errors.append(np.linalg.norm(x - truth))
    return -np.polyfit(np.log(steps), np.log(errors), 1)[0]


@pytest.mark.parametrize(("method", "order", "steps"), [("euler", 1, (64, 128, 256, 512)), ("rk4", 4, (8, 16, 32, 64))])
@pytest.mark.parametrize("name", ["pendulum", "van_der_pol"])
@pytest.mark.filterwarnings("ignore")
def test_order_of_convergence(name, method, order, steps):
    assert abs(_slope(ALL_SYSTEMS[name](), method, steps) - order) < 0.15


@pytest.mark.parametrize("name", ["mass_spring_damper", "double_integrator"])
def test_exact_is_exact_for_linear_plants(name):
    plant = discretize(ALL_SYSTEMS[name](), 0.3, "exact")
    assert plant.error.max() < 1e-12


def test_exact_refuses_a_nonlinear_plant():
    with pytest.raises(InputError, match="linear"):
        discretize(ALL_SYSTEMS["pendulum"](), method="exact")


CONTINUOUS = [name for name, factory in ALL_SYSTEMS.items() if factory().kind == "continuous"]


@pytest.mark.parametrize("name", CONTINUOUS)
def test_default_rule_reaches_its_target_on_fresh_points(name, plants, rng):
    plant = plants[name]
    system = plant.system
    x = rng.uniform(*system.state_ranges.T, (20, system.nx))
    u = rng.uniform(*system.input_ranges.T, (20, system.nu))
    p = system.parameter_values
    scale = np.ptp(system.state_ranges, axis=1)

    for row, held in zip(x, u, strict=True):  # an integrator and a right-hand side of the test's own
        truth = solve_ivp(
            lambda t, s, v=held: evaluate(system.dynamics, t=[t], x=s, u=v, p=p),
            (0, plant.dt),
            row,
            method="DOP853",
            rtol=1e-11,
            atol=1e-13 * scale,
        ).y[:, -1]
        assert np.max(np.abs(plant.step(row, held) - truth) / scale) < 3e-6


def test_reference_integrator_is_scipys_solution_with_changing_inputs(plants):
    plant = plants["van_der_pol"]
    data = simulate(plant, 3, 2.0, seed=4, excitation="walk", truth="reference")
    x = data.x[1, 0]
    for k in range(len(data.t) - 1):
        held = data.u[1, k, 0]
        x = solve_ivp(
            lambda t, s, v=held: [s[1], (1 - s[0] ** 2) * s[1] - s[0] + v], (0, plant.dt), x, rtol=1e-11, atol=1e-13
        ).y[:, -1]
    np.testing.assert_allclose(data.x[1, -1], x, atol=1e-8)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_jacobians_agree_with_the_variational_equation(name, plants, rng):
    plant = plants[name]
    slow = discretize(plant.system, method="scipy")
    box = plant.system.state_ranges
    x = box.mean(axis=1) + rng.uniform(-0.25, 0.25, (3, plant.nx)) * np.ptp(box, axis=1)
    u = rng.uniform(*plant.system.input_ranges.T, (3, plant.nu))
    rows, columns = np.ptp(box, axis=1)[:, None], (np.ptp(box, axis=1), np.ptp(plant.system.input_ranges, axis=1))
    for ours, exact, scale in zip(plant.jacobian(x, u), slow.jacobian(x, u), columns, strict=True):
        np.testing.assert_allclose(ours * scale / rows, exact * scale / rows, atol=2e-5)


def test_the_reference_integrator_steps_plants_without_inputs(plants):
    slow, quick = discretize(ALL_SYSTEMS["reverse_duffing"](), method="scipy"), plants["reverse_duffing"]
    x, u = np.array([[0.3, -0.8], [1.0, 0.2]]), np.zeros((2, 0))
    np.testing.assert_allclose(slow.step(x, u), quick.step(x, u), atol=1e-6)
    np.testing.assert_allclose(slow.step(x[0], u[0]), quick.step(x[0], u[0]), atol=1e-6)


def _stiff():
    return System(
        name="stiff", states=[Signal("a", "", (-1, 1)), Signal("b", "", (-1, 1))], outputs=[Signal("y")],
        dynamics=lambda x: [-x[0] + x[1], -1e5 * (x[1] - np.cos(x[0]))], output=lambda x: [x[0]], dt=0.1,
    )  # fmt: skip


@pytest.mark.parametrize("method", [None, "Radau", "cvodes"])
def test_stiff_plants_get_an_implicit_reference(method):
    x = integrate_reference(_stiff(), np.array([[0.5, 0.0]]), np.zeros((1, 5, 0)), 0.1, method)
    assert abs(x[0, -1, 1] - np.cos(x[0, -1, 0])) < 1e-4  # on the slow manifold


def test_cvodes_agrees_with_dop853_where_both_work():
    system = ALL_SYSTEMS["van_der_pol"]()
    data = simulate(discretize(system), 2, 1.0, seed=1, excitation="walk", truth="reference")
    plant = discretize(system, method="cvodes")
    np.testing.assert_allclose(plant.rollout(data.x[:, 0], data.u[:, :-1]), data.x, atol=1e-7)
    np.testing.assert_allclose(
        plant.jacobian(data.x[0, 3], data.u[0, 3])[0],
        discretize(system).jacobian(data.x[0, 3], data.u[0, 3])[0],
        atol=1e-4,
    )


def test_cvodes_knows_the_time():
    system = System(
        name="clock",
        states=[Signal("x", "", (0, 1))],
        outputs=[Signal("y")],
        dynamics=lambda t: [2 * t],
        output=lambda x: [x[0]],
        dt=0.1,
    )
    x = integrate_reference(system, np.zeros((1, 1)), np.zeros((1, 10, 0)), 0.1, "cvodes")
    assert abs(x[0, -1, 0] - 1.0) < 1e-6


def test_cvodes_names_what_blows_up():
    system = System(
        name="blow", states=[Signal("x", "", (-1, 1))], outputs=[Signal("y")],
        dynamics=lambda x: [x[0] ** 2 * 5 + 1], output=lambda x: [x[0]], dt=0.5,
    )  # fmt: skip
    with pytest.raises(SimulationError, match="from the initial state x=1"):
        integrate_reference(system, np.ones((1, 1)), np.zeros((1, 5, 0)), 0.5, "cvodes")


def test_time_scales_of_a_known_oscillator():
    fastest, typical = time_scales(ALL_SYSTEMS["mass_spring_damper"]())
    assert np.isclose(fastest, 1 / np.sqrt(2.0)) and np.isclose(typical, 1 / np.sqrt(2.0))


def test_coarse_sampling_is_a_warning():
    plant = discretize(ALL_SYSTEMS["van_der_pol"](), dt=0.5, method="euler")
    assert any("coarser than the fastest mode" in w for w in plant.warnings)
    assert any("of the range" in w for w in plant.warnings)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dt": 0.0}, "dt is 0.0"),
        ({"dt": -1}, "dt is -1"),
        ({"dt": float("nan")}, "dt is nan"),
        ({"dt": "fast"}, "dt is 'fast'"),
        ({"method": "magic"}, "expected one of euler"),
        ({"substeps": 0}, "substeps is 0"),
    ],
)
def test_bad_arguments(arguments, words):
    with pytest.raises(InputError, match=words):
        discretize(ALL_SYSTEMS["box"](), **arguments)


def test_a_plant_that_blows_up_is_named():
    system = System(
        name="blow", states=[Signal("x", "", (-1, 1))], outputs=[Signal("y")],
        dynamics=lambda x: [x[0] ** 2 * 5 + 1], output=lambda x: [x[0]], dt=0.05, duration=5.0,
    )  # fmt: skip
    with pytest.raises(SimulationError, match=r"state 'x' .* from the initial state x="):
        simulate(discretize(system), 3)
    with pytest.raises(SimulationError, match="state 'x'"):
        simulate(discretize(system), 3, truth="reference")


def test_a_missing_sampling_time_is_named():
    system = System(
        name="s",
        states=[Signal("x", "", (-1, 1))],
        outputs=[Signal("y")],
        dynamics=lambda x: [-x[0]],
        output=lambda x: [x[0]],
    )
    with pytest.raises(InputError, match="no sampling time"):
        discretize(system)


def test_a_pole_inside_the_region_is_named():
    system = System(
        name="s",
        states=[Signal("x", "", (-1, 3))],
        outputs=[Signal("y")],
        dynamics=lambda x: [np.sqrt(x[0])],
        output=lambda x: [x[0]],
        dt=0.1,
    )
    with pytest.raises(InputError, match="derivative of x is not finite inside the region"):
        discretize(system)


def test_another_system_is_sampled_alike():
    plant = discretize(ALL_SYSTEMS["box"](), dt=0.02, method="euler", substeps=3)
    other = plant.with_system(plant.system.with_parameters(k=4.5))
    assert (other.dt, other.method, other.substeps) == (plant.dt, plant.method, plant.substeps)
    assert not np.array_equal(other.step([0.3, 0.0], [0.0]), plant.step([0.3, 0.0], [0.0]))
