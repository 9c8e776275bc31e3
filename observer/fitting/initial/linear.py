"""The model-informed initial network: a linear observer that is already exact where the plant is linear (MATH 2h and 3).

Projection observer of a plant with y = C x + D u + c_y:

    S(x_hat, y) = x_hat + K (y - C x_hat - D u - c_y),   K = M^-1 C' (C M^-1 C')^-1,   f_o* = f(S(x_hat, y), u)

It is exact on the diagonal (f_o*(x, u, h(x)) = f(x, u)) and contracts wherever the plant is differentially detectable in
M. The initial network is its least-squares linearisation, with neurons that act on the projected state, C1 = Ct Pi, Pi = I - K C, but
not yet on the output: B1 = 0. It is strictly feasible, so that the certificate holds before, during and after the fit.
"""

import numpy as np
from scipy.linalg import eigh

from observer.fitting.initial.contracting_fit import clip, contracting_fit
from observer.fitting.problem import Samples
from observer.networks.ren.explicit import ExplicitREN
from systems.base.errors import InputError

SMALL_DIRECTIONS = 1e-4  # singular values of the data below this share of the largest


def projection_gain(metric: np.ndarray, c: np.ndarray) -> np.ndarray:
    """K = M^-1 C' (C M^-1 C')^-1, ``(nx, ny)``; dependent outputs share by the pseudo-inverse."""
    inverse = np.linalg.solve(metric, c.T)
    return inverse @ np.linalg.pinv(c @ inverse)


def linear_observer(
    samples: Samples, metric: np.ndarray, rate: float, fastest: float, inputs: int
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """The linear observer (A, B2, bx), and K and C of the projection, in network units.

    ``inputs``: how many of the columns of v are known inputs; the rest are outputs. ``fastest``: the rate that the metric
    allows an exact observer; A is cut only where it is slower than both 3 % and a quarter of the way below the bound.
    """
    x, v, x_next = samples.x, samples.v, samples.x_next
    values = np.linalg.eigvalsh(metric) if np.isfinite(metric).all() else np.full(len(metric), np.nan)
    if not values[0] > 1e-13 * values[-1]:
        raise InputError(
            f"the metric is singular (eigenvalues from {values[0]:.3g} to {values[-1]:.3g}), so that it measures no error in some "
            "direction; expected a positive definite one, as the metric search gives it"
        )
    u, y, one = v[:, :inputs], v[:, inputs:], np.ones((len(x), 1))
    regressors = np.concatenate([x, u, one], axis=1)
    n = x.shape[1]
    bound = max(0.97 * rate, rate - 0.25 * (rate - fastest)) if fastest < rate else 0.97 * rate
    for cut in (None, SMALL_DIRECTIONS):
        # Directions that the data hardly show (a smooth profile over many nodes) get huge coefficients that fit the
        # curvature of the plant; leaving them out costs nothing on the data.
        plant, output = (np.linalg.lstsq(regressors, target, rcond=cut)[0].T for target in (x_next, y))
        a_bar, b, c0 = plant[:, :n], plant[:, n:-1], plant[:, -1]
        c, d, cy = output[:, :n], output[:, n:-1], output[:, -1]
        k = projection_gain(metric, c)
        a = a_bar @ (np.eye(n) - k @ c)
        clipped = clip(a, metric, bound)
        fits = np.allclose(clipped, a, rtol=0, atol=1e-12)
        if fits:
            break
    if fits:
        gain = a_bar @ k
        b2, bx = np.concatenate([b - gain @ d, gain], axis=1), c0 - gain @ cy
    else:  # A was not contracting enough: the best one that is
        a, b2, bx = contracting_fit(x, v, x_next, metric, bound, clipped)
    return {"A": a, "B2": b2, "bx": bx, "D": d, "cy": cy}, k, c


def projected_network(
    samples: Samples,
    metric: np.ndarray,
    rate: float,
    *,
    fastest: float,
    inputs: int,
    neurons: int,
    activation: str,
    seed: int | tuple[int, ...],
) -> tuple[ExplicitREN, np.ndarray]:
    """A strictly feasible REN that *is* the linear observer, and its multipliers; the seed draws the input weights of the neurons."""
    linear, k, c = linear_observer(samples, metric, rate, fastest, inputs)
    n, m, q = samples.x.shape[1], samples.v.shape[1], neurons
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((q, n))
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
    if n > 8:  # many states (a PDE): look along their principal directions, gently
        _, _, principal = np.linalg.svd(samples.x - samples.x.mean(axis=0), full_matrices=False)
        few = min(8, n)
        rows = rng.standard_normal((q, few))
        rows = 0.1 * (rows / np.linalg.norm(rows, axis=1, keepdims=True)) @ principal[:few] * np.sqrt(n)
    elif (
        samples.coordinates is not None
    ):  # neurons look along range-scaled states, whatever the network's own units are
        rows = rows @ samples.coordinates
    seen = rows @ k
    d12 = np.zeros((q, m))
    d12[:, :inputs] = rng.uniform(-0.3, 0.3, (q, inputs)) - seen @ linear["D"]
    d12[:, inputs:] = seen
    bv = rng.uniform(-1, 1, q) - seen @ linear["cy"]
    c1 = rows @ (np.eye(n) - k @ c)
    ren = ExplicitREN.with_identity_output(
        A=linear["A"], B1=np.zeros((n, q)), B2=linear["B2"], C1=c1, D11=np.zeros((q, q)), D12=d12,
        bx=linear["bx"], bv=bv, activation=activation,
    )  # fmt: skip
    slack = rate**2 * metric - linear["A"].T @ metric @ linear["A"]
    largest = float(eigh(c1.T @ c1, slack, eigvals_only=True)[-1]) if q else 1.0
    return ren, np.full(q, 0.9 / max(largest, 1e-9))
