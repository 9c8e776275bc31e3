"""Envelope, running envelope and gains against closed forms and brute force."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from observer.certification.bounds import Bounds, Horizon, Proof
from observer.certification.certificate import Certificate
from observer.certification.contraction import contraction_rate, input_gain
from observer.certification.envelope import envelope, noise_gain, start_norm, steady_error, time_to
from observer.certification.gains import Failed, smallest_gain, squared_gain
from observer.certification.refine import refine
from observer.certification.region import Region
from observer.networks.ren.contracting import ContractingREN
from observer.networks.ren.explicit import ExplicitREN
from systems.base.errors import InputError


def network(nx=2, nv=6, seed=0, rate=0.85):
    ren = ContractingREN(2, nx, nv, contraction_rate=rate, identity_output=True, seed=seed)
    with torch.no_grad():
        ren.X += 0.3 * torch.randn(ren.X.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return ren.explicit().to_numpy(), ren.metric().detach().numpy(), ren.multipliers().detach().numpy()


def proof(M, rate, rho, *, name="one step", gain_y=0.3, step_gain=None, state_upper=None, **changes):
    nx = len(M)
    gain = np.sqrt(np.diag(np.linalg.inv(M)))
    fields = {
        "name": name, "metric": M, "multipliers": np.ones(1), "rate": rate, "gain_y": gain_y, "gain_u": 0.1,
        "state_gain": gain, "step_gain": gain * rate if step_gain is None else np.asarray(step_gain),
        "step_gain_y": gain * gain_y, "step_multipliers": np.ones((nx, 1)), "step_multipliers_y": np.ones((nx, 1)),
        "residual_upper": rho, "residual_lower": rho, "attained_at": np.zeros(nx),
        "state_upper": gain * rho if state_upper is None else np.asarray(state_upper), "rounding": 0.0, "status": "tight",
        "gap": 0.05, "cells": 1, "seconds": 0.0, "discretisation": 0.0, "after": 0,
    }  # fmt: skip
    fields |= {"residual_before": rho, "state_before": fields["state_upper"]}
    return Proof(**{**fields, **changes})


def certificate(*proofs, horizon=None, kind="proved", holds=True):
    nx = len(proofs[0].state_gain) if proofs else 2
    region = Region(np.tile([-1.0, 1.0], (nx, 1)), "given")
    nan = np.full(nx, np.nan)
    bounds = Bounds(kind, "why", region, proofs, horizon, None, None, np.zeros(nx), 0.0, nan, 5.0, 0.05, 0, 0.0)
    return SimpleNamespace(holds=holds, bounds=bounds, reason="")


@pytest.mark.parametrize("nx", [1, 2, 3])
def test_a_linear_error_along_one_direction_meets_its_envelope(nx):
    """e+ = a e + r, all along the worst direction of M for state 0: the bound is what happens, at every time."""
    rng = np.random.default_rng(nx)
    M = np.cov(rng.normal(size=(nx, 50))).reshape(nx, nx) + np.eye(nx)
    worst = np.linalg.inv(M)[:, 0]
    worst /= np.sqrt(worst @ M @ worst)
    rate, rho, size = 0.8, 0.03, 2.0
    e, bound = size * worst, envelope(certificate(proof(M, rate, rho)), size * worst, 40, dt=0.1)
    for k in range(40):
        assert_allclose(bound.bound[k, 0], abs(e[0]), rtol=1e-12)
        e = rate * e + rho * worst
    steady, by = steady_error(certificate(proof(M, rate, rho)))
    assert_allclose(steady[0], rho / (1 - rate) * worst[0], rtol=1e-12)
    assert by[0] == "one step" and bound.t[3] == pytest.approx(0.3)
    assert_allclose(noise_gain(certificate(proof(M, rate, rho)))[0], 0.3 * worst[0] / (1 - rate), rtol=1e-9)


def test_the_smallest_bound_wins_and_is_named():
    M = np.eye(2)
    slow, fast = proof(M, 0.9, 0.01), proof(np.diag([4.0, 0.25]), 0.7, 0.01, name="refined for a")
    both = envelope(certificate(slow, fast), np.array([[0.5, 0.0], [0.0, 0.0]]), 30)
    apart = [envelope(certificate(p), np.array([[0.5, 0.0], [0.0, 0.0]]), 30).bound for p in (slow, fast)]
    assert_allclose(both.bound, np.minimum(*apart))
    assert both.names == ("first error", "one step", "refined for a")
    assert both.bound.shape == (2, 30, 2) and (both.source[:, 0] == 0).all()
    late = both.bound[0, -1]
    assert both.names[both.source[0, -1, 0]] == "refined for a" and late[0] == apart[1][0, -1, 0]


def test_many_steps_hold_only_for_the_held_input_and_only_from_the_n_th_on():
    M, N = np.eye(2), 10
    horizon = Horizon(
        N, 0.9, M, 0.012, 0.011, np.array([0.005, 0.011]), np.zeros(2), np.zeros(2), np.zeros(1), "tight", 0.0, 0
    )
    c = certificate(proof(M, 0.9, 0.01), horizon=horizon)
    free, held = envelope(c, np.ones(2), 200), envelope(c, np.ones(2), 200, held_input=True)
    assert "many steps" not in free.names and (held.bound <= free.bound).all()
    assert_allclose(held.bound[:N], free.bound[:N])
    eta = np.sqrt(2) * 0.9 ** np.arange(200.0) + 0.1 * (1 - 0.9 ** np.arange(200.0))
    assert_allclose(held.bound[N, 0], 0.9**N * eta[0] + 0.005)  # by hand, at the first time that it applies
    level = 0.012 / (1 - 0.9**N)
    steady, by = steady_error(c, held_input=True)
    assert_allclose(steady, 0.9**N * level + horizon.state_upper)
    assert by == ("many steps", "many steps") and (held.bound[-1] >= steady * (1 - 1e-9)).all()
    assert_allclose(held.bound[-1], steady, rtol=1e-6)


def test_time_to_a_tolerance_is_the_first_after_which_it_is_kept():
    c = certificate(proof(np.eye(2), 0.9, 0.01))
    steady = steady_error(c)[0]
    times = time_to(c, steady * 1.5, np.array([1.0, 1.0]), dt=0.1)
    curve = envelope(c, np.array([1.0, 1.0]), 500, box=True).bound
    k = np.rint(times / 0.1).astype(int)
    assert (curve[k, [0, 1]] <= steady * 1.5).all() and (curve[k - 1, [0, 1]] > steady * 1.5).all()
    assert np.isinf(time_to(c, steady * 0.99, np.ones(2), dt=0.1)).all()


@given(st.integers(1, 5), st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_the_norm_over_a_box_is_that_of_its_worst_corner(nx, seed):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(nx, nx))
    M, h = A @ A.T + 0.1 * np.eye(nx), rng.uniform(0, 1, nx)
    inside = h * rng.choice([-1.0, 1.0], (400, nx))
    assert start_norm(M, h, True) == pytest.approx(start_norm(M, inside, False).max()) or nx > 4
    assert (start_norm(M, rng.uniform(-h, h, (300, nx)), False) <= start_norm(M, h, True) * (1 + 1e-12)).all()


def test_nothing_proved_gives_no_envelope():
    for bad in (
        certificate(kind="statistical"),
        certificate(kind="none"),
        SimpleNamespace(holds=True, bounds=None, reason=""),
    ):
        with pytest.raises(InputError, match="no envelope: the certificate proves no bound"):
            envelope(bad, np.zeros(2), 3)
    with pytest.raises(InputError, match="not finite"):
        envelope(certificate(proof(np.eye(2), 0.9, np.inf)), np.zeros(2), 3)
    with pytest.raises(InputError, match=r"first_error has shape \(3,\); expected \(\.\.\., 2\)"):
        envelope(certificate(proof(np.eye(2), 0.9, 0.1)), np.zeros(3), 3)


@example(nx=1, nv=6, seed=1000)  # the best multipliers are far from those that prove the rate
@given(nx=st.integers(1, 4), nv=st.integers(0, 7), seed=st.integers(0, 1000))
@settings(max_examples=8, deadline=None)
def test_gains_per_state_bound_every_pair_of_states_and_outputs(nx, nv, seed):
    weights, M, Lam = network(nx, nv, seed)
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(300, nx)) * 3
    b = a + rng.normal(size=a.shape) * 10.0 ** rng.uniform(-3, 1, (300, 1))
    u = rng.normal(size=(300, 2))
    n = rng.normal(size=(300, 1))
    ahead = np.abs(weights.next_state(b, u) - weights.next_state(a, u))
    noisy = np.abs(weights.next_state(a, u + np.hstack([0 * n, n])) - weights.next_state(a, u))
    size = np.sqrt(np.einsum("ki,ij,kj->k", b - a, M, b - a))
    assert squared_gain(weights.A, weights.B1, weights.C1, weights.D11, M, M, Lam)[0] == pytest.approx(
        contraction_rate(weights, M, Lam) ** 2
    )
    state_gain = np.sqrt(np.diag(np.linalg.inv(M)))
    for i in range(nx):
        unit = np.diag(np.eye(nx)[i])
        gain, multipliers = smallest_gain(weights.A, weights.B1, weights.C1, weights.D11, unit, M, Lam)
        assert (ahead[:, i] <= gain * size * (1 + 1e-9)).all()
        assert gain <= state_gain[i] * contraction_rate(weights, M, Lam) * (1 + 1e-6)
        assert (multipliers > 0).all()
        gain, _ = smallest_gain(weights.B2[:, 1:], weights.B1, weights.D12[:, 1:], weights.D11, unit, np.eye(1), Lam)
        assert (noisy[:, i] <= gain * np.abs(n[:, 0]) * (1 + 1e-9)).all()


def test_a_linear_gain_is_exact():
    """Without neurons the gain of state i is |c_i'A| in the dual norm, and the residual level nothing but arithmetic."""
    rng = np.random.default_rng(3)
    A, none = 0.3 * rng.normal(size=(3, 3)), np.zeros((3, 0))
    M = np.diag([1.0, 4.0, 9.0])
    gain, _ = smallest_gain(A, none, none.T, np.zeros((0, 0)), np.diag([0.0, 1.0, 0.0]), M, np.zeros(0))
    assert gain == pytest.approx(np.linalg.norm(A[1] / np.sqrt(np.diag(M))), rel=1e-8)


@pytest.mark.parametrize("power", [np.inf, 40.0])
def test_gradients_of_the_gain(power):
    weights, M, Lam = network(3, 5, 1)
    blocks = (weights.A, weights.B1, weights.C1, weights.D11)
    _, d_out, d_in, d_lam = squared_gain(*blocks, M, M, Lam, power)
    rng, h = np.random.default_rng(0), 1e-6
    E = rng.normal(size=(3, 3))
    E, v = E + E.T, rng.normal(size=5) * Lam

    def slope(f):
        return (f(h) - f(-h)) / (2 * h)

    assert_allclose(np.sum(d_out * E), slope(lambda s: squared_gain(*blocks, M + s * E, M, Lam, power)[0]), rtol=1e-5)
    assert_allclose(np.sum(d_in * E), slope(lambda s: squared_gain(*blocks, M, M + s * E, Lam, power)[0]), rtol=1e-5)
    assert_allclose(d_lam @ v, slope(lambda s: squared_gain(*blocks, M, M, Lam + s * v, power)[0]), rtol=1e-5)
    with pytest.raises(Failed):
        squared_gain(*blocks, M, M, 1e-9 * Lam)


def test_a_refined_metric_is_proved_by_the_closed_form_and_is_sharper():
    weights, M, Lam = network(2, 8, 4)
    rate = contraction_rate(weights, M, Lam)
    faster = refine(weights, M, Lam)
    assert faster.rate == contraction_rate(weights, faster.metric, faster.multipliers) < rate
    r = np.random.default_rng(0).normal(size=(200, 2)) * [1.0, 0.05]
    for i in range(2):

        def steady(M, rate, i=i):
            rho = np.sqrt(np.einsum("ki,ij,kj->k", r, M, r).max())
            return np.sqrt(np.linalg.inv(M)[i, i]) * rho / (1 - rate)

        found = refine(weights, M, Lam, state=i, residuals=r)
        assert found.rate < 1 and steady(found.metric, found.rate) < steady(M, rate)
    noisy = refine(weights, M, Lam, state=0, residuals=r, outputs=slice(1, None), noise=100.0)

    def passed(M, Lam, rate):
        return np.sqrt(np.linalg.inv(M)[0, 0]) * input_gain(weights, M, Lam, [1]) / (1 - rate)

    assert passed(noisy.metric, noisy.multipliers, noisy.rate) < passed(M, Lam, rate)
    with pytest.raises(ValueError, match="no certificate"):
        refine(weights, -M, Lam)


def test_a_scalar_plant_refines_to_nothing():
    weights = ExplicitREN.with_identity_output(
        np.array([[0.5]]), np.zeros((1, 0)), np.zeros((1, 1)), np.zeros((0, 1)), np.zeros((0, 0)), np.zeros((0, 1)),
        np.zeros(1), np.zeros(0),
    )  # fmt: skip
    found = refine(weights, np.eye(1), np.zeros(0))
    assert found.objective == "as shipped" and found.rate == pytest.approx(0.5)


def test_data_survives_json_with_all_its_parts():
    horizon = Horizon(
        3, 0.9, np.eye(2), 0.1, 0.1, np.ones(2), np.ones(2), np.ones(2), np.array([np.nan]), "tight", 0.0, 0
    )
    bounds = certificate(proof(np.eye(2), 0.9, 0.1), proof(2 * np.eye(2), 0.8, np.inf), horizon=horizon).bounds
    again = Bounds.from_data(json.loads(json.dumps(bounds.to_data(), allow_nan=False)))
    assert (
        again.to_data() == bounds.to_data() and isinstance(again.proofs, tuple) and isinstance(again.horizon, Horizon)
    )
    assert again.proofs[0].metric.dtype == float and again.region.holds(np.zeros((4, 2))).all()
    nan = np.full(2, np.nan)
    whole = Certificate(0.9, 1.0, 0.9, np.eye(2), np.ones(1), 1.0, 0.0, 1.0, 1.0, nan, True, "so", bounds, {"A": "0"})
    data = json.loads(json.dumps(whole.to_data(), allow_nan=False))
    assert Certificate.from_data(data).to_data() == whole.to_data()
    old = {key: value for key, value in data.items() if key not in ("bounds", "identity")}
    assert Certificate.from_data(old).bounds is None and Certificate.from_data(old).identity == {}
    assert replace(whole, bounds=None).to_data()["bounds"] is None
    del data["bounds"]["proofs"][0]["rate"]
    with pytest.raises(InputError, match="certificate: rate missing in Proof"):
        Certificate.from_data(data)
