"""Every trial of a validation against the envelope of its own first error: how many cross it.

    proved     :func:`observer.certification.envelope.envelope`, while the plant is in the certified region X
    sampled    |e_i|_k <= sqrt((M^-1)_ii) (rate^k |e_0|_M + r (1 - rate^k) / (1 - rate)),  r the largest one-step residual |r|_M met
               along the data of the fit, which are other trajectories than the trials

The rate is proved in both. A sampled envelope may be crossed without a fault anywhere: then some residual along the trials was larger.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from observer.known_plant import periods, wrap
from observer.state_observer import StateObserver

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
    certificate: Any, validation: Any, plant: Any, residual: float = float("nan")
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


def sampled_residual(observer: StateObserver, plant: Any, data: Any, metric: np.ndarray) -> float:
    """The largest |f_o(x, u, y) - x+|_M along trajectories with x; nan where there is none."""
    x, following = np.asarray(data.x, dtype=float)[:, :-1], np.asarray(data.x, dtype=float)[:, 1:]
    u, y = data.u[:, :-1], plant.output(x, data.u[:, :-1])
    angles = periods(plant.system.states)
    with np.errstate(all="ignore"):
        off = wrap(observer.step(x, u, y) - following, angles)
        size = np.linalg.norm(off @ np.linalg.cholesky(metric), axis=-1)
    known = size[np.isfinite(size)]
    return float(known.max()) if known.size else float("nan")


def _proved(certificate: Any, v: Any, plant: Any) -> TrialEnvelopes:
    from observer.certification.envelope import envelope

    x, error = np.asarray(v.x, dtype=float), np.asarray(v.error, dtype=float)
    ode = str(v.plant_method) not in (str(getattr(plant, "method", "")), "discrete map")
    held = not np.any(v.u)
    found = envelope(certificate, error[:, 0], x.shape[1], held_input=held, against_ode=ode)
    inside = np.logical_and.accumulate(certificate.bounds.region.holds(x), axis=1)
    before = np.concatenate([np.ones((len(x), 1), dtype=bool), inside[:, :-1]], axis=1)
    names = tuple(found.names[k] for k in found.ultimate_source)
    return TrialEnvelopes(
        PROVED,
        found.bound,
        before,
        _crossed(error, found.bound, before),
        int((~inside[:, -1]).sum()),
        found.ultimate,
        names,
        ode,
    )


def _sampled(certificate: Any, v: Any, residual: float) -> TrialEnvelopes:
    error, rate = np.asarray(v.error, dtype=float), float(certificate.rate)
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
