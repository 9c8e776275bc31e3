"""Conjugate gradients solve the same equations as the dense step; both start from the same gradient and barrier."""

import numpy as np
import pytest

from observer import fit
from observer.fitting.linear_algebra import barrier, conjugate_gradients
from observer.fitting.linear_algebra.conjugate_gradients import IterativeEquations
from observer.fitting.linear_algebra.least_squares import pack, parameter_count
from observer.fitting.linear_algebra.normal_equations import RIDGE, DenseEquations
from observer.fitting.problem import Problem, Samples
from observer.fitting.solvers import interior_point
from observer.networks.ren.contracting import ContractingREN
from observer.scaling import Scaling


@pytest.fixture(params=[(3, 5), (4, 1), (2, 0)], ids=str)
def pair(request, rng):
    n, q = request.param
    ren = ContractingREN(nu=2, nx=n, nv=q, contraction_rate=0.8, identity_output=True, seed=1)
    metric, multipliers = ren.metric().detach().numpy(), ren.multipliers().detach().numpy()
    samples = Samples(rng.normal(size=(50, n)), rng.normal(size=(50, 2)), rng.normal(size=(50, n)))
    unit = Scaling(np.zeros(n), np.ones(n), np.zeros(2), np.ones(2))
    problem = Problem(
        train=samples, held_out=samples, metric=metric, rate=0.9, fastest=0.5, activation="tanh", neurons=q, inputs=0,
        scaling=unit, seed=0,
    )  # fmt: skip
    network = ren.explicit().to_numpy()
    lower = barrier.factor(network, metric, multipliers, 0.9)[1]
    root = np.linalg.cholesky(metric).T
    arguments = (problem, network, multipliers, root, lower)
    return DenseEquations(*arguments), IterativeEquations(*arguments)


def test_gradient_and_barrier_agree(pair):
    dense, iterative = pair
    np.testing.assert_allclose(iterative.gradient, dense.gradient, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(iterative.slope, dense.slope, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("weight", [1e-6, 1e-2, 10.0])
def test_products_and_steps_agree(pair, weight, rng, monkeypatch):
    dense, iterative = pair
    matrix = dense.hessian.copy()
    k = dense.constrained
    matrix[:k, :k] += weight * dense.curvature
    free = np.arange(k, len(matrix))
    matrix[free, free] += RIDGE * weight
    d = rng.normal(size=len(matrix))
    np.testing.assert_allclose(iterative._apply(weight, d), matrix @ d, rtol=1e-8, atol=1e-8)
    assert np.isclose(iterative.quadratic(d), dense.quadratic(d))
    monkeypatch.setattr(conjugate_gradients, "TOLERANCE", 1e-12)
    monkeypatch.setattr(conjugate_gradients, "ITERATIONS", 2000)
    step, exact = iterative.solve(weight, d), dense.solve(weight, d)
    assert np.linalg.norm(matrix @ (step - exact)) < 1e-6 * np.linalg.norm(d)


def test_the_preconditioner_pays(pair, rng):
    """Symmetric positive definite, and it clusters the spectrum: a smaller condition number than the plain matrix."""
    dense, iterative = pair
    weight = 1e-3
    size = len(dense.gradient)
    condition = iterative._preconditioner(weight)
    inverse = np.array([condition(e) for e in np.eye(size)])
    np.testing.assert_allclose(inverse, inverse.T, rtol=1e-6, atol=1e-9 * np.abs(inverse).max())
    matrix = np.array([iterative._apply(weight, e) for e in np.eye(size)])
    root = np.linalg.cholesky(0.5 * (inverse + inverse.T))
    clustered = np.linalg.eigvalsh(root.T @ matrix @ root)
    plain = np.linalg.eigvalsh(matrix)
    assert clustered[0] > 0 and clustered[-1] / clustered[0] < plain[-1] / plain[0]


def test_a_fit_by_conjugate_gradients(oscillator, oscillator_data, monkeypatch):
    monkeypatch.setattr(interior_point, "DENSE_PARAMETERS", 10)
    result = fit(oscillator, oscillator_data, neurons=6, settling_time=2.0, iterations=60, samples=400)
    assert result.one_step_loss < 0.05 * result.start_loss


def test_parameter_count_is_the_length_of_the_vector():
    ren = ContractingREN(nu=3, nx=2, nv=4, identity_output=True)
    assert parameter_count(2, 4, 3) == len(pack(ren.explicit().to_numpy()))
