"""The baselines tuned on the same trajectories as the learned observer, so that nobody can say they were tuned to lose.

    error       minimise  mean over four quarters of the time of log(mean |e|^2),   e in ranges, from wrong first estimates
    likelihood  minimise  mean of (nu' S^-1 nu + log det S) / 2 over the innovations nu and their covariances S

The logarithm keeps transient and noise floor apart: whichever is worse cannot hide the other. Positive knobs are searched on a
log scale: a sweep of the motion's size, then Nelder and Mead from the best; the best five on the training part are compared
on trajectories held out. Own loop around ``scipy.optimize``: an estimator that diverges must lose and not stop the search.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from observer.estimators import BASELINES, baseline, knobs, make
from observer.estimators.consistency import innovations
from observer.known_plant import KnownPlant, wrap
from observer.state_observer import StateObserver
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories, draw_initial_states

OBJECTIVES = ("error", "likelihood")
EVALUATIONS = 80
WORST = 10.0  # ranges: an error beyond them counts as this, and so does one that is no number
QUARTERS, KEPT = 4, 5
FLOOR = 1e-16  # of a squared range: what no sensor resolves
SWEEP = (1.0, 0.1, 10.0, 0.01, 100.0)
MANY = 8  # knobs; above, all motions share one factor and all noises another
GROWTH = 0.01  # of the error that a consistent covariance may cost


@dataclass(frozen=True, eq=False)
class Tuned:
    """A tuned baseline: its ``values`` by knob, the objective on training and held-out trajectories, and for the defaults."""

    kind: str
    observer: StateObserver
    values: Mapping[str, float]
    objective: str
    loss: float
    held_out: float
    default: float
    evaluations: int
    seconds: float
    message: str

    def to_data(self) -> dict[str, Any]:
        """JSON-able, without the observer."""
        names = ("kind", "objective", "loss", "held_out", "default", "evaluations", "seconds", "message")
        return {name: getattr(self, name) for name in names} | {"values": dict(self.values)}


class _Spent(Exception):
    """The budget is used up."""


class _Search:
    """The objective over logarithms of factors, with a memory of all that was tried."""

    def __init__(self, values_of: Callable, judge: Callable, evaluations: int, seconds: float | None) -> None:
        self.values_of, self.judge, self.allowed = values_of, judge, evaluations
        self.stop = None if seconds is None else time.perf_counter() + seconds
        self.tried: list[tuple[float, dict[str, float]]] = []
        self.timed_out = False

    def __call__(self, point: np.ndarray) -> float:
        if len(self.tried) >= self.allowed:
            raise _Spent
        if self.stop is not None and self.tried and time.perf_counter() > self.stop:
            self.timed_out = True
            raise _Spent
        values = self.values_of(point)
        self.tried.append((self.judge(values), values))
        return self.tried[-1][0]


def tune(
    kind: str,
    plant: DiscreteSystem,
    trajectories: Trajectories,
    *,
    objective: str = "error",
    evaluations: int = EVALUATIONS,
    seconds: float | None = None,
    held_out: float = 0.25,
    seed: int = 0,
    start: Mapping[str, float] | None = None,
) -> Tuned:
    """The knobs of a baseline chosen on trajectories with true x and y as measured (with the noise it will meet).

    Parameters
    ----------
    objective : ``error`` or, for what has a covariance, ``likelihood``.
    evaluations : runs over the training part at most. seconds : stop early after this time (the result then depends on the
        machine; without it the same seed gives the same result).
    held_out : share of the trajectories by which the best candidates are told apart.
    start : values to try first, as those of another filter with the same knobs.

    Raises :class:`InputError` for unknown names, trajectories without x, and a likelihood where there is none.
    """
    if objective not in OBJECTIVES:
        raise InputError(f"objective is {objective!r}; expected {' or '.join(OBJECTIVES)}")
    if isinstance(evaluations, bool) or not isinstance(evaluations, int) or evaluations < 1:
        raise InputError(f"evaluations is {evaluations!r}; expected a whole number, 1 or more")
    started = time.perf_counter()
    found = knobs(kind, plant)
    if objective == "likelihood" and not hasattr(make(kind, plant), "innovation"):
        raise InputError(f"{kind} has no covariance, so its innovations have no likelihood; use objective='error'")
    if objective == "error" and not np.isfinite(trajectories.x).any():
        raise InputError("the trajectories have no x, so there is no error to minimise; use objective='likelihood'")
    train, rest = trajectories.split(held_out, seed)
    losses = [_loss_on(kind, plant, part, objective, seed) for part in (train, rest)]
    defaults = {knob.name: knob.default for knob in found}
    if not found:
        return Tuned(
            kind, make(kind, plant), {}, objective, losses[0]({}), losses[1]({}), losses[1]({}), 1,
            time.perf_counter() - started, "nothing to tune",
        )  # fmt: skip
    groups = _groups([knob.name for knob in found])
    bounds = {knob.name: (knob.low, knob.high) for knob in found}

    def values_from(base: Mapping[str, float]) -> Callable:
        def values_of(point: np.ndarray) -> dict[str, float]:
            raw = {name: base[name] * np.exp(point[k]) for k, group in enumerate(groups) for name in group}
            return {name: float(np.clip(raw[name], *bounds[name])) for name in defaults}

        return values_of

    search = _Search(values_from(defaults), losses[0], evaluations, seconds)
    try:
        if start is not None:
            search.values_of = values_from({**defaults, **{k: v for k, v in start.items() if k in defaults}})
            search(np.zeros(len(groups)))
            search.values_of = values_from(defaults)
        for factor in SWEEP:
            search(np.array([np.log(factor) if group[0].startswith("q_") or k == 0 else 0.0
                             for k, group in enumerate(groups)]))  # fmt: skip
        search.values_of = values_from(min(search.tried, key=lambda item: item[0])[1])
        simplex = np.vstack([np.zeros(len(groups)), 1.5 * np.eye(len(groups))])
        minimize(
            search, simplex[0], method="Nelder-Mead",
            options={"initial_simplex": simplex, "maxfev": evaluations, "xatol": 0.02, "fatol": 1e-3, "adaptive": True},
        )  # fmt: skip
        message = "converged"
    except _Spent:
        message = "stopped after its time" if search.timed_out else "stopped after its evaluations"
    ranked = sorted(search.tried, key=lambda item: item[0])[:KEPT]
    chosen = min(ranked, key=lambda item: losses[1](item[1]))
    loss, values = chosen
    if objective == "error":
        values = _consistent(kind, plant, train, values, losses[0], bounds, seed)
    return Tuned(
        kind, make(kind, plant, **values), values, objective, loss, losses[1](values), losses[1](defaults),
        len(search.tried), time.perf_counter() - started, message,
    )  # fmt: skip


def tune_all(
    plant: DiscreteSystem,
    trajectories: Trajectories,
    kinds: tuple[str, ...] = BASELINES,
    *,
    evaluations: int = EVALUATIONS,
    seed: int = 0,
    seconds: float | None = None,
    report: Callable[[str], None] | None = None,
) -> tuple[dict[str, Tuned], dict[str, str]]:
    """(tuned baselines by name, why the others cannot serve this plant).

    The extended Kalman filter comes first; filters with the same knobs start from its values. What costs a hundred times as
    much per sample gets fewer evaluations. ``seconds`` is per baseline.
    """
    done: dict[str, Tuned] = {}
    refused: dict[str, str] = {}
    shared: Mapping[str, float] | None = None
    for kind in sorted(kinds, key=lambda name: name != "extended_kalman"):
        share = getattr(baseline(kind), "EXPENSE", 1)
        few = trajectories if share == 1 else trajectories.subset(np.arange(min(len(trajectories), 8)))
        try:
            done[kind] = tune(
                kind, plant, few, evaluations=max(3, evaluations // share), seed=seed, start=shared, seconds=seconds
            )
        except InputError as error:
            refused[kind] = str(error)
            continue
        if kind == "extended_kalman":
            shared = done[kind].values
        if report is not None:
            report(
                f"tuned {kind}: {done[kind].evaluations} evaluations, {done[kind].seconds:.1f} s, {done[kind].message}"
            )
    return {kind: done[kind] for kind in kinds if kind in done}, refused


def _groups(names: list[str]) -> list[list[str]]:
    """Which knobs move together."""
    if len(names) <= MANY:
        return [[name] for name in names]
    return [[name for name in names if name.startswith(letter)] for letter in ("q_", "r_")]


def first_estimates(plant: DiscreteSystem, count: int, seed: int) -> np.ndarray:
    """``(count, nx)`` first estimates, drawn from the initial box without regard to where the plant starts."""
    return draw_initial_states(plant.system, count, seed + 7919)


def _loss_on(kind: str, plant: DiscreteSystem, data: Trajectories, objective: str, seed: int) -> Callable:
    """The objective as a function of the values of the knobs; large and finite for what cannot be made or diverges."""
    starts = first_estimates(plant, len(data), seed)

    def loss(values: Mapping[str, float]) -> float:
        try:
            observer = make(kind, plant, **values)
        except InputError:
            return float(np.log(WORST**2))
        with np.errstate(all="ignore"):
            if objective == "error":
                return error_loss(plant, data.x, observer.run(starts, data.u, data.y))
            nu, s = innovations(observer, starts, data.u, data.y)
            return likelihood_loss(nu, s, data.y)

    return loss


def error_loss(plant: DiscreteSystem, x: np.ndarray, x_hat: np.ndarray) -> float:
    """Mean over the quarters of the time of log(mean squared error), errors ``(K, N, nx)`` in ranges; unknown x is left out."""
    model = KnownPlant(plant)
    error = np.abs(wrap(x_hat - x, model.state_periods)) / (2 * model.state_scale)
    squares = np.minimum(np.where(np.isfinite(x_hat), error, WORST), WORST) ** 2
    parts = np.array_split(np.arange(1, x.shape[1]), QUARTERS)
    means = [np.nanmean(squares[:, part]) for part in parts if len(part) and np.isfinite(x[:, part]).any()]
    return float(np.mean(np.log(np.maximum(means, FLOOR))))


def likelihood_loss(nu: np.ndarray, s: np.ndarray, y: np.ndarray) -> float:
    """Mean of (nu' S^-1 nu + log det S) / 2 over samples at which all outputs are there."""
    there = np.isfinite(y).all(axis=-1)
    good = np.isfinite(nu).all(axis=-1) & np.isfinite(s).all(axis=(-2, -1))
    if not (there & good).any() or (there & ~good).mean() > 0.01:
        return 1e12
    nu, s = nu[there & good], s[there & good]
    sign, logarithm = np.linalg.slogdet(s)
    quadratic = np.einsum("mi,mi->m", nu, np.linalg.solve(s, nu[..., None])[..., 0])
    return float(np.mean(0.5 * (quadratic + np.where(sign > 0, logarithm, 1e12))))


def _consistent(kind, plant, data, values, loss, bounds, seed):  # type: ignore[no-untyped-def]
    """Q and R scaled together by the size of the late innovations: the gains stay, and the covariance becomes that of the
    errors. Kept only where the error does not grow by more than ``GROWTH``."""
    observer = make(kind, plant, **values)
    if not hasattr(observer, "innovation"):
        return values
    with np.errstate(all="ignore"):
        nu, s = innovations(observer, first_estimates(plant, len(data), seed), data.u, data.y)
    half = nu.shape[1] // 2
    nu, s = nu[:, half:].reshape(-1, nu.shape[2]), s[:, half:].reshape(-1, *s.shape[2:])
    good = np.isfinite(nu).all(axis=1) & np.isfinite(s).all(axis=(1, 2))
    if not good.any():
        return values
    ratio = np.mean(np.einsum("mi,mi->m", nu[good], np.linalg.solve(s[good], nu[good][..., None])[..., 0])) / plant.ny
    factor = float(np.sqrt(ratio))
    if not 1e-6 < factor < 1e6:
        return values
    scaled = {name: float(np.clip(value * factor, *bounds[name])) for name, value in values.items()}
    return scaled if loss(scaled) <= loss(values) + 2 * np.log1p(GROWTH) else values
