"""The choice of the contraction rate, and the refusal of one that no observer can reach (MATH 2h).

Without a request ("auto") the rate follows from the trade-off between speed and noise. On the plants of the library that curve
is nearly straight on log axes, noise growing like 1/time or faster, so that it has no knee to look for. The rule is a level:

    the fastest metric at which the noise of the outputs moves no estimated state by more than 2 % of its range (one standard
    deviation; where no output states its noise, 0.5 % of its half range is taken), but no larger a condition number than is
    needed to come within 15 % of that settling time, and no faster than four of the plant's own time constants. Metrics in
    which an initial error grows beyond five ranges before it decays are left aside while there are others.

2 % of range is where validation counts an error as settled. Above it the noise alone would keep an estimate from settling.
"""

from dataclasses import replace

import numpy as np

from systems.base.errors import InputError, NotDetectable
from systems.detectability import (
    CONDITIONS,
    FULL_METRIC_UP_TO,
    SETTLED,
    USELESS,
    Jacobians,
    MetricSearch,
    Narrowing,
    ResidualLowerBound,
    TradeOff,
    curve,
    narrowings,
    residual_lower_bound,
    sample_jacobians,
    search_metric,
    settling_time,
    trade_off,
)
from systems.discretization import DiscreteSystem
from systems.integration import time_scales
from systems.observability import UnobservableModes, unobservable_directions
from systems.observability.mirrors import mirror_sentences
from systems.observability.places import TRAJECTORY
from systems.observability.unobservable import KINDS

NOISE_SHARE = 0.02  # of a state's range
STATED_SHARE = 0.015  # the same where the noise is stated, and trials with it are judged: their RMS varies
HIGHEST_PEAK = 5.0  # ranges: without a request, slower metrics whose transient stays below are preferred
CLOSE = 1.15  # settling times that count as equally fast
WORTHWHILE = SETTLED ** (1 / 2000)  # what a narrower region has to reach to be proposed: 2000 samples to settle
BLIND = 1 - 2e-4  # without a request: slower than this (20,000 samples to settle) counts as undetectable
TRIED, TRIED_WHEN_PROVED = 6, 2  # metrics, the fastest first, in which the lower bound of a residual is sought
WIDE_ENOUGH = 1.2  # with many states: stop searching when this much of the distance to 1 is to spare


def rate_margin(rate: float) -> float:
    """The smallest useful bound when ``rate`` is the fastest possible: neurons need a rate margin.

    7 % above the fastest rate, or half of the remaining distance to 1 where that is closer.
    """
    return min(1.07 * rate, 1 - 0.5 * (1 - rate))


def rate_of_settling(settling_time: float, dt: float) -> float:
    """Contraction rate per sample at which |e|_M falls to 2 % in ``settling_time`` seconds: 0.02^(dt/T)."""
    return SETTLED ** (dt / settling_time)


def requested_rate(
    settling_time: float | str | None, contraction_rate: float | None, condition: float | None, dt: float
) -> float | None:
    """The rate per sample that was asked for, None for "auto". Raises :class:`InputError` for invalid requests."""
    automatic = settling_time is None or (isinstance(settling_time, str) and settling_time.strip().lower() == "auto")
    if settling_time is not None and contraction_rate is not None:
        raise InputError("both settling_time and contraction_rate are given; give one")
    if not automatic and (
        isinstance(settling_time, str | bool) or not (np.isfinite(settling_time) and settling_time > 0)  # type: ignore[operator,arg-type]
    ):
        raise InputError(f"settling_time is {settling_time!r}; expected a positive number of seconds, or 'auto'")
    if contraction_rate is not None and not 0 < contraction_rate < 1:
        raise InputError(
            f"contraction_rate is {contraction_rate!r}; expected a number per sample between 0 and 1, not 1: it would guarantee no rate"
        )
    if condition is not None and not condition >= 1:
        raise InputError(f"condition is {condition!r}; expected a number, 1 or more")
    if contraction_rate is not None:
        return contraction_rate
    return None if automatic else rate_of_settling(float(settling_time), dt)  # type: ignore[arg-type]


def choose_rate(
    plant: DiscreteSystem,
    region: np.ndarray,
    settling_time: float | str | None = None,
    contraction_rate: float | None = None,
    condition: float | None = None,
    seed: int = 0,
    points: np.ndarray | None = None,
    visited: np.ndarray | None = None,
) -> tuple[float, MetricSearch, tuple[str, ...]]:
    """(rate bound, metric, warnings): the smallest condition number whose metric allows the rate; the metric carries the curve.

    ``settling_time`` in seconds, or "auto" (also when left out): the rule above. ``points`` ``(m, nx + nu)``: where to look,
    instead of all over the region; ``visited``: where to look when nothing useful is found all over the region. An unobservable
    direction that decays at the rate on its own is a warning, as no observer is faster in it.

    Raises :class:`NotDetectable` when no metric reaches the rate, or an unobservable direction does not decay at it, with the
    fastest rate found, the undetectable direction, and a lower bound on the error of every observer; :class:`InputError` for
    invalid requests.
    """
    asked = requested_rate(settling_time, contraction_rate, condition, plant.dt)
    jacobians = sample_jacobians(plant, region, seed=seed, points=points)
    if plant.nx > FULL_METRIC_UP_TO:
        table, metrics = _wide(plant, jacobians, asked, condition)
    else:
        conditions = CONDITIONS if condition is None else (condition,)
        table, metrics = trade_off(plant, jacobians=jacobians, conditions=conditions, coordinates=False)
        if table.rate.min() > USELESS:
            everywhere = jacobians, table, metrics
            # Corners of a region that the plant never visits may ask for what it does not: look where it was, if that is known.
            if visited is not None and points is None:
                jacobians = sample_jacobians(plant, region, points=visited)
            table, metrics = trade_off(plant, jacobians=jacobians, conditions=conditions)
            metrics = tuple(replace(m, along_trajectories=visited is not None and points is None) for m in metrics)
            if table.rate.min() >= BLIND:  # nothing is gained: the refusal refers to the whole region
                jacobians, table, metrics = everywhere
    where = points if points is not None else visited
    unobservable = unobservable_directions(plant, region, visited=where, seed=seed, thorough=False)
    # Places that the plant never visits do not count where the metric does not hold there either.
    unseen = unobservable.slowest((TRAJECTORY,) if any(m.along_trajectories for m in metrics) else KINDS)
    warnings: list[str] = []
    rate = asked
    if rate is None:
        fastest = min(metrics, key=lambda item: item.rate)
        if fastest.rate >= BLIND or (unseen is not None and unseen.rate >= BLIND):
            raise _refusal(plant, region, jacobians, table, metrics, None, _natural(plant), unseen)
        rate = _automatic(plant, jacobians, table, warnings)
        if unseen is not None:
            rate = max(rate, rate_margin(unseen.rate))
    elif unseen is not None and unseen.rate >= rate:
        raise _refusal(plant, region, jacobians, table, metrics, asked, rate, unseen)
    enough = [k for k, item in enumerate(metrics) if rate_margin(item.rate) <= rate * (1 + 1e-9)]
    half = np.ones(plant.nx) if jacobians.scale is None else jacobians.scale
    gain = np.max(table.noise / half, axis=1)
    low = [k for k in enough if gain[k] <= 1.05 * gain[enough].min()]
    chosen = low[0] if low else int(np.argmin(table.rate))
    found = replace(metrics[chosen], trade_off=replace(table, chosen=chosen))
    if found.rate >= rate:
        raise _refusal(plant, region, jacobians, table, metrics, asked, rate, unseen)
    if unseen is not None:
        warnings.append(
            f"unobservable: {unseen.text(plant.system)}; it decays fast enough for the rate in use, but no observer is faster there"
        )
    if asked is None and rate > WORTHWHILE and unseen is None:
        proposals = narrowings(plant, region, jacobians, WORTHWHILE)
        if proposals:
            warnings.append(f"slow: hardly anything contracts near {_place(plant, found.where)}; {_or(proposals)}")
    if rate_margin(found.rate) > rate * (1 + 1e-6) and plant.nx <= FULL_METRIC_UP_TO:
        warnings.append(
            f"the requested rate {rate:.4g} per sample is close to the fastest possible one ({found.rate:.4g}): "
            "the residual may stay large; "
            f"a settling time of {np.log(SETTLED) / np.log(rate_margin(found.rate)) * plant.dt:.3g} {plant.system.time_unit} or more "
            "leaves room"
        )
    return rate, found, tuple(warnings)


def _natural(plant: DiscreteSystem) -> float:
    """Four of the plant's own time constants as a rate, from one to 1000 samples to settle."""
    own = time_scales(plant.system)[1] if plant.system.kind == "continuous" else np.inf
    natural = rate_of_settling(4 * own, plant.dt) if np.isfinite(own) else 0.0
    return float(np.clip(natural, SETTLED, USELESS))


def _automatic(plant: DiscreteSystem, jacobians: Jacobians, table: TradeOff, warnings: list[str]) -> float:
    """The rule of this module; a warning when even the metric of the lowest noise gain passes more noise than allowed."""
    half = np.ones(plant.nx) if jacobians.scale is None else jacobians.scale
    share = np.max(table.noise / (2 * half), axis=1)
    useful = table.rate < (USELESS if table.rate.min() < USELESS else BLIND)
    allowed = NOISE_SHARE if table.assumed else STATED_SHARE
    low = useful & (share <= allowed)
    assert table.peak is not None  # of a curve that was found just now
    calm = low & (np.max(table.peak, axis=1) <= HIGHEST_PEAK)
    low = calm if calm.any() else low
    if low.any():
        fastest = table.settling_time[low].min()
        row = int(np.flatnonzero(low & (table.settling_time <= CLOSE * fastest))[0])
    else:
        row = int(np.argmin(np.where(useful, share, np.inf)))
        worst = int(np.argmax(table.noise[row] / half))
        assumed = "assumed" if table.assumed else "stated"
        warnings.append(
            f"noise: at every rate the {assumed} noise of the outputs moves {plant.system.state_names[worst]} by more than "
            f"{100 * allowed:g} % of its range (by {100 * share[row]:.3g} % or more, one standard deviation); "
            "the slowest rates pass the least noise; a better sensor or one more output would help"
        )
    return max(_natural(plant), rate_margin(float(table.rate[row])))


def _wide(
    plant: DiscreteSystem, jacobians: Jacobians, asked: float | None, condition: float | None
) -> tuple[TradeOff, tuple[MetricSearch, ...]]:
    """With many states a search takes long: condition number 1 first, and larger ones only until the rate is reached."""
    metrics: list[MetricSearch] = []
    for bound in (condition,) if condition is not None else CONDITIONS:
        metrics.append(search_metric(jacobians=jacobians, condition=bound, start=metrics[-1] if metrics else None))
        rate = metrics[-1].rate
        if rate < 1 if asked is None else rate <= 1 - WIDE_ENOUGH * (1 - asked) or rate_margin(rate) <= asked:
            break
    return curve(plant, jacobians, [(0.0, item) for item in metrics]), tuple(metrics)


def _bound(
    plant: DiscreteSystem,
    region: np.ndarray,
    jacobians: Jacobians,
    metrics: tuple[MetricSearch, ...],
    rate: float,
    tried: int,
) -> ResidualLowerBound | None:
    """The lower bound of the residual: of the metrics tried, the one most favourable to its worst state."""
    half = np.ones(plant.nx) if jacobians.scale is None else jacobians.scale
    kindest: ResidualLowerBound | None = None
    few = sorted(metrics, key=lambda item: item.rate)[:tried]
    for item in few:
        bound = residual_lower_bound(
            plant, item.scaled_metric / half / half[:, None], rate, region, pairs=1024, iterations=40
        )
        if kindest is None or np.max(bound.state_error / half) < np.max(kindest.state_error / half):
            kindest = bound
    return kindest if kindest is not None and kindest.residual > 0 else None


def _place(plant: DiscreteSystem, point: np.ndarray) -> str:
    names = (*plant.system.state_names, *plant.system.input_names)
    return ", ".join(f"{n}={v + 0.0:.3g}" for n, v in zip(names, point, strict=True))


def range_constraints(plant: DiscreteSystem, point: np.ndarray) -> tuple[str, str]:
    """(the states of which ``point`` is beyond the stated range, the [region] that ends motions there); empty where there are none."""
    states, slack = plant.system.states, 1e-9 * np.ptp(plant.system.state_ranges, axis=1)
    left = [
        s for s, v, wide in zip(states, point, slack, strict=False)
        if s.range and s.period is None and not s.range[0] - wide <= v <= s.range[1] + wide
    ]  # fmt: skip
    rows = ", ".join(f'"{s.range[0]:g} <= {s.name} <= {s.range[1]:g}"' for s in left if s.range)
    return " and ".join(s.name for s in left), f"[region] constraints = [{rows}]"


def _stay(plant: DiscreteSystem, point: np.ndarray) -> str:
    """The way out where a point lies beyond the stated ranges, to which the region was enlarged as motions leave them."""
    names, constraints = range_constraints(plant, point)
    return (
        f"that is beyond the range of {names}, which motions leave: let them end there ({constraints}); or "
        if names
        else ""
    )


def _or(proposals: tuple[Narrowing, ...]) -> str:
    return "; or ".join(item.text for item in proposals)


def _refusal(
    plant: DiscreteSystem,
    region: np.ndarray,
    jacobians: Jacobians,
    table: TradeOff,
    metrics: tuple[MetricSearch, ...],
    asked: float | None,
    rate: float,
    unseen: UnobservableModes | None,
) -> NotDetectable:
    """The error of an impossible rate, with its numbers; ``rate`` is the required rate, or the one that would have been chosen.

    ``unseen``: the slowest unobservable direction. Where it prevents the rate, the message names this direction and its place.
    """
    found = min(metrics, key=lambda item: item.rate)
    system, fastest, dt = plant.system, found.rate, plant.dt
    names = system.state_names
    direction, place, never = found.direction, found.where, ""
    limit = BLIND if asked is None else asked
    if unseen is not None and unseen.rate >= limit:
        fastest = max(fastest, unseen.rate)
        direction, place = unseen.direction, unseen.point
        never = f" No gain of any observer changes that: {unseen.text(system, limit)}."
    parts = [f"{v:+.2g} {n}" for n, v in zip(names, direction, strict=True) if abs(v) > 0.05]
    where = _place(plant, place)
    seen = fastest < BLIND
    seconds = (
        f"settling time {settling_time(fastest, dt):.3g} {system.time_unit}" if seen else "that is, it does not decay"
    )
    wanted = (
        f"the requested rate {asked:.6g} per sample (settling time {settling_time(asked, dt):.3g} {system.time_unit})"
        if asked is not None
        else "any rate below 1"
    )
    advice = (
        "ask for a longer settling time, or add a measurement"
        if seen
        else "measure another state, or narrow the ranges to where the outputs show this direction"
    )
    advice = _stay(plant, place) + advice
    mirrors = mirror_sentences(plant, region)
    never += "".join(f" {text[0].upper()}{text[1:]}." for text in mirrors)
    if not never:
        proposals = narrowings(plant, region, jacobians, limit if asked is not None else WORTHWHILE)
        advice = f"{_or(proposals)}; or {advice}" if proposals else advice
    bound = _bound(plant, region, jacobians, metrics, rate, TRIED_WHEN_PROVED if never else TRIED)
    lower = ""
    if bound is not None:
        errors = ", ".join(
            f"{value:.2g} {signal.unit}".rstrip() + f" in {signal.name}"
            for signal, value in zip(system.states, bound.state_error, strict=True)
        )
        pair = " and ".join("(" + ", ".join(f"{v:.3g}" for v in row) + ")" for row in bound.pair)
        lower = (
            f" At {rate:.6g} per sample no contracting observer can guarantee errors below {errors}, in the most favourable metric tried: "
            f"the states {pair} have equal outputs and move apart, so that one residual is at least {bound.residual:.2g} in |.|_M."
        )
    return NotDetectable(
        f"no observer of '{system.name}' contracts at {wanted} in a constant metric: the fastest rate found is {fastest:.6g} per "
        f"sample ({seconds}, condition number {found.condition:.3g}). The undetectable direction, from "
        f"{', '.join(system.output_names)}, is ({' '.join(parts)}), in parts of each half range, near {where}; {advice}.{never}{lower}",
        requested_rate=asked, fastest_rate=fastest, settling_time=settling_time(fastest, dt) if seen else float("inf"),
        direction=direction, where=place, residual_bound=bound, trade_off=table,
    )  # fmt: skip
