"""The certificate of an observer: what is proved about it, with every number a reader needs to check it."""

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from observer.certification.bounds import Bounds
from observer.certification.contraction import contraction_rate, find_fault, input_gain, lmi_margin
from observer.certification.identity import identity
from observer.certification.plain_data import to_plain
from observer.known_plant import chosen_plant
from observer.state_observer import RENObserver
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem

RATE_TOLERANCE = 1e-9  # the proved rate may exceed the bound by this much
MARGIN_TOLERANCE = 1e-12
BUDGET, GAP = 5.0, 0.05  # seconds for the residual bound, and the gap at which its search stops
_ADDED = ("bounds", "identity")  # fields that files of early versions do not have
_TEST_AT = 1 + 1e-9  # at the proved rate itself the smallest eigenvalue is zero, of either sign after rounding


@dataclass(frozen=True, eq=False)
class Certificate:
    """Two estimates under the same measurements approach each other: |e+|_M <= rate |e|_M, for all states and inputs.

    With ``bounds``, also how far the estimate is from the state of the plant: |e|_M <= rate^k |e_0|_M + residual / (1 - rate).

    Attributes
    ----------
    rate : alpha*, per step, proved for the shipped weights. rate_per_second : -ln(rate) / dt [1/s].
    rate_bound : the rate that was asked for, per step.
    metric : M (nx, nx), physical units. multipliers : Lam (nv,).
    metric_condition : condition number of M for states divided by half their ranges (free of units).
    lmi_margin : smallest eigenvalue of the certifying form, scaled to unit diagonal, at the proved rate (1 + 1e-9).
    gain_y, gain_u : |e+|_M per Euclidean unit of measurement error and of input error, in one step.
    state_gain : (nx,), |e_i| <= state_gain_i |e|_M, in the unit of state i.
    holds : every check passed. reason : a sentence, what is proved or which check failed.
    bounds : the residual over a region and what follows from it; None where it was not asked for.
    identity : fingerprints of every matrix and of the plant that the certificate speaks of.
    """

    rate: float
    rate_per_second: float
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

    def to_data(self) -> dict[str, Any]:
        """Plain data for JSON; a number that is not finite becomes None."""
        return to_plain(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> "Certificate":
        """The inverse of ``to_data``; None becomes nan. InputError names what is missing."""
        missing = [field.name for field in fields(cls) if field.name not in (*data, *_ADDED)]
        if missing:
            raise InputError(f"certificate: {', '.join(missing)} missing; expected the fields that to_data writes")
        values: dict[str, Any] = {}
        for item in fields(cls):
            name, value = item.name, data.get(item.name)
            if name == "bounds":
                values[name] = None if value is None else Bounds.from_data(value)
            elif name == "identity":
                values[name] = dict(value or {})
            elif name in ("metric", "multipliers", "state_gain"):
                values[name] = np.array(value, dtype=float)
            elif name in ("holds", "reason"):
                values[name] = value
            else:
                values[name] = math.nan if value is None else float(value)
        return cls(**values)


def certify(
    observer: RENObserver,
    plant: DiscreteSystem | None = None,
    *,
    region: Any = None,
    residual: bool = True,
    budget: float = BUDGET,
    gap: float = GAP,
    seed: int = 0,
) -> Certificate:
    """Prove the contraction of ``observer`` from its explicit weights, and bound its residual over a region.

    observer : has ``weights`` (ExplicitREN with input [known inputs; outputs]), ``metric``, ``multipliers``,
        ``contraction_rate`` and ``plant``. plant : another plant with the same signals, to certify the observer for.
    region : X ``(nx, 2)``, or X x U ``(nx + nu, 2)``; the ranges enlarged to what trajectories (``seed``) reach when left out.
    residual : False stops after contraction and gains, which takes milliseconds.
    budget : seconds for the residual; whenever they end, the best bound so far holds. gap : proved over attained, minus 1,
        at which it is good enough.

    Weights that prove nothing (changed, not finite, wrong shapes) give a certificate that does not hold, with the
    reason; only an observer of another plant or sampling time, and a region that is none, are InputErrors.
    """
    plant = chosen_plant(observer, plant)
    certificate = _contraction(observer, plant)
    if not residual or not certificate.holds:
        return certificate
    from observer.certification.accuracy import bound_accuracy

    bounds = bound_accuracy(observer, plant, region=region, budget=budget, gap=gap, seed=seed)
    return replace(certificate, bounds=bounds)


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # absurd weights are answered, not warned about
def _contraction(observer: RENObserver, plant: DiscreteSystem) -> Certificate:
    weights, system = observer.weights, plant.system
    M, Lam = np.asarray(observer.metric, dtype=float), np.asarray(observer.multipliers, dtype=float)
    known, bound, dt = len(system.known), float(observer.contraction_rate), plant.dt
    numbers: dict[str, Any] = {
        "rate": math.nan,
        "rate_per_second": math.nan,
        "rate_bound": bound,
        "metric": M,
        "multipliers": Lam,
        "metric_condition": math.nan,
        "lmi_margin": math.nan,
        "gain_y": math.nan,
        "gain_u": math.nan,
        "state_gain": np.full(system.nx, np.nan),
        "identity": identity(observer, plant),
    }
    fault = _wrong_size(weights, system) or find_fault(weights, M, Lam)
    if fault:
        return Certificate(**numbers, holds=False, reason=f"Nothing is proved: {fault}.")
    half = np.ptp(system.state_ranges, axis=1) / 2
    rate = contraction_rate(weights, M, Lam)
    margin = lmi_margin(weights, M, Lam, rate * _TEST_AT)
    numbers |= {
        "rate": rate,
        "rate_per_second": -math.log(rate) / dt if rate > 0 else math.inf,
        "metric_condition": _condition(half[:, None] * M * half),
        "lmi_margin": margin,
        "gain_y": input_gain(weights, M, Lam, slice(known, None)),
        "gain_u": input_gain(weights, M, Lam, slice(0, known)),
        "state_gain": np.sqrt(np.diag(np.linalg.inv(M))),
    }
    fault = _unproved(rate, bound, margin)
    reason = fault or (
        f"Proved: errors shrink at least by the factor {rate:.6g} per step of {dt:g} s in the metric M,"
        " whatever the start."
    )
    return Certificate(**numbers, holds=fault is None, reason=reason)


def _unproved(rate: float, bound: float, margin: float) -> str | None:
    if not math.isfinite(rate):
        return "Nothing is proved: with this metric and these multipliers no rate holds for the weights as they are."
    if rate >= 1:
        return f"Not contracting: the proved factor per step is {rate:.6g}; it must be below 1."
    if not rate <= bound + RATE_TOLERANCE:
        return f"Slower than asked: the proved factor per step is {rate:.9g}, above the bound {bound:.9g}."
    if not margin >= -MARGIN_TOLERANCE:
        return f"Not confirmed: the certifying form has the negative eigenvalue {margin:.3g}, scaled to unit diagonal."
    return None


def _wrong_size(weights: Any, system: Any) -> str | None:
    expected = (system.nx, len(system.known) + system.ny)
    if (weights.nx, weights.nu) == expected:
        return None
    return (
        f"the network has {weights.nx} states and {weights.nu} inputs; expected {expected[0]} states and {expected[1]}"
        f" inputs ({len(system.known)} known inputs and {system.ny} outputs)"
    )


def _condition(M: np.ndarray) -> float:
    return float(np.linalg.cond(M)) if np.isfinite(M).all() else math.inf
