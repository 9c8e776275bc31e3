"""The structured J'J and the variable projection against what they stand for, formed explicitly."""

from dataclasses import replace

import numpy as np
import pytest

from observer.fitting.linear_algebra import barrier, linear_part, structured
from observer.fitting.linear_algebra.least_squares import pack, residual_and_jacobian
from observer.fitting.linear_algebra.linear_part import refit_linear_part
from observer.fitting.problem import Samples
from observer.networks.kernels.equilibrium import solve_equilibrium
from observer.networks.kernels.equilibrium.tangent import adjoint, tangent
from observer.networks.ren.contracting import ContractingREN


def _network(n, q, k, rate=0.85, seed=1, activation="tanh"):
    ren = ContractingREN(
        nu=k, nx=n, nv=q, contraction_rate=rate, identity_output=True, seed=seed, activation=activation
    )
    metric, multipliers = ren.metric().detach().numpy(), ren.multipliers().detach().numpy()
    return ren.explicit().to_numpy(), metric, multipliers, rate


def _samples(rng, n, k, m, weights=False):
    drawn = rng.uniform(0.1, 2, m) if weights else None
    return Samples(rng.normal(size=(m, n)), rng.normal(size=(m, k)), rng.normal(size=(m, n)), weights=drawn)


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize(("n", "q", "k"), [(3, 9, 2), (2, 5, 1), (1, 4, 1), (4, 1, 2), (2, 0, 1)])
def test_structured_products_equal_those_of_the_jacobian(n, q, k, activation, weights, rng, monkeypatch):
    monkeypatch.setattr(structured, "PIECE", 16)  # several pieces, the last one short
    network, metric, *_ = _network(n, q, k, activation=activation)
    samples = _samples(rng, n, k, 50, weights)
    root = np.linalg.cholesky(metric).T
    r, gradient, hessian = structured.normal_products(network, samples, root)
    scaled, jac = residual_and_jacobian(network, samples, root)
    np.testing.assert_allclose((root @ r.T).reshape(-1), scaled, rtol=1e-12, atol=1e-12)
    if weights:
        root_weight = np.tile(np.sqrt(samples.weights), n)
        scaled, jac = scaled * root_weight, jac * root_weight
    exact = jac @ jac.T
    assert np.abs(hessian - exact).max() <= 1e-12 * np.abs(exact).max()
    assert np.abs(gradient - jac @ scaled).max() <= 1e-12 * max(np.abs(gradient).max(), 1)


@pytest.mark.parametrize("dense", [True, False])
def test_the_linear_weights_are_solved_to_the_minimum_inside_the_barrier(dense, rng, monkeypatch):
    """Repeated, the Newton step ends where f - mu logdet Q is flat in A, B1, and its value never rises on the way."""
    if not dense:
        monkeypatch.setattr(linear_part, "DENSE", 0)
        monkeypatch.setattr(linear_part, "TOLERANCE", 1e-10)
    network, metric, multipliers, rate = _network(3, 4, 2)
    samples, mu = replace(_samples(rng, 3, 2, 80, weights=True)), 0.1

    def value(ren):
        r = ren.next_state(samples.x, samples.v) - samples.x_next
        f = 0.5 * np.mean(samples.weights * np.einsum("kc,cd,kd->k", r, metric, r))
        return f - mu * barrier.logdet(barrier.factor(ren, metric, multipliers, rate)[1])

    values = [value(network)]
    for _ in range(12):
        network = refit_linear_part(network, samples, metric, multipliers, rate, mu)
        values.append(value(network))
    assert values[-1] < values[0] and np.all(np.diff(values[4:]) <= 1e-9)
    for name, shape in (("A", (3, 3)), ("B1", (3, 4)), ("B2", (3, 2)), ("bx", (3,))):
        direction = rng.normal(size=shape)
        sides = [value(replace(network, **{name: getattr(network, name) + e * direction})) for e in (1e-5, -1e-5)]
        assert abs(sides[0] - sides[1]) / 2e-5 < 1e-5
    assert np.array_equal(network.C1, _network(3, 4, 2)[0].C1)


def test_a_certificate_that_does_not_hold_is_not_refitted(rng):
    network, metric, multipliers, _ = _network(3, 4, 2)
    assert refit_linear_part(network, _samples(rng, 3, 2, 20), metric, multipliers, 0.01, 0.1) is None


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu"])
def test_tangent_and_adjoint_are_the_derivative_and_its_transpose(activation, rng):
    network, *_ = _network(2, 7, 1, activation=activation)
    b, direction, g = rng.normal(size=(3, 7, 40))

    w, beside = (solve_equilibrium(network.D11, c.T, activation).T.copy() for c in (b, b + 1e-7 * direction))
    dw = tangent(network.D11, w, direction, activation)
    np.testing.assert_allclose(dw, (beside - w) / 1e-7, rtol=1e-5, atol=1e-5)
    assert np.sum(g * dw) == pytest.approx(np.sum(adjoint(network.D11, w, g, activation) * direction), rel=1e-12)


def test_the_tangent_of_the_certificate_factor_by_differences():
    """T of Levenberg-Marquardt: how A, B1, C1, D11 move with Xi in H <- X'(I + 2 Xi)X."""
    from observer.fitting.solvers.levenberg_marquardt import EPS, blocks
    from observer.fitting.solvers.levenberg_marquardt import tangent as certificate_tangent

    n, q, rate = 2, 3, 0.85
    X = ContractingREN(nu=1, nx=n, nv=q, contraction_rate=rate, identity_output=True, seed=2).direct()["X"]

    def weights(xi):
        E, F, B, C, lam, D = blocks(X.T @ (np.eye(len(X)) + 2 * xi) @ X + EPS * np.eye(len(X)), rate, n, q)
        rows, columns = np.tril_indices(q, -1)
        parts = [np.linalg.solve(E, F), np.linalg.solve(E, B), C / lam[:, None], (D / lam[:, None])[rows, columns]]
        return np.concatenate([part.reshape(-1) for part in parts])

    T = certificate_tangent(X, rate, n, q)
    for k, (a, b) in enumerate(zip(*np.triu_indices(len(X)), strict=True)):
        xi = np.zeros_like(X)
        xi[a, b] = xi[b, a] = 1.0 if a == b else 1 / np.sqrt(2)
        numeric = (weights(1e-6 * xi) - weights(-1e-6 * xi)) / 2e-6
        np.testing.assert_allclose(T[:, k], numeric, rtol=1e-5, atol=1e-6)


def test_explicit_to_direct_and_back_to_ten_digits():
    network, metric, multipliers, rate = _network(3, 6, 2)
    ren = ContractingREN.from_explicit(network, metric, multipliers, rate, polar=False)
    assert np.abs(pack(ren.explicit().to_numpy()) - pack(network)).max() <= 1e-10 * np.abs(pack(network)).max()
