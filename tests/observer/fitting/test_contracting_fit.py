"""The contraction-constrained linear fit: feasible, never worse than clip-and-refit, and the optimum that a cone solver finds."""

import numpy as np
import pytest

from observer.fitting.initial.contracting_fit import clip, contracting_fit


def _problem(seed):
    rng = np.random.default_rng(seed)
    n, k = 4, 300
    a = rng.normal(size=(n, n))
    a *= 1.2 / np.abs(np.linalg.eigvals(a)).max()
    x = rng.normal(size=(k, n)) @ np.diag([1, 1, 0.1, 0.03])
    v = np.c_[
        rng.normal(size=k), x[:, 0] + (0.01 * rng.normal(size=k) if seed % 2 else 0.0)
    ]  # an output: collinear with x
    x_next = x @ a.T + v @ rng.normal(size=(2, n)) + 0.3 + 0.1 * np.sin(3 * x)
    root = rng.normal(size=(n, n))
    metric = root @ root.T + 0.1 * np.eye(n)
    return x, v, x_next, metric / np.linalg.eigvalsh(metric)[-1], 0.6


def _loss(problem, a, b, c):
    x, v, x_next, metric, _ = problem
    r = x_next - x @ a.T - v @ b.T - c
    return float(np.einsum("ki,ij,kj->", r, metric, r))


@pytest.fixture(params=range(4))
def solved(request):
    problem = _problem(request.param)
    x, v, x_next, metric, rate = problem
    known = np.c_[v, np.ones(len(x))]
    first = clip(np.linalg.lstsq(np.c_[x, known], x_next, rcond=None)[0].T[:, :4], metric, rate)
    refit = np.linalg.lstsq(known, x_next - x @ first.T, rcond=None)[0].T
    clipped = _loss(problem, first, refit[:, :-1], refit[:, -1])
    return problem, clipped, contracting_fit(x, v, x_next, metric, rate, first)


def test_it_contracts_and_beats_clipping(solved):
    problem, clipped, (a, b, c) = solved
    metric, rate = problem[3:]
    assert np.linalg.eigvalsh(rate**2 * metric - a.T @ metric @ a)[0] > -1e-12
    assert _loss(problem, a, b, c) < 0.99 * clipped


def test_it_is_the_optimum(solved):
    cvxpy = pytest.importorskip("cvxpy")
    problem, _, (a, b, c) = solved
    x, v, x_next, metric, rate = problem
    root = np.linalg.cholesky(metric).T
    f, g = cvxpy.Variable((4, 4)), cvxpy.Variable((4, 3))
    miss = x_next @ root.T - (x @ root.T) @ f.T - np.c_[v, np.ones(len(x))] @ g.T
    best = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(miss)), [cvxpy.sigma_max(f) <= rate]).solve(solver="CLARABEL")
    assert _loss(problem, a, b, c) == pytest.approx(best, rel=1e-6)


def test_a_bound_that_does_not_bind_gives_least_squares():
    x, v, x_next, metric, _ = _problem(1)
    a, b, c = contracting_fit(x, v, x_next, metric, 50.0, np.zeros((4, 4)))
    full = np.linalg.lstsq(np.c_[x, v, np.ones(len(x))], x_next, rcond=None)[0].T
    assert _loss(_problem(1), a, b, c) == pytest.approx(
        _loss(_problem(1), full[:, :4], full[:, 4:6], full[:, 6]), rel=1e-6
    )


def test_data_that_shows_nothing_leaves_the_start():
    start = np.diag([0.5, 0.2])
    a, b, c = contracting_fit(np.ones((20, 2)), np.zeros((20, 1)), np.full((20, 2), 3.0), np.eye(2), 0.9, start)
    np.testing.assert_allclose(a, start, atol=1e-12)
    np.testing.assert_allclose(np.ones(2) @ a.T + c, 3.0)
    assert not b.any()
