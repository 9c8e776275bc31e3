"""The error envelope: how large each |e_i| can be at each time, from any initial error (MATH 2e, 4).

With eta_k a bound of |e_k|_M, x in X and u in U, every proof in a metric M gives (rho, g, beta, sigma: see ``Proof``; n the
measurement error, d what the plant does beyond its model)

    eta_k+1 = rate eta_k + rho + gain_y |n| + |d|_M                                  "one step", and in each refined metric
    |e_i|_k <= g_i eta_k    and    <= beta_i eta_k-1 + beta_y,i |n| + sup |r_i| + |d_i|

and N steps together, under the constant input they were computed for,

    eta_k <= rate^N eta_k-N + rho_N + s,    |e_i|_k <= g_i rate^N eta_k-N + sup |d_i(N)| + g_i s,
    s = (1 - rate^N) / (1 - rate) (gain_y |n| + |d|_M)                               "many steps"

Where the plant has settled (from sample ``after`` on; ``settled``), rho and sup |r_i| are those over that part of X; the many
steps begin there.

The smallest of those that apply is reported, with its name. They hold while x stays in X, for any initial estimate.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from observer.certification.bounds import Bounds, Proof
from observer.certification.certificate import Certificate
from observer.certification.contraction import metric_norm, samples_until
from systems.base.errors import InputError

INITIAL, MANY_STEPS = "initial error", "many steps"  # at k = 0 the error is what was assumed
_VERTICES_UP_TO = 12
_FADED = 0.05
_FOREVER = 10_000_000  # samples: longer than that is never


@dataclass(frozen=True, eq=False)
class Envelope:
    """``bound`` ``(..., N, nx)`` of |e_i| at the times t ``(N,)``, in the units of the states.

    ``source``, of the same shape, indexes ``names``: the bound that gives the number.

    ``ultimate`` ``(nx,)`` : what it tends to, from any initial error; ``ultimate_source`` ``(nx,)`` indexes ``names`` too.
    """

    t: np.ndarray
    bound: np.ndarray
    source: np.ndarray
    names: tuple[str, ...]
    ultimate: np.ndarray
    ultimate_source: np.ndarray


@dataclass(frozen=True, eq=False)
class _Case:
    """What an envelope is asked for, and what one step then adds beyond the residual: noise, and the model's own error."""

    bounds: Bounds
    noise: float
    held_input: bool
    against_ode: bool

    @property
    def proofs(self) -> tuple[Proof, ...]:
        """Those that apply."""
        return (*self.bounds.proofs, *(self.bounds.unforced if self.held_input else ()))

    def level(self, p: Proof, residual: float) -> float:
        """What |e|_M tends to."""
        return (residual + self.in_metric(p)) / (1 - p.contraction.rate)

    def in_metric(self, p: Proof) -> float:
        return p.contraction.gain_y * self.noise + (p.discretisation if self.against_ode else 0.0)

    def in_states(self, p: Proof) -> np.ndarray:
        return p.gains.noise * self.noise + (np.nan_to_num(self.bounds.discretisation) if self.against_ode else 0.0)


@dataclass(frozen=True, eq=False)
class _ManySteps:
    """The many-step bound, in its metric. power : rate^N. pushed : what noise and the model's error add in N steps."""

    after: int
    steps: int
    upper: float
    state_upper: np.ndarray
    proof: Proof
    same: tuple[Proof, ...]  # other residual bounds in that metric
    power: float
    pushed: float

    @property
    def fading(self) -> np.ndarray:
        """Gain from |e|_M to |e_i| after N steps: by the metric, or by the metric a step earlier and the gain of that step."""
        c = self.proof.contraction
        if self.power == 0:
            return np.zeros_like(c.state_gain)
        return np.minimum(c.state_gain, self.proof.gains.error / c.rate * (1 + 1e-10)) * self.power

    def states(self, eta: Any) -> np.ndarray:
        """Bound of |e_i| N steps after |e|_M was at most ``eta``."""
        return self.fading * eta + self.proof.contraction.state_gain * self.pushed + self.state_upper


def envelope(
    certificate: Certificate,
    initial_error: Any,
    steps: int,
    *,
    box: bool = False,
    noise: float = 0.0,
    held_input: bool = False,
    against_ode: bool = False,
) -> Envelope:
    """The envelope over ``steps`` samples, k = 0 ... steps - 1.

    Parameters
    ----------
    certificate : one whose ``bounds`` are proved. initial_error : ``(..., nx)``, one or many errors x_hat - x at k = 0; with
        ``box`` the half-widths of a box that holds it.
    noise : bound of the Euclidean length of the measurement error in every sample. held_input : the input is the constant
        ``bounds.held`` throughout, so that what was proved for it alone applies too. against_ode : add the discretisation
        error, which was sampled, not proved.

    Raises
    ------
    InputError
        Where nothing is proved, and for wrong shapes.
    """
    case = _case(certificate, noise, held_input, against_ode)
    e0 = np.asarray(initial_error, dtype=float)
    nx = len(case.proofs[0].contraction.state_gain)
    if e0.ndim < 1 or e0.shape[-1] != nx:
        raise InputError(f"initial_error has shape {e0.shape}; expected (..., {nx}), one number per state")
    k = np.arange(int(steps))
    candidates, names = [np.full((*e0.shape[:-1], len(k), nx), np.inf)], [INITIAL]
    candidates[0][..., 0, :] = np.abs(e0)
    for p in case.proofs:
        candidates.append(_per_state(p, _one_step(p, error_norm(p.contraction.metric, e0, box), k, case), case))
        names.append(p.name)
    for many in _many_steps(case) if len(k) else ():
        first = error_norm(many.proof.contraction.metric, e0, box)
        eta = np.min([_one_step(p, first, k, case) for p in many.same], axis=0)
        candidates.append(_in_blocks(many, eta))
        names.append(MANY_STEPS)
    ultimate, sources = ultimate_bound(certificate, noise=noise, held_input=held_input, against_ode=against_ode)
    order = np.array([names.index(name) for name in sources])
    source, bound = np.argmin(candidates, axis=0), np.min(candidates, axis=0)
    return Envelope(certificate.dt * k, bound, source, tuple(names), ultimate, order)


def ultimate_bound(
    certificate: Certificate, *, noise: float = 0.0, held_input: bool = False, against_ode: bool = False
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The ultimate bound of the error, from any initial error.

    Parameters
    ----------
    certificate, noise, held_input, against_ode : as for :func:`envelope`.

    Returns
    -------
    bound : (nx,), of each |e_i|. names : of the proof that gives it, for each state.

    Raises
    ------
    InputError
        Where nothing is proved.
    """
    case = _case(certificate, noise, held_input, against_ode)
    values, names = [], []
    for p in case.proofs:
        values.append(p.ultimate(case.in_metric(p), case.in_states(p)))
        names.append(p.name)
    for many in _many_steps(case):
        level = min(case.level(p, p.residual.upper) for p in many.same)
        values.append(many.states(min(level, (many.upper + many.pushed) / (1 - many.power))))
        names.append(MANY_STEPS)
    best = np.argmin(values, axis=0)
    return np.min(values, axis=0), tuple(names[k] for k in best)


def ultimate_bound_from(certificate: Certificate, *, held_input: bool = False) -> int:
    """The sample from which on ``ultimate_bound`` is within 5 % of the part of the envelope that does not decay, for x_hat_0 = x_0.

    Until the plant counts as settled, and then as long as what was before takes to fade (or the many steps are).
    """
    case, longest = _case(certificate, 0.0, held_input, False), 0
    used = set(ultimate_bound(certificate, held_input=held_input)[1])
    for p in case.proofs:
        if p.name in used:
            longest = max(longest, p.after + samples_until(_FADED, p.contraction.rate))
    for many in _many_steps(case) if MANY_STEPS in used else ():
        longest = max(longest, many.after + many.steps)
    return longest


def noise_gain(certificate: Certificate) -> np.ndarray:
    """``(nx,)``: what a measurement error of Euclidean length 1 in every sample can add to the ultimate bound of |e_i|."""
    return ultimate_bound(certificate, noise=1.0)[0] - ultimate_bound(certificate)[0]


def time_to(
    certificate: Certificate, tolerance: Any, initial_error: Any, *, box: bool = True, **options: Any
) -> np.ndarray:
    """Seconds until each |e_i| is proved to stay below ``tolerance`` ``(nx,)``; inf where the ultimate bound is above it.

    Parameters
    ----------
    tolerance : ``(nx,)``, in the units of the states.
    initial_error : ``(nx,)``, half-widths of the box of initial errors, or with ``box=False`` the error itself.
    options : noise, held_input and against_ode, as for :func:`envelope`.

    Raises
    ------
    InputError
        Where nothing is proved, and for wrong shapes.
    """
    tolerance = np.asarray(tolerance, dtype=float)
    ultimate = ultimate_bound(certificate, **options)[0]
    steps, times = 64, np.full(len(ultimate), np.inf)
    reachable = ultimate < tolerance
    while reachable.any() and steps <= _FOREVER:
        found = envelope(certificate, initial_error, steps, box=box, **options)
        above = found.bound > tolerance
        last = np.where(above.any(axis=0), steps - np.argmax(above[::-1], axis=0), 0)
        inside = reachable & (last < steps // 2)  # and not only for the last few samples
        times[inside] = certificate.dt * last[inside]
        if inside[reachable].all():
            break
        steps *= 4
    return times


def error_norm(M: np.ndarray, e0: np.ndarray, box: bool) -> np.ndarray:
    """|e_0|_M ``(...)``; for a ``box`` of half-widths e0 its largest value, at a vertex (above 12 states a bound of it)."""
    e0 = np.asarray(e0, dtype=float)
    if not box:
        return metric_norm(e0, M)
    e0 = np.abs(e0)
    if len(M) > _VERTICES_UP_TO:
        return metric_norm(e0, np.abs(M))
    vertices = [np.array([1.0, *signs]) * e0 for signs in product((-1.0, 1.0), repeat=len(M) - 1)]
    return np.max([error_norm(M, vertex, False) for vertex in vertices], axis=0)


def _one_step(p: Proof, initial: np.ndarray, k: np.ndarray, case: _Case) -> np.ndarray:
    """eta ``(..., N)``."""
    rate = p.contraction.rate
    level, decay = case.level(p, p.before.upper), rate**k
    eta = initial[..., None] * decay + level * (1 - decay)
    if p.after and p.after < len(k):
        level, decay = case.level(p, p.residual.upper), rate ** k[: len(k) - p.after]
        eta[..., p.after :] = eta[..., p.after, None] * decay + level * (1 - decay)
    return eta


def _per_state(p: Proof, eta: np.ndarray, case: _Case) -> np.ndarray:
    bound = eta[..., None] * p.contraction.state_gain
    through = eta[..., :-1, None] * p.gains.error
    through[..., : p.after, :] += p.before.state_upper + case.in_states(p)
    through[..., p.after :, :] += p.residual.state_upper + case.in_states(p)
    bound[..., 1:, :] = np.minimum(bound[..., 1:, :], through)
    return bound


def _in_blocks(many: _ManySteps, eta: np.ndarray) -> np.ndarray:
    eta, gain = eta.copy(), many.proof.contraction.state_gain
    bound = np.full((*eta.shape, len(gain)), np.inf)
    for start in range(many.after + many.steps, eta.shape[-1], many.steps):  # a block depends only on the one before it
        now = slice(start, min(start + many.steps, eta.shape[-1]))
        before = eta[..., start - many.steps : now.stop - many.steps]
        eta[..., now] = np.minimum(eta[..., now], many.power * before + many.upper + many.pushed)
        bound[..., now, :] = many.states(before[..., None])
    return np.minimum(bound, eta[..., None] * gain)


def _many_steps(case: _Case) -> Iterator[_ManySteps]:
    """The many-step bound where it applies."""
    bounds, h = case.bounds, case.bounds.horizon
    if h is None or not case.held_input:
        return
    p = bounds.horizon_proof()
    if p is None:
        raise InputError("certificate: its many-step bound matches none of its proofs; certify again")
    metric, rate = p.contraction.metric, p.contraction.rate
    same = tuple(q for q in case.proofs if np.array_equal(q.contraction.metric, metric) and q.contraction.rate == rate)
    power = rate**h.steps
    pushed = (1 - power) / (1 - rate) * case.in_metric(p)
    yield _ManySteps(bounds.horizon_after, h.steps, h.upper, h.state_upper, p, same, power, pushed)


def _case(certificate: Certificate, noise: float, held_input: bool, against_ode: bool) -> _Case:
    bounds = certificate.bounds
    if not certificate.holds or bounds is None or bounds.kind != "proved":
        why = "its residual was not bounded" if bounds is None else bounds.reason
        raise InputError(f"no envelope: the certificate proves no bound of the error ({why})")
    if not bounds.proved or not all(p.contraction.rate < 1 for p in bounds.proofs):
        raise InputError(
            "no envelope: a bound of the residual is not finite; certify again with more --work, or a longer --budget"
        )
    return _Case(bounds, float(noise), held_input, against_ode)
