"""A linear Gaussian plant, data drawn from exactly what the filters assume, and the Kalman filter of the textbook."""

import numpy as np

from observer.estimators.parameters import Covariances
from systems import Signal, System, discretize


def linear_plant(a, b, c, noise=0.1):
    """x[k+1] = A x + B u, y = C x as a discrete system with wide ranges."""
    nx, nu, ny = len(a), b.shape[1], len(c)

    def rows(m, v):
        return [sum((float(m[i, j]) * v[j] for j in range(m.shape[1])), 0.0) for i in range(len(m))]

    system = System(
        name="linear",
        kind="discrete",
        dt=1.0,
        states=[Signal(f"x{i}", "", (-5.0, 5.0), initial=(-1.0, 1.0)) for i in range(nx)],
        inputs=[Signal(f"u{i}", "", (-1.0, 1.0)) for i in range(nu)],
        outputs=[Signal(f"y{i}", "", noise=noise) for i in range(ny)],
        dynamics=lambda x, u: [p + q for p, q in zip(rows(a, x), rows(b, u), strict=True)],
        output=lambda x: rows(c, x),
    )
    return discretize(system)


def drawn(a, b, c, noise, steps, trials, seed):
    """(x, u, y, x_hat0) of the linear Gaussian model: x_hat0 = 0 and x0 ~ N(0, P0)."""
    rng = np.random.default_rng(seed)
    roots = [np.linalg.cholesky(m + 1e-15 * np.eye(len(m))) for m in (noise.q, noise.r, noise.p0)]
    nx, ny = len(a), len(c)
    u = rng.uniform(-1, 1, (trials, steps, b.shape[1]))
    x = np.empty((trials, steps, nx))
    x[:, 0] = rng.standard_normal((trials, nx)) @ roots[2].T
    for k in range(steps - 1):
        x[:, k + 1] = x[:, k] @ a.T + u[:, k] @ b.T + rng.standard_normal((trials, nx)) @ roots[0].T
    y = x @ c.T + rng.standard_normal((trials, steps, ny)) @ roots[1].T
    return x, u, y, np.zeros((trials, nx))


def textbook(a, b, c, noise, x_hat0, u, y):
    """x[k|k-1] and P[k|k-1] by the recursion of Anderson and Moore, one trajectory at a time, missing outputs left out."""
    means, covers = np.empty((*y.shape[:2], len(a))), np.empty((*y.shape[:2], len(a), len(a)))
    for trial in range(len(y)):
        m, p = x_hat0[trial], noise.p0
        for k in range(y.shape[1]):
            means[trial, k], covers[trial, k] = m, p
            seen = ~np.isnan(y[trial, k])
            cs, r = c[seen], noise.r[np.ix_(seen, seen)]
            gain = p @ cs.T @ np.linalg.inv(cs @ p @ cs.T + r)
            m = a @ (m + gain @ (y[trial, k, seen] - cs @ m)) + b @ u[trial, k]
            p = a @ (p - gain @ cs @ p) @ a.T + noise.q
    return means, covers


def linear_case():
    """(plant, A, B, C, covariances): three states, one marginal, two outputs, one input."""
    a = np.array([[1.0, 0.1, 0.0], [-0.2, 0.95, 0.1], [0.0, 0.0, 0.8]])
    b = np.array([[0.0], [0.1], [0.3]])
    c = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    noise = Covariances(
        np.array([[0.01, 0.002, 0.0], [0.002, 0.02, 0.0], [0.0, 0.0, 0.03]]),
        np.diag([0.04, 0.09]),
        np.diag([1.0, 0.5, 2.0]),
    )
    return linear_plant(a, b, c), a, b, c, noise
