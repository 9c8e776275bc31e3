"""Estimators tuned on the same trajectories as the learned observer, for a fair comparison.

    error       minimise  mean over four quarters of the time of log(mean |e|^2),   e in ranges, from wrong initial estimates
    likelihood  minimise  mean of (nu' S^-1 nu + log det S) / 2 over the innovations nu and their covariances S

The logarithm keeps transient and noise floor apart: whichever is worse cannot hide the other. Positive tuning parameters are searched on a
log scale: a sweep of the motion's size, then Nelder and Mead from the best; the best five on the training part are compared
on trajectories held out. Own loop around ``scipy.optimize``: an estimator that diverges must lose and not stop the search.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from observer.estimators import ESTIMATORS, get_estimator, make, tuning_parameters
from observer.estimators.consistency import innovations
from observer.estimators.gaussian import GaussianFilter
from observer.estimators.parameters import TuningParameter
from observer.known_plant import KnownPlant
from observer.state_observer import StateObserver
from systems.angles import wrap
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories, draw_initial_states

OBJECTIVES = ("error", "likelihood")
EVALUATIONS = 80
WORST = 10.0  # ranges: an error beyond them counts as this, and so does one that is no number
QUARTERS, KEPT = 4, 5
SHARING = "extended_kalman"  # filters with the same tuning parameters begin at its values
FEW = 8  # trajectories for what costs many times as much per sample
FLOOR = 1e-16  # of a squared range: what no sensor resolves
SWEEP = (1.0, 0.1, 10.0, 0.01, 100.0)
MANY = 8  # tuning parameters; above, all motions share one factor and all noises another
GROWTH = 0.01  # of the error that a consistent covariance may cost


@dataclass(frozen=True, eq=False)
class Tuned:
    """A tuned estimator: its ``values`` by parameter, the objective on training and held-out trajectories, and for the defaults."""

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
    """The objective over logarithms of factors of the tuning parameters, with a memory of all that was tried."""

    def __init__(
        self, found: Sequence[TuningParameter], loss: Callable[[Mapping[str, float]], float], evaluations: int,
        seconds: float | None,
    ) -> None:  # fmt: skip
        self.defaults = {parameter.name: parameter.default for parameter in found}
        self.bounds = {parameter.name: (parameter.low, parameter.high) for parameter in found}
        self.groups = _groups(list(self.defaults))
        self.base, self.loss, self.allowed = self.defaults, loss, evaluations
        self.stop = None if seconds is None else time.perf_counter() + seconds
        self.tried: list[tuple[float, dict[str, float]]] = []
        self.timed_out = False

    def __call__(self, point: np.ndarray) -> float:
        if len(self.tried) >= self.allowed:
            raise _Spent
        if self.stop is not None and self.tried and time.perf_counter() > self.stop:
            self.timed_out = True
            raise _Spent
        raw = {name: self.base[name] * np.exp(point[k]) for k, group in enumerate(self.groups) for name in group}
        values = {name: float(np.clip(raw[name], *self.bounds[name])) for name in self.defaults}
        self.tried.append((self.loss(values), values))
        return self.tried[-1][0]

    def run(self, start: Mapping[str, float] | None) -> str:
        """Sweep, then Nelder and Mead from the best; how it ended."""
        groups = self.groups
        try:
            if start is not None:
                self.base = {**self.defaults, **{k: v for k, v in start.items() if k in self.defaults}}
                self(np.zeros(len(groups)))
                self.base = self.defaults
            for factor in SWEEP:
                self(np.array([np.log(factor) if group[0].startswith("q_") or k == 0 else 0.0
                               for k, group in enumerate(groups)]))  # fmt: skip
            self.base = min(self.tried, key=lambda item: item[0])[1]
            simplex = np.vstack([np.zeros(len(groups)), 1.5 * np.eye(len(groups))])
            minimize(
                self, simplex[0], method="Nelder-Mead",
                options={"initial_simplex": simplex, "maxfev": self.allowed, "xatol": 0.02, "fatol": 1e-3, "adaptive": True},
            )  # fmt: skip
        except _Spent:
            return "stopped at the time limit" if self.timed_out else "stopped at the limit of evaluations"
        return "converged"


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
    """The tuning parameters of an estimator, chosen on trajectories with true x and y as measured (with the noise it will meet).

    Parameters
    ----------
    objective : ``error`` or, for what has a covariance, ``likelihood``.
    evaluations : runs over the training part at most. seconds : stop early after this time (the result then depends on the
        machine; without it the same seed gives the same result).
    held_out : share of the trajectories by which the best candidates are compared.
    start : values to try first, as those of another filter with the same tuning parameters.

    Raises
    ------
    InputError
        For unknown names, trajectories without x, and a likelihood where there is none.
    """
    if objective not in OBJECTIVES:
        raise InputError(f"objective is {objective!r}; expected {' or '.join(OBJECTIVES)}")
    if isinstance(evaluations, bool) or not isinstance(evaluations, int) or evaluations < 1:
        raise InputError(f"evaluations is {evaluations!r}; expected a whole number, 1 or more")
    begun = time.perf_counter()
    found = tuning_parameters(kind, plant)
    if objective == "likelihood" and not isinstance(make(kind, plant), GaussianFilter):
        raise InputError(f"{kind} has no covariance, so its innovations have no likelihood; use objective='error'")
    if objective == "error" and not np.isfinite(trajectories.x).any():
        raise InputError("the trajectories have no x, so there is no error to minimise; use objective='likelihood'")
    train, rest = trajectories.split(held_out, seed)
    losses = [_loss_on(kind, plant, part, objective, seed) for part in (train, rest)]
    defaults = {parameter.name: parameter.default for parameter in found}
    if not found:
        values, loss, count, message = defaults, losses[0]({}), 1, "nothing to tune"
    else:
        search = _Search(found, losses[0], evaluations, seconds)
        message, count = search.run(start), len(search.tried)
        ranked = sorted(search.tried, key=lambda item: item[0])[:KEPT]
        loss, values = min(ranked, key=lambda item: losses[1](item[1]))
        if objective == "error":
            values = _consistent(kind, plant, train, values, losses[0], search.bounds, seed)
    return Tuned(
        kind, make(kind, plant, **values), values, objective, loss, losses[1](values), losses[1](defaults),
        count, time.perf_counter() - begun, message,
    )  # fmt: skip


def tune_each(
    plant: DiscreteSystem,
    trajectories: Trajectories,
    kinds: Iterable[str] = ESTIMATORS,
    *,
    evaluations: int = EVALUATIONS,
    seed: int = 0,
    start: Mapping[str, float] | None = None,
) -> Iterator[tuple[str, Tuned | InputError]]:
    """Estimators tuned one after the other: (kind, the tuned one, or why it cannot serve this plant).

    The extended Kalman filter comes first, and filters with the same tuning parameters begin at its values; ``start``: values to begin at
    where it is not among ``kinds``. An estimator with an ``EXPENSE`` gets fewer evaluations and trajectories.
    """
    for kind in sorted(kinds, key=lambda name: name != SHARING):
        expense = getattr(get_estimator(kind), "EXPENSE", 1)
        few = trajectories if expense == 1 else trajectories.subset(np.arange(min(len(trajectories), FEW)))
        try:
            found = tune(kind, plant, few, evaluations=max(3, evaluations // expense), seed=seed, start=start)
        except InputError as error:
            yield kind, error
            continue
        start = found.values if kind == SHARING else start
        yield kind, found


def _groups(names: list[str]) -> list[list[str]]:
    """Which tuning parameters move together."""
    if len(names) <= MANY:
        return [[name] for name in names]
    return [[name for name in names if name.startswith(letter)] for letter in ("q_", "r_")]


def initial_estimates(plant: DiscreteSystem, count: int, seed: int) -> np.ndarray:
    """``(count, nx)`` initial estimates, drawn from the initial box without regard to the initial states of the plant."""
    return draw_initial_states(plant.system, count, seed + 7919)


def _loss_on(
    kind: str, plant: DiscreteSystem, data: Trajectories, objective: str, seed: int
) -> Callable[[Mapping[str, float]], float]:
    """The objective as a function of the values of the tuning parameters; large and finite for what cannot be made or diverges."""
    x_hat0 = initial_estimates(plant, len(data), seed)

    def loss(values: Mapping[str, float]) -> float:
        try:
            observer = make(kind, plant, **values)
        except InputError:
            return float(np.log(WORST**2))
        with np.errstate(all="ignore"):
            if objective == "error":
                return error_loss(plant, data.x, observer.run(x_hat0, data.u, data.y))
            assert isinstance(observer, GaussianFilter)
            nu, s = innovations(observer, x_hat0, data.u, data.y)
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


def _consistent(
    kind: str,
    plant: DiscreteSystem,
    data: Trajectories,
    values: dict[str, float],
    loss: Callable[[Mapping[str, float]], float],
    bounds: Mapping[str, tuple[float, float]],
    seed: int,
) -> dict[str, float]:
    """Q and R scaled together by the size of the late innovations: the gains stay, and the covariance becomes that of the
    errors. Kept only where the error does not grow by more than ``GROWTH``."""
    observer = make(kind, plant, **values)
    if not isinstance(observer, GaussianFilter):
        return values
    with np.errstate(all="ignore"):
        nu, s = innovations(observer, initial_estimates(plant, len(data), seed), data.u, data.y)
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
