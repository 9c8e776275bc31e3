"""Every trial of a validation against the envelope of its own initial error: how many cross it.

    proved     :func:`observer.certification.envelope.envelope`, while the plant is in the certified region X
    sampled    |e_i|_k <= sqrt((M^-1)_ii) (rate^k |e_0|_M + r (1 - rate^k) / (1 - rate)),  r the largest one-step residual |r|_M met
               along the data of the fit, which are other trajectories than the trials

The rate is proved in both. A sampled envelope may be crossed without a fault anywhere: then some residual along the trials was larger.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from observer.state_observer import StateObserver
from observer.validation.result import Validation
from systems.angles import periods, wrap
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories

if TYPE_CHECKING:
    from observer.certification.certificate import Certificate

PROVED, SAMPLED = "proved", "sampled"


@dataclass(frozen=True, eq=False)
class TrialEnvelopes:
    """The trials against their envelopes. bound ``(K, N, nx)``, inside ``(K, N)``: the plant was in X until the sample before.

    kind : ``proved`` or ``sampled``. crossed : trials with some error above its bound; left : trials that left X. steady ``(nx,)``:
    what the envelope tends to; names : the bounds that give it. against_ode : the discretisation error was added.
    """

    kind: str
    bound: np.ndarray
    inside: np.ndarray
    crossed: int
    left: int
    steady: np.ndarray
    names: tuple[str, ...]
    against_ode: bool

    def to_data(self) -> dict[str, Any]:
        """The entries of ``validation.envelope`` in metrics.json."""
        return {"kind": self.kind, "trials": len(self.bound), "crossed": self.crossed, "left_region": self.left}


def trial_envelopes(
    certificate: "Certificate | None",
    validation: Validation | None,
    plant: DiscreteSystem | None,
    residual: float = float("nan"),
) -> TrialEnvelopes | None:
    """The envelopes of noise-free trials; None where the trials have noise or nothing bounds their errors.

    residual : the sampled r above, for a certificate that proves a rate and no residual bound; nan where it is not known.
    """
    if validation is None or validation.noise or certificate is None or not certificate.holds:
        return None
    bounds = certificate.bounds
    if bounds is not None and bounds.proved:
        return _proved(certificate, validation, plant)
    if np.isfinite(residual) and certificate.rate < 1:
        return _sampled(certificate, validation, float(residual))
    return None


def sampled_residual(observer: StateObserver, plant: DiscreteSystem, data: Trajectories, metric: np.ndarray) -> float:
    """The largest |f_o(x, u, y) - x+|_M along trajectories with x; nan where there is none."""
    x, following = np.asarray(data.x, dtype=float)[:, :-1], np.asarray(data.x, dtype=float)[:, 1:]
    u, y = data.u[:, :-1], plant.output(x, data.u[:, :-1])
    angles = periods(plant.system.states)
    with np.errstate(all="ignore"):
        off = wrap(observer.step(x, u, y) - following, angles)
        size = np.linalg.norm(off @ np.linalg.cholesky(metric), axis=-1)
    known = size[np.isfinite(size)]
    return float(known.max()) if known.size else float("nan")


def _proved(certificate: "Certificate", v: Validation, plant: DiscreteSystem | None) -> TrialEnvelopes:
    from observer.certification.envelope import envelope

    assert certificate.bounds is not None
    ode = v.plant_method not in (plant.method if plant is not None else "", "discrete map")
    found = envelope(certificate, v.error[:, 0], v.x.shape[1], held_input=not np.any(v.u), against_ode=ode)
    system = None if plant is None else plant.system
    inside = np.logical_and.accumulate(certificate.bounds.region.holds(v.x, system, v.u, v.periods), axis=1)
    before = np.concatenate([np.ones((len(v.x), 1), dtype=bool), inside[:, :-1]], axis=1)
    crossed, left = _crossed(v.error, found.bound, before), int((~inside[:, -1]).sum())
    names = tuple(found.names[k] for k in found.ultimate_source)
    return TrialEnvelopes(PROVED, found.bound, before, crossed, left, found.ultimate, names, ode)


def _sampled(certificate: "Certificate", v: Validation, residual: float) -> TrialEnvelopes:
    error, rate = v.error, certificate.rate
    first = np.linalg.norm(error[:, 0] @ np.linalg.cholesky(certificate.metric), axis=1)
    decay = rate ** np.arange(error.shape[1])
    gain = np.sqrt(np.diag(np.linalg.inv(certificate.metric)))
    size = first[:, None] * decay + residual * (1 - decay) / (1 - rate)
    bound = size[..., None] * gain
    everywhere = np.ones(error.shape[:2], dtype=bool)
    steady = gain * residual / (1 - rate)
    names = ("sampled residual",) * len(gain)
    return TrialEnvelopes(SAMPLED, bound, everywhere, _crossed(error, bound, everywhere), 0, steady, names, False)


def _crossed(error: np.ndarray, bound: np.ndarray, inside: np.ndarray) -> int:
    """A bound holds to rounding, as the norm and the powers in it do."""
    above = ~(np.abs(error) <= bound * (1 + 1e-9)) & inside[..., None]
    return int(above.any(axis=(1, 2)).sum())
