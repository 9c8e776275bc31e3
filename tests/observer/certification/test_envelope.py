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

from observer.certification.bounds import Bounds, Proof, SettledPart
from observer.certification.certificate import Certificate
from observer.certification.contraction import Contraction, contraction_rate, input_gain
from observer.certification.envelope import envelope, error_norm, noise_gain, time_to, ultimate_bound
from observer.certification.gains import Failed, StepGains, smallest_gain, squared_gain
from observer.certification.refine import refine
from observer.certification.region import Region
from observer.certification.residual import HorizonBound, ResidualBound
from observer.networks.ren.contracting import ContractingREN
from observer.networks.ren.explicit import ExplicitREN
from systems.base.errors import InputError
from systems.base.records import from_plain, to_plain

DT = 0.1


def network(nx=2, nv=6, seed=0, rate=0.85):
    ren = ContractingREN(2, nx, nv, contraction_rate=rate, identity_output=True, seed=seed)
    with torch.no_grad():
        ren.X += 0.3 * torch.randn(ren.X.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return ren.explicit().to_numpy(), ren.metric().detach().numpy(), ren.multipliers().detach().numpy()


def residual_bound(M, rho, state_upper):
    nx = len(M)
    return ResidualBound(np.zeros((nx, 2)), M, rho, rho, np.zeros(nx), state_upper, 0.0, 0.05, 1, 0.0, "tight")


def proof(
    M, rate, rho, *, name="one step", gain_y=0.3, step_gain=None, state_upper=None, multipliers=None, settled=None
):
    nx = len(M)
    gain, Lam = np.sqrt(np.diag(np.linalg.inv(M))), np.ones(1) if multipliers is None else multipliers
    step = gain * rate if step_gain is None else np.asarray(step_gain)
    residual = residual_bound(M, rho, gain * rho if state_upper is None else np.asarray(state_upper))
    gains = StepGains(step, gain * gain_y, np.ones((nx, 1)), np.ones((nx, 1)))
    return Proof(name, Contraction(M, Lam, rate, gain_y, 0.1, gain), gains, residual, settled=settled)


def many_steps(N, M, rate, upper, state_upper):
    nx, region = len(M), np.tile([-1.0, 1.0], (len(M), 1))
    return HorizonBound(
        N,
        region,
        M,
        rate,
        upper,
        upper,
        state_upper,
        np.zeros(nx),
        np.zeros(nx),
        np.zeros((1 + nx, nx)),
        1,
        0.0,
        "tight",
    )


def certificate(*proofs, horizon=None, kind="proved", holds=True):
    nx = len(proofs[0].gains.error) if proofs else 2
    region = Region(np.tile([-1.0, 1.0], (nx, 1)), "given")
    bounds = Bounds(kind, "why", region, 5.0, 0.05, 0, 0.0, proofs, horizon=horizon)
    return SimpleNamespace(holds=holds, bounds=bounds, reason="", dt=DT)


@pytest.mark.parametrize("nx", [1, 2, 3])
def test_a_linear_error_along_one_direction_meets_its_envelope(nx):
    """e+ = a e + r, all along the worst direction of M for state 0: the bound is what happens, at every time."""
    rng = np.random.default_rng(nx)
    M = np.cov(rng.normal(size=(nx, 50))).reshape(nx, nx) + np.eye(nx)
    worst = np.linalg.inv(M)[:, 0]
    worst /= np.sqrt(worst @ M @ worst)
    rate, rho, size = 0.8, 0.03, 2.0
    e, bound = size * worst, envelope(certificate(proof(M, rate, rho)), size * worst, 40)
    for k in range(40):
        assert_allclose(bound.bound[k, 0], abs(e[0]), rtol=1e-12)
        e = rate * e + rho * worst
    steady, by = ultimate_bound(certificate(proof(M, rate, rho)))
    assert_allclose(steady[0], rho / (1 - rate) * worst[0], rtol=1e-12)
    assert by[0] == "one step" and bound.t[3] == pytest.approx(0.3)
    assert_allclose(noise_gain(certificate(proof(M, rate, rho)))[0], 0.3 * worst[0] / (1 - rate), rtol=1e-9)


def test_the_smallest_bound_wins_and_is_named():
    M = np.eye(2)
    slow, fast = proof(M, 0.9, 0.01), proof(np.diag([4.0, 0.25]), 0.7, 0.01, name="refined for a")
    both = envelope(certificate(slow, fast), np.array([[0.5, 0.0], [0.0, 0.0]]), 30)
    apart = [envelope(certificate(p), np.array([[0.5, 0.0], [0.0, 0.0]]), 30).bound for p in (slow, fast)]
    assert_allclose(both.bound, np.minimum(*apart))
    assert both.names == ("initial error", "one step", "refined for a")
    assert both.bound.shape == (2, 30, 2) and (both.source[:, 0] == 0).all()
    late = both.bound[0, -1]
    assert both.names[both.source[0, -1, 0]] == "refined for a" and late[0] == apart[1][0, -1, 0]


def test_many_steps_hold_only_for_the_held_input_and_only_from_the_n_th_on():
    M, N = np.eye(2), 10
    horizon = many_steps(N, M, 0.9, 0.012, np.array([0.005, 0.011]))
    c = certificate(proof(M, 0.9, 0.01), horizon=horizon)
    free, held = envelope(c, np.ones(2), 200), envelope(c, np.ones(2), 200, held_input=True)
    assert "many steps" not in free.names and (held.bound <= free.bound).all()
    assert_allclose(held.bound[:N], free.bound[:N])
    eta = np.sqrt(2) * 0.9 ** np.arange(200.0) + 0.1 * (1 - 0.9 ** np.arange(200.0))
    assert_allclose(held.bound[N, 0], 0.9**N * eta[0] + 0.005)  # by hand, at the first time that it applies
    level = 0.012 / (1 - 0.9**N)
    steady, by = ultimate_bound(c, held_input=True)
    assert_allclose(steady, 0.9**N * level + horizon.state_upper)
    assert by == ("many steps", "many steps") and (held.bound[-1] >= steady * (1 - 1e-9)).all()
    assert_allclose(held.bound[-1], steady, rtol=1e-6)


def test_time_to_a_tolerance_is_the_first_after_which_it_is_kept():
    c = certificate(proof(np.eye(2), 0.9, 0.01))
    steady = ultimate_bound(c)[0]
    times = time_to(c, steady * 1.5, np.array([1.0, 1.0]))
    curve = envelope(c, np.array([1.0, 1.0]), 500, box=True).bound
    k = np.rint(times / 0.1).astype(int)
    assert (curve[k, [0, 1]] <= steady * 1.5).all() and (curve[k - 1, [0, 1]] > steady * 1.5).all()
    assert np.isinf(time_to(c, steady * 0.99, np.ones(2))).all()


@given(st.integers(1, 5), st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_the_norm_over_a_box_is_that_of_its_worst_corner(nx, seed):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(nx, nx))
    M, h = A @ A.T + 0.1 * np.eye(nx), rng.uniform(0, 1, nx)
    inside = h * rng.choice([-1.0, 1.0], (400, nx))
    assert error_norm(M, h, True) == pytest.approx(error_norm(M, inside, False).max()) or nx > 4
    assert (error_norm(M, rng.uniform(-h, h, (300, nx)), False) <= error_norm(M, h, True) * (1 + 1e-12)).all()


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
    with pytest.raises(InputError, match=r"initial_error has shape \(3,\); expected \(\.\.\., 2\)"):
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
    M = np.eye(2)
    first, settled = proof(M, 0.9, 0.2), SettledPart(7, residual_bound(M, 0.2, np.full(2, 0.2)))
    proofs = first, proof(2 * M, 0.8, np.inf), proof(M, 0.9, 0.1, settled=settled)
    bounds = certificate(*proofs, horizon=many_steps(3, M, 0.9, 0.1, np.ones(2))).bounds
    again = from_plain(Bounds, json.loads(json.dumps(to_plain(bounds), allow_nan=False)))
    assert to_plain(again) == to_plain(bounds) and isinstance(again.proofs, tuple)
    assert again.horizon_proof() is again.proofs[0] and again.proofs[2].before.upper == 0.2 == first.residual.upper
    assert [p.after for p in again.proofs] == [0, 0, 7]
    assert again.proofs[0].contraction.metric.dtype == float and again.region.holds(np.zeros((4, 2))).all()
    nan = np.full(2, np.nan)
    whole = Certificate(0.9, 1.0, 0.9, np.eye(2), np.ones(1), 1.0, 0.0, 1.0, 1.0, nan, True, "so", bounds, {"A": "0"})
    data = json.loads(json.dumps(whole.to_data(), allow_nan=False))
    assert Certificate.from_data(data).to_data() == whole.to_data()
    short = {key: value for key, value in data.items() if key not in ("bounds", "identity")}
    assert Certificate.from_data(short).bounds is None and Certificate.from_data(short).identity == {}
    assert replace(whole, bounds=None).to_data()["bounds"] is None
    del data["bounds"]["proofs"][0]["contraction"]["rate"]
    with pytest.raises(InputError, match=r"certificate: bounds\.proofs\.0\.contraction\.rate missing"):
        Certificate.from_data(data)
    with pytest.raises(InputError, match="certificate_format is 4; this program reads 1 to 3, so upgrade"):
        Certificate.from_data({**data, "certificate_format": 4})
