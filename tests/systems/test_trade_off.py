"""Speed against noise: Lyapunov's equation, random linear plants with known answers, coordinates, and the two methods."""

import sys

import numpy as np
import pytest
from scipy.linalg import block_diag, solve_discrete_lyapunov

from systems import ALL_SYSTEMS, InputError, Signal, System, discretize
from systems.detectability import (
    Jacobians,
    observability_coordinates,
    sample_jacobians,
    search_metric,
    trade_off,
)


def _linear(a, c, noise=0.0, width=1.0):
    names = [f"x{k}" for k in range(len(a))]
    return discretize(
        System(
            name="linear", kind="discrete", dt=0.1, states=[Signal(n, "", (-width, width)) for n in names],
            outputs=[Signal(f"y{k}", noise=noise) for k in range(len(c))],
            dynamics=lambda x: [sum(float(r[j]) * x[j] for j in range(len(a))) for r in a],
            output=lambda x: [sum(float(r[j]) * x[j] for j in range(len(a))) for r in c],
        )
    )  # fmt: skip


def test_noise_of_a_linear_plant_solves_lyapunovs_equation(rng):
    a, c = rng.normal(size=(3, 3)) * 0.5, rng.normal(size=(2, 3))
    plant = _linear(a, c, noise=0.03, width=2.5)
    table, metrics = trade_off(plant, conditions=(10.0,))
    metric = metrics[0].metric  # every state has the same range: no scaling
    k = np.linalg.solve(metric, c.T) @ np.linalg.inv(c @ np.linalg.solve(metric, c.T))
    closed, through = a @ (np.eye(3) - k @ c), 0.03 * a @ k
    covariance = solve_discrete_lyapunov(closed, through @ through.T)
    np.testing.assert_allclose(table.noise[0], np.sqrt(np.diag(covariance)), rtol=1e-8)
    assert not table.assumed and table.output_noise.tolist() == [0.03, 0.03]
    scaled = np.linalg.cholesky(metric).T @ through / 2.5
    assert table.gain[0] == pytest.approx(np.linalg.norm(scaled, 2) / (1 - table.rate[0]))


def test_faster_costs_noise(plants):
    table, metrics = trade_off(plants["box"])
    assert (np.diff(table.settling_time) < 0).all() and (np.diff(table.noise.max(axis=1)) > 0).all()
    assert table.assumed and [m.rate for m in metrics] == table.rate.tolist() and table.chosen == -1
    cold = search_metric(plants["box"], 100.0).rate
    assert table.rate[4] == pytest.approx(cold, rel=1e-3)  # a warm start changes the time, not the answer


@pytest.mark.parametrize("sizes", [(2, 1), (3, 2)])
def test_the_unseen_part_of_a_linear_plant_sets_the_rate(sizes, rng):
    """A = T diag(A_o, A_u) T', C = (C_o, 0) T': no metric is faster than the spectral radius of A_u, and some come close."""
    seen, unseen = sizes
    basis = np.linalg.qr(rng.normal(size=(sum(sizes),) * 2))[0]
    rotation = np.linalg.qr(rng.normal(size=(unseen, unseen)))[0]
    a = basis @ block_diag(0.8 * rng.normal(size=(seen, seen)), 0.7 * rotation) @ basis.T
    c = np.concatenate([rng.normal(size=(1, seen)), np.zeros((1, unseen))], axis=1) @ basis.T
    found = search_metric(_linear(a, c), 1e4)
    assert 0.7 - 1e-9 <= found.rate < 0.72
    assert np.linalg.norm(basis[:, seen:].T @ found.direction) > 0.5


def test_a_hundred_states_and_several_outputs(rng):
    """Decoupled states: the fastest rate is the slowest one that is not measured."""
    speeds = rng.uniform(0.2, 0.97, 100)
    order = np.argsort(speeds)
    measured = np.eye(100)[order[-60:]]
    jacobians = Jacobians(np.diag(speeds)[None], measured[None], np.zeros((1, 100)))
    found = search_metric(jacobians=jacobians, condition=10.0)
    assert found.rate == pytest.approx(speeds[order[-61]], rel=1e-6)
    assert np.argmax(np.abs(found.direction)) == order[-61]


def test_observability_coordinates_are_outputs_and_their_derivatives(plants):
    plant, a, speed = plants["rossler"], 0.1, 0.4
    jacobians = sample_jacobians(plant, count=64)
    t = observability_coordinates(plant, jacobians, speed)
    half, length = jacobians.scale, speed / plant.dt
    rows = np.array([[0, 1, 0], [1, a, 0], [a, a**2 - 1, -1]]) / length ** np.arange(3)[:, None]
    np.testing.assert_allclose(np.linalg.inv(t), rows * half / jacobians.output_scale, atol=1e-9)
    found = search_metric(jacobians=jacobians, condition=1000.0, coordinates=t)
    assert found.rate < 0.95 < 1.2 < search_metric(jacobians=jacobians, condition=1000.0).rate
    # The rate is one of the plant's own states, in the metric carried over: |A v|_M <= rate |v|_M where C v = 0.
    values = [
        np.sqrt(
            max(
                np.linalg.eigvals(
                    np.linalg.solve(n.T @ found.scaled_metric @ n, n.T @ j.T @ found.scaled_metric @ j @ n)
                ).real
            )
        )
        for j in jacobians.a
        for n in [np.array([[1.0, 0, 0], [0, 0, 1.0]]).T]
    ]
    assert max(values) == pytest.approx(found.rate, rel=1e-4)


def test_no_coordinates_where_outputs_do_not_span_the_states():
    plant = _linear(np.diag([0.5, 0.6]), np.array([[1.0, 0.0]]))
    assert observability_coordinates(plant, sample_jacobians(plant), 0.4) is None


@pytest.mark.parametrize(("name", "condition"), [("van_der_pol", 100.0), ("lorenz", 100.0), ("quadruple_tank", 30.0)])
def test_semidefinite_programs_and_the_method_of_centres_agree(name, condition):
    pytest.importorskip("cvxpy")
    jacobians = sample_jacobians(discretize(ALL_SYSTEMS[name]()), count=128)
    centres, sdp = (search_metric(jacobians=jacobians, condition=condition, method=m) for m in ("centres", "sdp"))
    assert sdp.rate == pytest.approx(centres.rate, rel=1.5e-3) and sdp.rate < centres.rate + 1e-4
    assert sdp.condition <= condition * (1 + 1e-6)


def test_an_extra_that_is_missing_is_named(plants, monkeypatch):
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    with pytest.raises(InputError, match=r"pip install ren-observer\[sdp\]"):
        search_metric(plants["box"], method="sdp")
    with pytest.raises(InputError, match="method is 'simplex'; expected centres or sdp"):
        search_metric(plants["box"], method="simplex")
    with pytest.raises(InputError, match="coordinates is a singular matrix"):
        search_metric(plants["box"], coordinates=np.ones((2, 2)))
