"""What a faster rate costs: the projection observer's noise along metrics of growing condition number (MATH 2h).

The projection observer x_hat+ = f(x_hat + K (y - h(x_hat)), u), K = M^-1 C' (C M^-1 C')^-1, driven by measurement noise n has

    e+ = A (I - K C) e + A K n                                     to first order, A and C at the plant's state
    |e_t|_M <= alpha^t |e_0|_M + gain sup|n|,                      gain = sup |A K N|_M / (1 - alpha),  N = diag(noise)
    P = A (I - K C) P (I - K C)' A' + A K N^2 K' A' + Q            covariance of e under white noise n, and process noise of Q

``noise`` is the square root of the diagonal of P, root mean square over the points of the region with A and C frozen there: exact
for a linear plant, an estimate for others. ``peak`` is what e+ = A (I - K C) e makes of an initial error on its way to zero, likewise.
One point of the curve belongs to one bound on the condition number of the metric.
"""

from dataclasses import dataclass

import numpy as np

from systems.detectability.coordinates import SPEEDS, observability_coordinates
from systems.detectability.jacobians import FULL_METRIC_UP_TO, Jacobians, sample_jacobians
from systems.detectability.metric_search import MetricSearch, search_metric
from systems.discretization import DiscreteSystem
from systems.process_noise import sample_deviation

CONDITIONS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)
NOMINAL_NOISE = 0.005  # of an output's half range, where no output states its noise
SETTLED = 0.02
USELESS = SETTLED ** (1 / 1000)  # an observer slower than 1000 samples is of no use
POINTS, POINTS_WHEN_WIDE = 256, 32  # up to FULL_METRIC_UP_TO states and above
TRANSIENT = 30  # samples in which an initial error is followed to its peak
LARGEST = 3000.0  # condition number of a metric in observability coordinates, which hold the rest


@dataclass(frozen=True, eq=False)
class TradeOff:
    """The curve of settling time against noise; the faster a point, the higher its noise gain.

    Columns of length k, one row per metric: ``condition`` of the metric, ``rate`` (fastest rate per sample it allows),
    ``settling_time`` in seconds (|e|_M to 2 % at that rate, infinite for a rate of 1 or more), ``gain`` in |.|_M per standard
    deviation of the outputs, ``noise`` ``(k, nx)`` steady-state standard deviation per state in physical units, ``speed``
    l dt of the observability coordinates, 0 for the plain states. ``output_noise`` ``(ny,)``: the standard deviations
    used; ``assumed`` when none is stated and 0.5 % of the half range is used instead. ``chosen``: the row in use, or -1.
    ``peak`` ``(k, nx)``: the largest error, in ranges, that an initial error within the initial ranges grows to before it decays, of
    the same observer (None in older files).
    """

    condition: np.ndarray
    rate: np.ndarray
    settling_time: np.ndarray
    gain: np.ndarray
    noise: np.ndarray
    speed: np.ndarray
    output_noise: np.ndarray
    assumed: bool
    chosen: int = -1
    peak: np.ndarray | None = None


def settling_time(rate: float, dt: float) -> float:
    """Seconds in which |e|_M falls to 2 % at ``rate`` per sample: dt ln(0.02) / ln(rate); a sample at rate 0."""
    if not rate < 1:
        return float("inf")
    return dt * max(1.0, float(np.log(SETTLED) / np.log(rate))) if rate > 0 else dt


def output_noise(plant: DiscreteSystem, jacobians: Jacobians) -> tuple[np.ndarray, bool]:
    """(standard deviation of every row of C ``(ny,)`` in its unit, whether it had to be assumed); equalities have none."""
    stated = np.array([signal.noise for signal in plant.system.outputs], dtype=float)
    exact = np.zeros(jacobians.c.shape[1] - plant.ny)
    if (stated > 0).any():
        return np.concatenate([stated, exact]), False
    scale = np.ones(plant.ny) if jacobians.output_scale is None else jacobians.output_scale[: plant.ny]
    return np.concatenate([NOMINAL_NOISE * scale, exact]), True


def noise_of(
    found: MetricSearch,
    jacobians: Jacobians,
    noise: np.ndarray,
    initial: np.ndarray | None = None,
    process: np.ndarray | None = None,
) -> tuple[float, np.ndarray, np.ndarray]:
    """(gain, standard deviation, peak per state) of the projection observer of a metric; physical units where the Jacobians have them.

    ``noise`` ``(ny,)``: standard deviations of the outputs, ``initial`` ``(nx,)``: largest initial errors, in their units (half the
    region when left out), ``process`` ``(nx,)``: what a sample of process noise adds. All are infinite where the metric does not contract.
    """
    nx = jacobians.a.shape[1]
    if not found.rate < 1:
        return float("inf"), np.full(nx, np.inf), np.full(nx, np.inf)
    most = POINTS if nx <= FULL_METRIC_UP_TO else POINTS_WHEN_WIDE
    few = np.linspace(0, len(jacobians.a) - 1, min(most, len(jacobians.a))).astype(int)
    a, c = jacobians.a[few], jacobians.c[few]
    scale = np.ones(nx) if jacobians.scale is None else jacobians.scale
    sd = noise / (np.ones(len(noise)) if jacobians.output_scale is None else jacobians.output_scale)
    metric = found.scaled_metric
    inverse = np.linalg.inv(metric)
    ct = np.transpose(c, (0, 2, 1))
    k = inverse @ ct @ np.linalg.pinv(c @ inverse @ ct, rcond=1e-12, hermitian=True)
    through = a @ k * sd
    factor = np.linalg.cholesky(metric).T
    gain = float(np.linalg.svd(factor @ through, compute_uv=False)[:, 0].max(initial=0.0)) if len(noise) else 0.0
    closed = a @ (np.eye(nx) - k @ c)
    peak = scale * _peak(closed, np.ones(nx) if initial is None else initial / scale)
    p = through @ np.transpose(through, (0, 2, 1)) + np.diag(
        (np.zeros(nx) if process is None else process / scale) ** 2
    )
    for _ in range(40):  # doubling: P is the sum of F^j Q F^j' over 2^i terms
        added = closed @ p @ np.transpose(closed, (0, 2, 1))
        p = p + added
        closed = closed @ closed
        if not np.abs(added).max() > 1e-10 * np.abs(p).max():
            break
    variance = np.einsum("mii->mi", p).mean(axis=0)
    return gain / (1 - found.rate), scale * np.sqrt(variance), peak


def _peak(closed: np.ndarray, initial: np.ndarray) -> np.ndarray:
    """The largest error of each state ``(nx,)`` that the error dynamics ``(m, nx, nx)`` make of any e_0 with |e_0| <= ``initial``."""
    power, peak = closed, np.zeros(len(initial))
    for _ in range(TRANSIENT):
        peak = np.maximum(peak, (np.abs(power) @ initial).max(axis=0))
        power = power @ closed
    return peak


def trade_off(
    plant: DiscreteSystem,
    region: np.ndarray | None = None,
    *,
    jacobians: Jacobians | None = None,
    conditions: tuple[float, ...] = CONDITIONS,
    seed: int = 0,
    coordinates: bool = True,
) -> tuple[TradeOff, tuple[MetricSearch, ...]]:
    """The curve and, row by row, the metrics behind it.

    Where the plain states allow nothing useful at the largest condition number (``USELESS``), observability coordinates are
    tried too (unless ``coordinates`` is False), and the rows that no other one beats in both rate and noise are kept.
    """
    jacobians = sample_jacobians(plant, region, seed=seed) if jacobians is None else jacobians
    found = _along(jacobians, conditions)
    if coordinates and min(s.rate for _, s in found) > USELESS and plant.nx <= FULL_METRIC_UP_TO:
        found += in_observability_coordinates(plant, jacobians, conditions)
    return curve(plant, jacobians, found), tuple(s for _, s in found)


def in_observability_coordinates(
    plant: DiscreteSystem, jacobians: Jacobians, conditions: tuple[float, ...] = CONDITIONS
) -> list[tuple[float, MetricSearch]]:
    """(speed, metric) from slow to fast over all speeds and condition numbers: those that no other beats in both rate and noise."""
    found: list[tuple[float, MetricSearch]] = []
    smaller = tuple(k for k in conditions if 10 <= k < LARGEST)
    for speed in SPEEDS:
        basis = observability_coordinates(plant, jacobians, speed)
        if basis is not None:
            last = search_metric(jacobians=jacobians, condition=min(LARGEST, conditions[-1]), coordinates=basis)
            if last.rate < USELESS:  # else smaller condition numbers are slower still
                found += _along(jacobians, smaller, basis, speed)
            found.append((speed, last))
    scale = np.ones(plant.nx) if jacobians.scale is None else jacobians.scale
    deviation = curve(plant, jacobians, found).noise / scale if found else np.zeros((0, 1))
    order = sorted(range(len(found)), key=lambda k: (found[k][1].rate, deviation[k].max()))
    kept: list[int] = []
    for k in order:  # from fast to slow: a slower row is kept where its noise gain is lower
        if found[k][1].rate < 1 and (not kept or deviation[k].max() < 0.98 * deviation[kept[-1]].max()):
            kept.append(k)
    return [found[k] for k in reversed(kept or order[:1])]


def _along(
    jacobians: Jacobians, conditions: tuple[float, ...], basis: np.ndarray | None = None, speed: float = 0.0
) -> list[tuple[float, MetricSearch]]:
    """Metrics of growing condition number, each search started from the metric before."""
    found: list[tuple[float, MetricSearch]] = []
    for k in conditions:
        start = found[-1][1] if found else None
        found.append((speed, search_metric(jacobians=jacobians, condition=k, coordinates=basis, start=start)))
    return found


def curve(plant: DiscreteSystem, jacobians: Jacobians, found: list[tuple[float, MetricSearch]]) -> TradeOff:
    """The columns of a trade-off from (speed, metric) pairs."""
    sd, assumed = output_noise(plant, jacobians)
    initial, width = (np.ptp(box, axis=1) for box in (plant.system.initial_ranges, plant.system.state_ranges))
    process = sample_deviation(plant)
    costs = [noise_of(item, jacobians, sd, initial, process) for _, item in found]
    return TradeOff(
        condition=np.array([item.condition for _, item in found]),
        rate=np.array([item.rate for _, item in found]),
        settling_time=np.array([settling_time(item.rate, plant.dt) for _, item in found]),
        gain=np.array([gain for gain, *_ in costs]),
        noise=np.array([noise for _, noise, _ in costs]).reshape(len(found), plant.nx),
        peak=np.array([peak for *_, peak in costs]).reshape(len(found), plant.nx) / width,
        speed=np.array([speed for speed, _ in found]),
        output_noise=sd[: plant.ny],
        assumed=assumed,
    )
