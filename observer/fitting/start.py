"""The model-informed start: a linear observer that is already right where the plant is linear (MATH 2h and 3).

Projection observer of a plant with y = C x + D u + c_y:

    S(x_hat, y) = x_hat + K (y - C x_hat - D u - c_y),   K = M^-1 C' (C M^-1 C')^-1,   f_o* = f(S(x_hat, y), u)

It is exact on the diagonal (f_o*(x, u, h(x)) = f(x, u)) and contracts wherever the plant is differentially detectable in
M. The start is its least-squares linearisation, with neurons that see the projected state: C1 = Ct Pi, Pi = I - K C, and
do nothing yet: B1 = 0. It is strictly feasible, so that the certificate holds before, during and after the fit.
"""

import numpy as np
from scipy.linalg import eigh

from observer.fitting.problem import Samples
from observer.networks.explicit import ExplicitREN
from systems.detectability import FULL_METRIC_UP_TO, MetricSearch, sample_jacobians, search
from systems.discretization import DiscreteSystem
from systems.errors import InputError, NotDetectable
from systems.integration import time_scales

CONDITIONS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)
DEFAULT_CONDITION = 100.0
SMALL_DIRECTIONS = 1e-4  # singular values of the data below this share of the largest


def headroom(rate: float) -> float:
    """The smallest bound worth asking for when ``rate`` is the fastest possible: neurons need room to turn in.

    7 % above the fastest rate, or half of the remaining distance to 1 where that is closer.
    """
    return min(1.07 * rate, 1 - 0.5 * (1 - rate))


def rate_of_settling(settling_time: float, dt: float) -> float:
    """Contraction rate per sample at which |e|_M falls to 2 % in ``settling_time`` seconds: 0.02^(dt/T)."""
    return 0.02 ** (dt / settling_time)


def choose_rate(
    plant: DiscreteSystem,
    region: np.ndarray,
    settling_time: float | None = None,
    contraction_rate: float | None = None,
    condition: float | None = None,
    seed: int = 0,
    points: np.ndarray | None = None,
) -> tuple[float, MetricSearch, tuple[str, ...]]:
    """(rate bound, metric, warnings): the smallest condition number whose metric allows the requested rate.

    ``points`` ``(m, nx + nu)``: where to look, instead of all over the region. Without a request, |e|_M settles in four
    of the plant's own time constants, or as fast as a metric with condition number 100 allows with headroom, whichever
    is slower. Raises :class:`NotDetectable` when no metric reaches the rate, with the fastest rate found and the
    direction that cannot be seen.
    """
    dt = plant.dt
    if settling_time is not None and contraction_rate is not None:
        raise InputError("both settling_time and contraction_rate are given; give one")
    if settling_time is not None and not (np.isfinite(settling_time) and settling_time > 0):
        raise InputError(f"settling_time is {settling_time!r}; expected a positive number of seconds")
    if contraction_rate is not None and not 0 < contraction_rate < 1:
        raise InputError(
            f"contraction_rate is {contraction_rate!r}; expected a number per sample between 0 and 1, not 1: it would promise no rate"
        )
    if condition is not None and not condition >= 1:
        raise InputError(f"condition is {condition!r}; expected a number, 1 or more")
    jacobians = sample_jacobians(plant, region, seed=seed, points=points)
    requested = (
        contraction_rate
        if contraction_rate is not None
        else (rate_of_settling(settling_time, dt) if settling_time else None)
    )
    if requested is None:
        first = DEFAULT_CONDITION if plant.nx <= FULL_METRIC_UP_TO else 1.0  # with many states a search takes long
        best = search(jacobians=jacobians, condition=condition or first)
        if best.rate >= 1 and condition is None:
            best = search(jacobians=jacobians, condition=CONDITIONS[-1])
        _refuse_if_blind(plant, best, None)
        own = time_scales(plant.system)[1] if plant.system.kind == "continuous" else np.inf
        natural = rate_of_settling(4 * own, dt) if np.isfinite(own) else 0.0
        # Slower than 1000 samples is no observer anybody waits for; an unobservable plant has been refused above.
        rate = max(min(natural, rate_of_settling(1000 * dt, dt)), headroom(best.rate))
    else:
        rate = requested
    found: MetricSearch | None = None
    for bound in (condition,) if condition is not None else CONDITIONS:
        candidate = search(jacobians=jacobians, condition=bound)
        if found is None or candidate.rate < found.rate:
            found = candidate
        if headroom(candidate.rate) <= rate * (1 + 1e-9) or (
            plant.nx > FULL_METRIC_UP_TO and candidate.rate <= 1 - 1.2 * (1 - rate)
        ):
            found = candidate
            break
    assert found is not None
    _refuse_if_blind(plant, found, rate)
    warnings = []
    if headroom(found.rate) > rate * (1 + 1e-6):
        warnings.append(
            f"the requested rate {rate:.4g} per sample is close to the fastest possible one ({found.rate:.4g}): "
            "the residual may stay large; "
            f"a settling time of {np.log(0.02) / np.log(headroom(found.rate)) * dt:.3g} s or more leaves room"
        )
    return rate, found, tuple(warnings)


def _refuse_if_blind(plant: DiscreteSystem, found: MetricSearch, rate: float | None) -> None:
    if found.rate < (1 - 1e-5 if rate is None else rate):
        return
    names = plant.system.state_names
    parts = [f"{v:+.2g} {n}" for n, v in zip(names, found.direction, strict=True) if abs(v) > 0.05]
    where = ", ".join(f"{n}={v:.3g}" for n, v in zip([*names, *plant.system.input_names], found.where, strict=True))
    fastest = found.rate
    seconds = (
        f"settling time {np.log(0.02) / np.log(fastest) * plant.dt:.3g} s"
        if fastest < 1 - 1e-5
        else "that is, it does not decay"
    )
    asked = (
        f"the requested rate {rate:.6g} per sample (settling time {np.log(0.02) / np.log(rate) * plant.dt:.3g} s)"
        if rate
        else "any rate below 1"
    )
    advice = (
        "ask for a longer settling time, or add a measurement"
        if fastest < 1 - 1e-5
        else "measure another state, or narrow the ranges to where this direction can be seen"
    )
    raise NotDetectable(
        f"no observer of '{plant.system.name}' contracts at {asked} in a constant metric: the fastest rate found is {fastest:.6g} per "
        f"sample ({seconds}, condition number {found.condition:.3g}). The direction that cannot be seen fast enough from "
        f"{', '.join(plant.system.output_names)} is ({' '.join(parts)}), in parts of each half range, near {where}; {advice}"
    )


def projection_gain(metric: np.ndarray, c: np.ndarray) -> np.ndarray:
    """K = M^-1 C' (C M^-1 C')^-1, ``(nx, ny)``; dependent outputs share by the pseudo-inverse."""
    inverse = np.linalg.solve(metric, c.T)
    return inverse @ np.linalg.pinv(c @ inverse)


def _clip(a: np.ndarray, metric: np.ndarray, bound: float) -> np.ndarray:
    """The nearest map in the M norm with |A|_M <= bound, by clipping singular values."""
    r = np.linalg.cholesky(metric).T
    left, values, right = np.linalg.svd(r @ a @ np.linalg.inv(r))
    return np.linalg.inv(r) @ (left * np.minimum(values, bound)) @ right @ r


def linear_start(
    samples: Samples, metric: np.ndarray, rate: float, fastest: float, inputs: int
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """The linear observer (A, B2, bx), and K and C of the projection, in network units.

    ``inputs``: how many of the columns of v are known inputs; the rest are outputs. ``fastest``: the rate that the metric
    allows an exact observer; A is cut only where it is slower than both 3 % and a quarter of the way below the bound.
    """
    x, v, x_next = samples.x, samples.v, samples.x_next
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
        clipped = _clip(a, metric, bound)
        fits = np.allclose(clipped, a, rtol=0, atol=1e-12)
        if fits:
            break
    if fits:
        gain = a_bar @ k
        b2, bx = np.concatenate([b - gain @ d, gain], axis=1), c0 - gain @ cy
    else:  # A was not contracting enough: the best input matrix for the clipped one
        a = clipped
        refit = np.linalg.lstsq(np.concatenate([v, one], axis=1), x_next - x @ a.T, rcond=None)[0].T
        b2, bx = refit[:, :-1], refit[:, -1]
    return {"A": a, "B2": b2, "bx": bx, "D": d, "cy": cy}, k, c


def initial_network(
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
    """A strictly feasible REN that *is* the linear observer, and its multipliers; the seed draws what the neurons look at."""
    linear, k, c = linear_start(samples, metric, rate, fastest, inputs)
    n, m, q = samples.x.shape[1], samples.v.shape[1], neurons
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((q, n))
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
    if n > 8:  # many states (a PDE): look along their principal directions, gently
        _, _, principal = np.linalg.svd(samples.x - samples.x.mean(axis=0), full_matrices=False)
        few = min(8, n)
        rows = rng.standard_normal((q, few))
        rows = 0.1 * (rows / np.linalg.norm(rows, axis=1, keepdims=True)) @ principal[:few] * np.sqrt(n)
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
