"""The certificate barrier against finite differences and autograd, and what its centring must not change."""

import numpy as np
import pytest
import torch

from observer.fitting.linear_algebra import barrier
from observer.fitting.linear_algebra.least_squares import constrained, pack, residual_and_jacobian, unpack
from observer.fitting.problem import Samples
from observer.networks.ren.contracting import ContractingREN
from observer.networks.ren.direct_map import certificate_matrix


def _network(n=3, q=4, nu=2, rate=0.85, seed=1, activation="tanh"):
    ren = ContractingREN(
        nu=nu, nx=n, nv=q, contraction_rate=rate, identity_output=True, seed=seed, activation=activation
    )
    metric, multipliers = ren.metric().detach().numpy(), ren.multipliers().detach().numpy()
    return ren.explicit().to_numpy(), metric, multipliers, rate


def _logdet(theta, shape, metric, multipliers, rate):
    return np.linalg.slogdet(certificate_matrix(unpack(theta, *shape, "tanh"), metric, multipliers, rate))[1]


def test_pack_and_unpack_are_inverse():
    network, *_ = _network()
    again = unpack(pack(network), 3, 4, 2, "tanh")
    for name, value in network.weights().items():
        np.testing.assert_array_equal(getattr(again, name), value)


def test_barrier_gradient_and_hessian_by_differences():
    network, metric, multipliers, rate = _network()
    theta, shape, k = pack(network), (3, 4, 2), constrained(3, 4)
    _, lower = barrier.factor(network, metric, multipliers, rate)
    a, b = barrier.directions(metric, multipliers)
    gradient, hessian = barrier.derivatives(lower, a, b)
    assert gradient.shape == (k,) and hessian.shape == (k, k)
    step = 1e-5
    numeric = np.empty(k)
    rows = np.empty((k, k))
    for i in range(k):
        sides = []
        for sign in (1, -1):
            moved = theta.copy()
            moved[i] += sign * step
            factored = barrier.factor(unpack(moved, *shape, "tanh"), metric, multipliers, rate)
            sides.append((barrier.logdet(factored[1]), barrier.derivatives(factored[1], a, b)[0]))
        numeric[i] = (sides[0][0] - sides[1][0]) / (2 * step)
        rows[i] = -(sides[0][1] - sides[1][1]) / (2 * step)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(hessian, rows, rtol=1e-5, atol=1e-4)
    assert np.linalg.eigvalsh(hessian)[0] > 0


def test_a_step_of_the_reported_length_stays_inside(rng):
    network, metric, multipliers, rate = _network()
    q, lower = barrier.factor(network, metric, multipliers, rate)
    for _ in range(20):
        move = 10.0 * rng.normal(size=len(pack(network)))
        moved = unpack(pack(network) + move, 3, 4, 2, "tanh")
        change = certificate_matrix(moved, metric, multipliers, rate) - q
        length = barrier.longest_step(lower, change)
        assert 0 < length <= 1
        assert np.linalg.eigvalsh(q + length * change)[0] > 0
        assert length == 1 or np.linalg.eigvalsh(q + length / 0.9 * 1.001 * change)[0] < 0


def test_centring_raises_the_barrier_and_keeps_the_network():
    network, metric, multipliers, _ = _network(rate=0.8)
    rate = 0.95  # a looser bound than the network was made for: room to be off centre
    uneven = multipliers * np.array([0.9, 1.0, 1.1, 1.0])
    start = barrier.factor(network, metric, uneven, rate)
    assert start is not None
    better = barrier.centre_multipliers(network, metric, uneven, rate, steps=10)
    assert barrier.logdet(barrier.factor(network, metric, better, rate)[1]) > barrier.logdet(start[1])
    for k in range(4):  # a stationary point in every multiplier
        for factor in (0.999, 1.001):
            other = better.copy()
            other[k] *= factor
            assert (
                _logdet(pack(network), (3, 4, 2), metric, other, rate)
                <= _logdet(pack(network), (3, 4, 2), metric, better, rate) + 1e-9
            )


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu"])
@pytest.mark.parametrize("q", [0, 1, 4])
def test_the_structured_jacobian_against_autograd(activation, q, rng):
    network, metric, _, _ = _network(q=q, activation=activation)
    samples = Samples(rng.normal(size=(6, 3)), rng.normal(size=(6, 2)), rng.normal(size=(6, 3)))
    root = np.linalg.cholesky(metric).T
    r, jac = residual_and_jacobian(network, samples, root)

    def weighted(theta):
        sizes = [9, 3 * q, 3 * q, q * (q - 1) // 2, 6, 3, 2 * q, q]
        a, b1, c1, d, b2, bx, d12, bv = torch.split(theta, sizes)
        x, v = torch.from_numpy(samples.x), torch.from_numpy(samples.v)
        columns, at = [], 0
        pre = x @ c1.reshape(q, 3).T + v @ d12.reshape(q, 2).T + bv
        for j in range(q):
            extra = sum((d[at + i] * columns[i] for i in range(j)), torch.zeros(6, dtype=torch.float64))
            at += j
            columns.append(getattr(torch, activation)(pre[:, j] + extra))
        w = torch.stack(columns, dim=1) if q else torch.zeros(6, 0, dtype=torch.float64)
        out = x @ a.reshape(3, 3).T + w @ b1.reshape(3, q).T + v @ b2.reshape(3, 2).T + bx
        return ((out - torch.from_numpy(samples.x_next)) @ torch.from_numpy(root).T).T.reshape(-1)

    theta = torch.from_numpy(pack(network))
    np.testing.assert_allclose(r, weighted(theta).numpy(), rtol=1e-12, atol=1e-12)
    exact = torch.autograd.functional.jacobian(weighted, theta).numpy()
    np.testing.assert_allclose(jac.T, exact, rtol=1e-10, atol=1e-12)
