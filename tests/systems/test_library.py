"""The contract of a library plant: the facts that its file states are true, and it behaves as documented."""

import numpy as np
import pytest

from systems import ALL_SYSTEMS, simulate
from systems.detectability import Jacobians, sample_jacobians, search_metric
from systems.discretization import _stepped
from systems.evaluation import evaluate
from systems.integration import integrate_reference, sample_region, time_scales
from systems.library import ALL_FACTS
from systems.trajectories import draw_initial_states

PLANTS = tuple(ALL_SYSTEMS)
CONTINUOUS = tuple(name for name in PLANTS if ALL_SYSTEMS[name]().kind == "continuous")
WIDE = 16  # states; a field of them is simulated for fewer samples and searched in the metric I alone
ORDERS = (("euler", 1), ("rk4", 4))


@pytest.mark.parametrize("name", PLANTS)
def test_it_says_what_it_is(name):
    system = ALL_SYSTEMS[name]()
    assert system.name == name and system.dt and system.duration
    assert system.description and system.source and ALL_SYSTEMS[name].__doc__
    assert not system.unused, system.unused
    if not ALL_FACTS[name].dimensionless:
        without = [s.name for s in (*system.states, *system.outputs) if not s.unit]
        assert not without, f"no unit: {without}"
    for signal in system.states:
        low, high = signal.initial or signal.range
        assert signal.range[0] <= low and high <= signal.range[1]
    for parameter in system.parameters.values():
        assert parameter.range is None or parameter.range[0] < parameter.value < parameter.range[1]


@pytest.mark.parametrize("name", PLANTS)
def test_finite_on_its_region(name, plants):
    system = plants[name].system
    x = sample_region(*system.state_ranges.T, 256, seed=3)
    u = sample_region(*system.input_ranges.T, 256, seed=4)
    assert np.isfinite(system.derivative(x, u)).all() and np.isfinite(system.measure(x, u)).all()
    low, high = system.state_ranges.T
    for corner in (low, high):
        assert np.isfinite(system.derivative(corner, system.input_ranges[:, 0])).all()


@pytest.mark.parametrize("name", PLANTS)
def test_equilibria_hold(name, plants):
    system = plants[name].system
    scale = np.ptp(system.state_ranges, axis=1)
    assert ALL_FACTS[name].equilibria
    for x, u in ALL_FACTS[name].equilibria:
        x, value = np.array(x), system.derivative(np.array(x), np.array(u))
        moved = value - x if system.kind == "discrete" else value * system.dt
        assert np.max(np.abs(moved) / scale) < 1e-12, (x, u, moved)


@pytest.mark.parametrize(
    ("name", "invariant"),
    [pytest.param(name, item, id=f"{name}: {item.name}") for name in PLANTS for item in ALL_FACTS[name].invariants],
)
def test_invariants_hold_along_trajectories(name, invariant):
    system = ALL_SYSTEMS[name]().with_parameters(**invariant.parameters)
    p = dict(zip(system.parameters, system.parameter_values, strict=True))
    starts = draw_initial_states(system, 4, seed=7)
    held = np.array(invariant.inputs if invariant.inputs is not None else np.zeros(system.nu))
    u = np.broadcast_to(held, (4, 200, system.nu))
    values = invariant.function(integrate_reference(system, starts, u, system.dt, "DOP853"), p)
    assert values.shape == (4, 201)
    assert np.ptp(values[:, 0]) > 1e-3 * np.abs(values).max()  # it tells trajectories apart
    np.testing.assert_allclose(values - values[:, :1], 0, atol=1e-8 * np.abs(values).max())


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize(("method", "order"), ORDERS)
def test_discretisers_have_their_order(name, method, order):
    """One-step errors against the reference integrator fall as h^(order + 1), or vanish where the method is exact."""
    system = ALL_SYSTEMS[name]()
    tau = min(time_scales(system)[0], 10 * system.dt)
    x, u = draw_initial_states(system, 3, seed=1), np.broadcast_to(system.input_ranges.mean(axis=1), (3, system.nu))
    scale, steps, errors = np.ptp(system.state_ranges, axis=1), tau * np.array([0.4, 0.28, 0.2, 0.14]), []
    for h in steps:
        graph = _stepped(system, float(h), method, 1)
        ours = evaluate(graph, t=np.zeros(1), x=x, u=u, p=system.parameter_values)
        errors.append(
            np.linalg.norm((ours - integrate_reference(system, x, u[:, None], float(h), "DOP853")[:, 1]) / scale)
        )
    if max(errors) > 1e-12:
        slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
        assert abs(slope - (order + 1)) < 0.1 * (order + 1), (slope, errors)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_usual_sampling_is_fine_enough(name, plants):
    plant = plants[name]
    assert plant.error.max() <= 1e-6 and plant.substeps <= 8 and not plant.warnings, (plant.error, plant.warnings)


@pytest.mark.parametrize("name", PLANTS)
def test_starts_stay_where_they_say(name, plants):
    plant = plants[name]
    wide = plant.nx > WIDE
    data = simulate(plant, 4 if wide else 30, 200 * plant.dt if wide else None, seed=3)
    assert not data.warnings, data.warnings
    assert np.isfinite(data.x).all() and np.isfinite(data.y).all()


@pytest.mark.parametrize("name", PLANTS)
def test_what_can_be_known_from_its_outputs(name, plants):
    facts, plant = ALL_FACTS[name], plants[name]
    if plant.nx > WIDE:
        assert search_metric(plant, 1.0).rate < 1  # in the metric I: overwriting the measured node is enough
    elif facts.observable:
        assert search_metric(plant, 1e4, target=0.995).rate < 0.999
    else:
        assert facts.why_not
        assert search_metric(plant, 1e4).rate > 0.9999


def test_rossler_is_observable_in_observability_coordinates(plants):
    """z = (y, y'/l, y''/l^2): a moderate metric there is one of condition 1e10 in the plant's own states."""
    plant, a = plants["rossler"], 0.1
    half = 0.5 * np.ptp(plant.system.state_ranges, axis=1)
    observability = np.array([[0, 1, 0], [1, a, 0], [a, a**2 - 1, -1]]) / 20.0 ** np.arange(3)[:, None]
    own = sample_jacobians(plant)
    into, back = observability * half, np.linalg.inv(observability * half)
    assert search_metric(jacobians=Jacobians(into @ own.a @ back, own.c @ back, own.points), condition=1e4).rate < 0.999
