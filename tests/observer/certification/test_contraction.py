"""The certificate from explicit weights: never above the bound, never beaten by a sample, exact where it must be."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.certification.contraction import contraction_rate, find_fault, input_gain, lmi_margin
from observer.networks.activations import ACTIVATIONS
from observer.networks.ren.contracting import ContractingREN
from observer.networks.ren.explicit import ExplicitREN

RATES = [0.3, 0.8, 0.95, 1.0]


def certified(nu=2, nx=3, nv=6, *, rate=0.8, seed=0, spread=0.5, activation="tanh"):
    """Explicit weights, metric and multipliers of a network at random parameters."""
    ren = ContractingREN(nu, nx, nv, contraction_rate=rate, seed=seed, activation=activation, identity_output=True)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in ren.parameters():
            parameter += spread * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return ren.explicit().to_numpy(), ren.metric().detach().numpy(), ren.multipliers().detach().numpy()


def rescaled(ren, M, Lam, S, m_x, T, m_u):
    """The same network for x_phys = S x + m_x and u_phys = T u + m_u (MATH 2g)."""
    Si, Ti = np.linalg.inv(S), np.linalg.inv(T)
    A, B2, C1, D12 = S @ ren.A @ Si, S @ ren.B2 @ Ti, ren.C1 @ Si, ren.D12 @ Ti
    bx, bv = S @ ren.bx + m_x - A @ m_x - B2 @ m_u, ren.bv - C1 @ m_x - D12 @ m_u
    there = ExplicitREN.with_identity_output(A, S @ ren.B1, B2, C1, ren.D11, D12, bx, bv, ren.activation)
    M = Si.T @ M @ Si
    return there, (M + M.T) / 2, Lam


def in_metric(v, M):
    return np.sqrt(np.einsum("ki,ij,kj->k", v, M, v))


@pytest.mark.parametrize("nv", [0, 1, 6])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("rate", RATES)
def test_the_proved_rate_is_below_the_bound_and_above_every_sample(rate, activation, nv):
    for seed in range(4):
        proof = certified(nv=nv, rate=rate, seed=seed, activation=activation)
        ren, M, _ = proof
        proved = contraction_rate(*proof)
        assert 0 < proved <= rate + 1e-9
        rng = np.random.default_rng(seed)
        x, u = rng.normal(size=(300, 3)) * 2, rng.normal(size=(300, 2))
        other = x + rng.normal(size=x.shape) * np.geomspace(1e-4, 10, 300)[:, None]
        factor = in_metric(ren.next_state(other, u) - ren.next_state(x, u), M) / in_metric(other - x, M)
        assert factor.max() <= proved * (1 + 1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("nv", [0, 6])
def test_the_proved_gain_is_above_every_sample(activation, nv):
    for seed in range(4):
        proof = certified(nu=4, nv=nv, seed=seed, activation=activation)
        ren, M, _ = proof
        rate = contraction_rate(*proof)
        rng = np.random.default_rng(seed)
        x, dx = rng.normal(size=(2, 300, 3))
        u = rng.normal(size=(300, 4)) * 2
        for columns in (None, [0], [1, 3], slice(2, None)):
            gain = input_gain(*proof, columns)
            du = np.zeros_like(u)
            chosen = slice(None) if columns is None else columns
            du[:, chosen] = rng.normal(size=du[:, chosen].shape) * np.geomspace(1e-3, 10, 300)[:, None]
            size = np.linalg.norm(du, axis=1)
            here = ren.next_state(x, u)
            assert (in_metric(ren.next_state(x, u + du) - here, M) <= gain * size * (1 + 1e-9)).all()
            both = in_metric(ren.next_state(x + dx, u + du) - here, M)
            assert (both <= (rate * in_metric(dx, M) + gain * size) * (1 + 1e-9)).all()


def test_linear_networks_are_exact():
    """Without neurons rate and gain are operator norms, and some direction attains them."""
    ren, M, Lam = certified(nv=0)
    root = np.linalg.cholesky(M).T
    assert contraction_rate(ren, M, Lam) == pytest.approx(
        np.linalg.norm(root @ ren.A @ np.linalg.inv(root), 2), rel=1e-12
    )
    assert input_gain(ren, M, Lam) == pytest.approx(np.linalg.norm(root @ ren.B2, 2), rel=1e-12)
    assert input_gain(ren, M, Lam, []) == 0.0


@settings(deadline=None, max_examples=40)
@given(
    nx=st.integers(1, 4),
    nv=st.integers(0, 7),
    nu=st.integers(0, 3),
    rate=st.floats(0.05, 1.0),
    seed=st.integers(0, 1000),
)
def test_closed_form_is_where_the_form_becomes_singular(nx, nv, nu, rate, seed):
    proof = certified(nu, nx, nv, rate=rate, seed=seed)
    proved = contraction_rate(*proof)
    assert proved <= rate + 1e-9
    assert lmi_margin(*proof, proved * (1 + 1e-9)) >= -1e-12
    assert abs(lmi_margin(*proof, proved)) < 1e-6 or nx == 1
    assert lmi_margin(*proof, proved * (1 - 1e-4)) < -1e-12
    assert lmi_margin(*proof, rate) > -1e-12


@pytest.mark.parametrize("nv", [0, 6])
def test_rate_and_gains_do_not_depend_on_units(nv):
    proof = certified(nv=nv)
    rng = np.random.default_rng(0)
    S, T = np.diag([1e-3, 40.0, 2e4]) @ (np.eye(3) + 0.3 * rng.normal(size=(3, 3))), np.diag([1e-2, 500.0])
    m_x, m_u = rng.normal(size=3), rng.normal(size=2)
    there = rescaled(*proof, S, m_x, T, m_u)
    x, u = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    np.testing.assert_allclose(
        there[0].next_state(x @ S.T + m_x, u @ T + m_u), proof[0].next_state(x, u) @ S.T + m_x, rtol=1e-9
    )
    assert contraction_rate(*there) == pytest.approx(contraction_rate(*proof), rel=1e-9)
    for column in (0, 1):
        assert input_gain(*there, [column]) * T[column, column] == pytest.approx(input_gain(*proof, [column]), rel=1e-9)
    assert lmi_margin(*there, contraction_rate(*there) * (1 + 1e-9)) >= -1e-12


def test_scaling_metric_and_multipliers_together_changes_nothing_but_the_gain():
    ren, M, Lam = certified()
    assert contraction_rate(ren, 9 * M, 9 * Lam) == pytest.approx(contraction_rate(ren, M, Lam), rel=1e-12)
    assert input_gain(ren, 9 * M, 9 * Lam) == pytest.approx(3 * input_gain(ren, M, Lam), rel=1e-12)


@pytest.mark.parametrize("name", ["A", "B1", "C1"])
def test_changed_weights_change_the_answer(name):
    """Every weight is in the certificate: enlarged, it raises the rate beyond the bound or leaves nothing to prove."""
    ren, M, Lam = certified(rate=0.9)
    proved = contraction_rate(ren, M, Lam)
    worse = contraction_rate(replace(ren, **{name: 5 * getattr(ren, name)}), M, Lam)
    assert worse > 0.9 > proved
    assert lmi_margin(replace(ren, **{name: 5 * getattr(ren, name)}), M, Lam, proved * (1 + 1e-9)) < -1e-12


def test_no_rate_where_the_neurons_alone_are_not_covered():
    ren, M, Lam = certified()
    wild = replace(ren, D11=100 * ren.D11)
    assert contraction_rate(wild, M, Lam) == math.inf == input_gain(wild, M, Lam)
    assert lmi_margin(wild, M, Lam, math.inf) == -math.inf and lmi_margin(wild, M, Lam, 0.9) < 0
    assert lmi_margin(replace(ren, A=1e200 * ren.A), M, Lam, 0.9) == -math.inf


FAULTS = [
    (
        lambda ren, M, Lam: (replace(ren, D11=ren.D11 + np.eye(6)), M, Lam),
        r"D11 is not strictly lower .*D11\[0, 0\] is 1;",
    ),
    (lambda ren, M, Lam: (replace(ren, D11=ren.D11.T), M, Lam), r"D11 is not strictly lower triangular"),
    (lambda ren, M, Lam: (replace(ren, bx=ren.bx * np.nan), M, Lam), r"bx not finite"),
    (lambda ren, M, Lam: (ren, M, Lam - Lam[0]), r"multiplier \d is .*; expected all multipliers > 0"),
    (lambda ren, M, Lam: (ren, M + np.triu(M, 1) + 0.1 * np.eye(3, k=1), Lam), "metric is not symmetric"),
    (lambda ren, M, Lam: (ren, M - 2 * np.trace(M) * np.eye(3), Lam), "metric is not positive definite"),
    (lambda ren, M, Lam: (ren, np.ones((3, 3)), Lam), "metric is not positive definite"),
    (lambda ren, M, Lam: (ren, M[:2, :2], Lam), r"metric has shape \(2, 2\); expected \(nx, nx\) = \(3, 3\)"),
    (lambda ren, M, Lam: (ren, M, Lam[:2]), r"multipliers has shape \(2,\); expected \(nv,\) = \(6,\)"),
]


@pytest.mark.parametrize(("tamper", "message"), FAULTS)
def test_faults_are_named(tamper, message):
    proof = certified()
    assert find_fault(*proof) is None
    bad = tamper(*proof)
    assert find_fault(*bad) is not None
    for call in (contraction_rate, input_gain, lambda *bad: lmi_margin(*bad, 0.9)):
        with pytest.raises(ValueError, match=message):
            call(*bad)
