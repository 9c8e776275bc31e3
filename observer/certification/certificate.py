"""The certificate of an observer: what is proved about it, with every number a reader needs to check it."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from observer.certification.bounds import Bounds
from observer.certification.contraction import Contraction, find_fault, lmi_margin, prove_contraction
from observer.certification.earlier_formats import brought_up
from observer.certification.identity import identity
from observer.known_plant import chosen_plant
from observer.networks.ren.explicit import ExplicitREN
from observer.state_observer import RENObserver
from systems.base.errors import InputError
from systems.base.records import from_plain, to_plain
from systems.discretization import DiscreteSystem
from systems.system import System

FORMAT = 3  # of a stored certificate; 1 had flat proofs, and no dt; 2 had searches that only a clock ended
RATE_TOLERANCE = 1e-9  # the proved rate may exceed the bound by this much
MARGIN_TOLERANCE = 1e-12
BUDGET, GAP = 60.0, 0.05  # seconds for all searches, some twelve times what they take, and the gap at which they stop
_TEST_AT = 1 + 1e-9  # at the proved rate itself the smallest eigenvalue is zero, of either sign after rounding


@dataclass(frozen=True, eq=False)
class Certificate:
    """Two estimates under the same measurements approach each other: |e+|_M <= rate |e|_M, for all states and inputs.

    With ``bounds``, also how far the estimate is from the state of the plant: |e|_M <= rate^k |e_0|_M + residual / (1 - rate).

    Attributes
    ----------
    rate : alpha*, per step, proved for the shipped weights. dt : seconds per step.
    rate_bound : the required rate, per step.
    metric : M (nx, nx), physical units. multipliers : Lam (nv,).
    metric_condition : condition number of M for states divided by half their ranges (free of units).
    lmi_margin : smallest eigenvalue of the certifying form, scaled to unit diagonal, at the proved rate (1 + 1e-9).
    gain_y, gain_u : |e+|_M per Euclidean unit of measurement error and of input error, in one step.
    state_gain : (nx,), |e_i| <= state_gain_i |e|_M, in the unit of state i.
    holds : every check passed. reason : a sentence, what is proved or which check failed.
    bounds : the residual over a region and what follows from it; None where it was not asked for.
    identity : fingerprints of all that it was derived from: every matrix, the plant, the options, and the metrics, multipliers and
        points that searches found.
    """

    rate: float
    dt: float
    rate_bound: float
    metric: np.ndarray
    multipliers: np.ndarray
    metric_condition: float
    lmi_margin: float
    gain_y: float
    gain_u: float
    state_gain: np.ndarray
    holds: bool
    reason: str
    bounds: Bounds | None = None
    identity: dict[str, str] = field(default_factory=dict)

    @property
    def rate_per_second(self) -> float:
        """-ln(rate) / dt [1/s]."""
        if math.isnan(self.rate):
            return math.nan
        return -math.log(self.rate) / self.dt if self.rate > 0 else math.inf

    def to_data(self) -> dict[str, Any]:
        """Plain data for JSON; a number that is not finite becomes None."""
        return {"certificate_format": FORMAT, **to_plain(self)}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> "Certificate":
        """The inverse of ``to_data``; None becomes nan. InputError names what is missing, and a format that is newer."""
        stated = data.get("certificate_format", 1)
        if stated not in range(1, FORMAT + 1):
            raise InputError(
                f"certificate: certificate_format is {stated!r}; this program reads 1 to {FORMAT}, so upgrade ren-observer"
            )
        return from_plain(cls, brought_up(data, stated), name="certificate")


def certify(
    observer: RENObserver,
    plant: DiscreteSystem | None = None,
    *,
    region: Any = None,
    residual: bool = True,
    work: float = 1.0,
    budget: float = BUDGET,
    gap: float = GAP,
    seed: int = 0,
    progress: Callable[[str, int, float], None] | None = None,
) -> Certificate:
    """Prove the contraction of ``observer`` from its explicit weights, and bound its residual over a region.

    Parameters
    ----------
    observer : the observer; its explicit ``weights``, ``metric``, ``multipliers`` and ``contraction_rate`` are used, nothing else.
    plant : another plant with the same signals, to certify the observer for.
    region : X ``(nx, 2)``, or X x U ``(nx + nu, 2)``; the ranges enlarged to what trajectories (``seed``) reach when left out.
    residual : False stops after contraction and gains, which takes milliseconds.
    work : of the searches for the residual, in shares of the usual amount, some five seconds. It is counted, not timed: the same
        work gives the same numbers. budget : seconds, after which all of it stops all the same; the best bound so far holds, and
        says that a clock ended it, or left something out. gap : proved over attained, minus 1, at which a bound is good enough.
    progress : called with the name of the proof that is searched, the cells that are bounded, and the seconds so far.

    Returns
    -------
    Certificate
        Weights without a proof (changed, not finite, wrong shapes) give one that does not hold, with the reason.

    Raises
    ------
    InputError
        For an observer of another plant or sampling time, and for an invalid region.
    """
    plant = chosen_plant(observer, plant)
    certificate = _contraction(observer, plant)
    if not residual or not certificate.holds:
        return certificate
    from observer.certification.accuracy import bound_accuracy

    bounds = bound_accuracy(
        observer, plant, region=region, work=work, budget=budget, gap=gap, seed=seed, progress=progress
    )
    return replace(certificate, bounds=bounds, identity=identity(observer, plant, bounds))


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # absurd weights are answered, not warned about
def _contraction(observer: RENObserver, plant: DiscreteSystem) -> Certificate:
    weights, system, bound = observer.weights, plant.system, float(observer.contraction_rate)
    M, Lam = np.asarray(observer.metric, dtype=float), np.asarray(observer.multipliers, dtype=float)
    fault = _wrong_size(weights, system) or find_fault(weights, M, Lam)
    if fault:
        proved = Contraction(M, Lam, math.nan, math.nan, math.nan, np.full(system.nx, np.nan))
        margin = condition = math.nan
        failure = f"Nothing is proved: {fault}."
    else:
        proved = prove_contraction(weights, M, Lam, len(system.known))
        margin = lmi_margin(weights, M, Lam, proved.rate * _TEST_AT)
        half = np.ptp(system.state_ranges, axis=1) / 2
        condition = _condition(half[:, None] * M * half)
        failure = _failure(proved.rate, bound, margin)
    return Certificate(
        **vars(proved), dt=plant.dt, rate_bound=bound, metric_condition=condition, lmi_margin=margin,
        holds=failure is None, reason=failure or proved_sentence(proved.rate, plant.dt, system.time_unit),
        identity=identity(observer, plant),
    )  # fmt: skip


def proved_sentence(rate: float, dt: float, unit: str) -> str:
    """The ``reason`` of a certificate that holds."""
    shrink = f"errors shrink at least by the factor {rate:.6g} per step of {dt:g} {unit} in the metric M"
    return f"Proved: {shrink}, whatever the initial error."


def _failure(rate: float, bound: float, margin: float) -> str | None:
    if not math.isfinite(rate):
        return "Nothing is proved: with this metric and these multipliers no rate holds for the weights as they are."
    if rate >= 1:
        return f"Not contracting: the proved factor per step is {rate:.6g}; it must be below 1."
    if not rate <= bound + RATE_TOLERANCE:
        return f"Slower than required: the proved factor per step is {rate:.9g}, above the bound {bound:.9g}."
    if not margin >= -MARGIN_TOLERANCE:
        return f"Not confirmed: the certifying form has the negative eigenvalue {margin:.3g}, scaled to unit diagonal."
    return None


def _wrong_size(weights: ExplicitREN, system: System) -> str | None:
    expected = (system.nx, len(system.known) + system.ny)
    if (weights.nx, weights.nu) == expected:
        return None
    return (
        f"the network has {weights.nx} states and {weights.nu} inputs; expected {expected[0]} states and {expected[1]}"
        f" inputs ({len(system.known)} known inputs and {system.ny} outputs)"
    )


def _condition(M: np.ndarray) -> float:
    return float(np.linalg.cond(M)) if np.isfinite(M).all() else math.inf
