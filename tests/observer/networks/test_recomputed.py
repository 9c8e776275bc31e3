"""Matrices and trajectories recomputed from the direct parameters in plain NumPy, row by row, at sizes of every kind.

The golden files have one size of each network; this is the same comparison wherever else one looks. Written from the
equations alone, with explicit inverses and loops over neurons: nothing of the code under test is used.
"""

import numpy as np
import pytest

from observer.networks.feedforward.lbdn import LBDN
from observer.networks.network import disturb
from observer.networks.r2dn import R2DN
from observer.networks.ren.contracting import ContractingREN
from observer.networks.ren.lipschitz import LipschitzREN
from observer.networks.ren.passive import PassiveREN
from observer.networks.unrolling import unroll

SIZES = [(1, 1, 1, 1), (3, 5, 7, 2), (2, 4, 40, 5), (4, 2, 600, 3), (2, 0, 4, 3), (2, 6, 0, 2)]
SIGMA = {"relu": lambda v: np.maximum(v, 0), "tanh": np.tanh, "sigmoid": lambda v: 1 / (1 + np.exp(-v))}
inv, eye = np.linalg.inv, np.eye


def gram(d, eps, norm_eps=0.0):
    H = d["X"].T @ d["X"]
    if "p" in d:
        H = d["p"] ** 2 * H / ((d["X"] ** 2).sum() + norm_eps)
    return H + eps * eye(len(H))


def matrices(d, H, rate):
    """A, B1, B2, C1, D11, D12 of H (MATH 2a)."""
    (n, _), q = d["B2"].shape, len(d["D12"])
    E = (H[:n, :n] + H[n + q :, n + q :] / rate**2 + d["Y1"] - d["Y1"].T) / 2
    lam = inv(np.diag(np.diag(H[n : n + q, n : n + q]) / 2))
    lower = np.tril(H[n : n + q, n : n + q], -1)
    A, B1, B2 = inv(E) @ H[n + q :, :n], inv(E) @ H[n + q :, n : n + q], inv(E) @ d["B2"]
    return A, B1, B2, -lam @ H[n : n + q, :n], -lam @ lower, lam @ d["D12"]


def feedthrough(d, eps, wide):
    Mm = d["X3"].T @ d["X3"] + d["Y3"] - d["Y3"].T + d["Z3"].T @ d["Z3"] + eps * eye(len(d["X3"]))
    one = eye(len(Mm))
    if wide:
        return inv(one + Mm) @ np.hstack([one - Mm, -2 * d["Z3"].T]), Mm
    return np.vstack([one - Mm, -2 * d["Z3"]]) @ inv(one + Mm), Mm


def supplied(d, rate, eps, Q, S, R, D22):
    """H of a REN with a supply (MATH 2b), then as ever."""
    n = len(d["B2"])
    Rc = R + S @ D22 + D22.T @ S.T + D22.T @ Q @ D22
    seen = D22.T @ Q + S
    G = np.hstack([seen @ d["C2"], seen @ d["D21"] - d["D12"].T, d["B2"].T])
    out = np.hstack([d["C2"], d["D21"], np.zeros((len(Q), n))])
    return matrices(d, gram(d, eps) + G.T @ inv(Rc) @ G - out.T @ Q @ out, rate)


def run(six, d, D22, x, u, sigma):
    """x and y step by step, neuron by neuron, one trajectory."""
    A, B1, B2, C1, D11, D12 = six
    xs, ys = [x], []
    for now in u:
        w = np.zeros(len(D11))
        for i in range(len(w)):
            w[i] = sigma(C1[i] @ x + D11[i, :i] @ w[:i] + D12[i] @ now + d["bv"][i])
        ys.append(d["C2"] @ x + d["D21"] @ w + D22 @ now + d["by"])
        x = A @ x + B1 @ w + B2 @ now + d["bx"]
        xs.append(x)
    return np.array(xs), np.array(ys)


def compare(network, six, d, D22, activation, seed):
    import torch

    explicit, rng = network.explicit(), np.random.default_rng(seed)
    for name, value in zip(("A", "B1", "B2", "C1", "D11", "D12"), six, strict=True):
        scale = max(1.0, np.abs(value).max(initial=0.0))
        np.testing.assert_allclose(getattr(explicit.to_numpy(), name), value, rtol=0, atol=1e-10 * scale, err_msg=name)
    np.testing.assert_allclose(explicit.to_numpy().D22, D22, rtol=0, atol=1e-10)
    x, u = rng.normal(size=network.nx), rng.normal(size=(5, network.nu))
    expected = run(six, d, D22, x, u, SIGMA[activation])
    found = unroll(explicit, torch.tensor(x)[None], torch.tensor(u)[None])
    for one, other in zip(found, expected, strict=True):
        scale = max(1.0, np.abs(other).max(initial=0.0))
        np.testing.assert_allclose(one[0].detach(), other, rtol=0, atol=1e-10 * scale)


@pytest.mark.parametrize("activation", SIGMA)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_contracting(sizes, activation):
    nu, nx, nv, ny = sizes
    network = ContractingREN(nu, nx, nv, ny, contraction_rate=0.85, activation=activation, polar=nv % 2 == 0, seed=nv)
    d = network.direct()
    compare(network, matrices(d, gram(d, 1e-9), 0.85), d, d["D22"], activation, 0)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_lipschitz(sizes):
    nu, nx, nv, ny = sizes
    network = LipschitzREN(nu, nx, nv, ny, gamma=1.7, contraction_rate=0.9, activation="tanh", eps=1e-6, seed=nx)
    d = network.direct()
    D22 = 1.7 * feedthrough(d, 1e-6, nu > ny)[0]
    six = supplied(d, 0.9, 1e-6, -eye(ny) / 1.7, np.zeros((nu, ny)), 1.7 * eye(nu), D22)
    compare(network, six, d, D22, "tanh", 1)


@pytest.mark.parametrize("sizes", [(1, 2, 3), (4, 3, 20)], ids=str)
def test_passive(sizes):
    n, nx, nv = sizes
    network = PassiveREN(n, nx, nv, input_strictness=0.3, contraction_rate=0.9, activation="relu", eps=1e-6, seed=nv)
    d = network.direct()
    D22 = 0.3 * eye(n) + feedthrough(d, 1e-6, False)[1]
    Rc = D22 + D22.T - 0.6 * eye(n)
    G = np.hstack([d["C2"], d["D21"] - d["D12"].T, d["B2"].T])
    explicit = network.explicit().to_numpy()
    np.testing.assert_allclose(explicit.D22, D22, atol=1e-10)
    if not np.allclose(
        network.strict().detach().numpy(), 0
    ):  # Q = 0 is made slightly negative: then C2 and D21 take part
        Q = network.strict().detach().numpy()
        six = supplied(d, 0.9, 1e-6, Q, eye(n), -0.6 * eye(n), D22)
    else:
        six = matrices(d, gram(d, 1e-6) + G.T @ inv(Rc) @ G, 0.9)
    compare(network, six, d, D22, "relu", 2)


def sandwich_weights(d, prefix, layers, gamma, linear, norm_eps=0.0):
    """Unfolded layers: (A', B', Psi, b) of each."""
    found = []
    for k in range(layers):
        XY, a = d[f"{prefix}XY{k}"], d[f"{prefix}a{k}"]
        q = XY.shape[1]
        scaled = a * XY / np.sqrt((XY**2).sum() + norm_eps)
        X, Y = scaled[:q], scaled[q:]
        Z = X - X.T + Y.T @ Y
        last = linear and k == layers - 1
        psi = None if last else np.exp(d[f"{prefix}d{k}"])
        found.append((inv(eye(q) + Z) @ (eye(q) - Z), -2 * Y @ inv(eye(q) + Z), psi, d[f"{prefix}b{k}"]))
    return found


def evaluate(layers, u, gamma, sigma):
    h = np.sqrt(gamma) * u
    for A_t, B_t, psi, b in layers:
        if psi is None:
            return np.sqrt(gamma) * h @ B_t + b
        h = np.sqrt(2) * (sigma(np.sqrt(2) * (h @ B_t) / psi + b) * psi) @ A_t.T
    return np.sqrt(gamma) * h


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("shape", [(1, (), 1), (3, (7,), 2), (2, (5, 40, 6), 9)], ids=str)
def test_lbdn(shape, linear):
    nu, hidden, ny = shape
    network = disturb(LBDN(nu, hidden, ny, gamma=2.5, activation="tanh", linear_output=linear, seed=ny), 1, 0.3)
    layers = sandwich_weights(network.direct(), "", len(hidden) + 1, 2.5, linear)
    u = np.random.default_rng(0).normal(size=(6, nu))
    expected = evaluate(layers, u, 2.5, np.tanh)
    np.testing.assert_allclose(network.explicit().to_numpy()(u), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, (2,)), (3, 5, 4, 2, (7, 6)), (2, 3, 20, 4, (30, 3, 9))], ids=str)
def test_r2dn(sizes):
    import torch

    nu, nx, nv, ny, hidden = sizes
    network = R2DN(nu, nx, nv, ny, hidden=hidden, contraction_rate=0.8, activation="sigmoid", seed=nv)
    d = disturb(network, 2, 0.2).direct()
    H = gram(d, 1e-9)
    H[:nx, :nx] += d["C1"].T @ d["C1"]
    H[nx:, nx:] += d["B1"] @ d["B1"].T
    E = (H[:nx, :nx] + H[nx:, nx:] / 0.64 + d["Y"] - d["Y"].T) / 2
    A, B1 = inv(E) @ H[nx:, :nx], inv(E) @ d["B1"]
    layers, rng = sandwich_weights(d, "inner_", len(hidden) + 1, 1.0, True), np.random.default_rng(3)
    x, u = rng.normal(size=nx), rng.normal(size=(6, nu))
    found = unroll(network.explicit(), torch.tensor(x)[None], torch.tensor(u)[None])
    for k in range(6):
        np.testing.assert_allclose(found[0][0, k].detach(), x, rtol=0, atol=1e-10)
        w = evaluate(layers, d["C1"] @ x + d["D12"] @ u[k] + d["bv"], 1.0, SIGMA["sigmoid"])
        y = d["C2"] @ x + d["D21"] @ w + d["D22"] @ u[k] + d["by"]
        np.testing.assert_allclose(found[1][0, k].detach(), y, rtol=0, atol=1e-10)
        x = A @ x + B1 @ w + d["B2"] @ u[k] + d["bx"]
