"""The error envelope: how large each |e_i| can be at each time, from any first error (MATH 2e, 4).

With eta_k a bound of |e_k|_M, x in X and u in U, every proof in a metric M gives (rho, g, beta, sigma: see ``Proof``; n the
measurement error, d what the plant does beyond its model)

    eta_k+1 = rate eta_k + rho + gain_y |n| + |d|_M                                  "one step", and in each refined metric
    |e_i|_k <= g_i eta_k    and    <= beta_i eta_k-1 + beta_y,i |n| + sup |r_i| + |d_i|

and N steps together, under the constant input they were computed for,

    eta_k <= rate^N eta_k-N + rho_N + s,    |e_i|_k <= g_i rate^N eta_k-N + sup |d_i(N)| + g_i s,
    s = (1 - rate^N) / (1 - rate) (gain_y |n| + |d|_M)                               "many steps"

Where the plant has settled (from sample ``after`` on; ``settled``), rho and sup |r_i| are those over that part of X; the many
steps begin there.

The smallest of those that apply is reported, with its name. They hold while x stays in X; x_hat may start anywhere.
"""

import math
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from observer.certification.bounds import Bounds, Horizon, Proof
from systems.base.errors import InputError

START = "first error"  # at k = 0 the error is what was assumed
_VERTICES_UP_TO = 12
_FADED = 0.05
_FOREVER = 10_000_000  # samples: longer than that is never


@dataclass(frozen=True, eq=False)
class Envelope:
    """``bound`` ``(..., N, nx)`` of |e_i| at the times t ``(N,)``, in the units of the states.

    ``source``, of the same shape, indexes ``names``: the bound that gives the number.

    ``steady`` ``(nx,)`` : what it tends to, from any start; ``steady_source`` ``(nx,)`` indexes ``names`` too.
    """

    t: np.ndarray
    bound: np.ndarray
    source: np.ndarray
    names: tuple[str, ...]
    steady: np.ndarray
    steady_source: np.ndarray


@dataclass(frozen=True, eq=False)
class _Added:
    """What one step adds, beyond the residual: of noise and of the plant's difference from its model."""

    noise: float
    model: bool
    discretisation: np.ndarray  # (nx,)

    def metric(self, p: Proof) -> float:
        return p.gain_y * self.noise + (p.discretisation if self.model else 0.0)

    def states(self, p: Proof, before: bool = False) -> np.ndarray:
        own = p.state_before if before else p.state_upper
        return p.step_gain_y * self.noise + own + (self.discretisation if self.model else 0.0)


def envelope(
    certificate: Any,
    first_error: Any,
    steps: int,
    *,
    dt: float = 1.0,
    box: bool = False,
    noise: float = 0.0,
    held_input: bool = False,
    against_ode: bool = False,
) -> Envelope:
    """The envelope over ``steps`` samples, k = 0 ... steps - 1.

    Parameters
    ----------
    certificate : one whose ``bounds`` are proved. first_error : ``(..., nx)``, one or many first errors x_hat - x; with ``box``
        the half-widths of a box that holds it. dt : seconds per sample, for ``t``.
    noise : bound of the Euclidean length of the measurement error in every sample. held_input : the input is the constant
        ``bounds.held`` throughout, so that what was proved for it alone applies too. against_ode : add the discretisation
        error, which was sampled, not proved.

    Raises InputError where nothing is proved, or for wrong shapes.
    """
    bounds, e0 = _proved(certificate), np.abs(np.asarray(first_error, dtype=float))
    nx = len(bounds.proofs[0].state_gain)
    if e0.ndim < 1 or e0.shape[-1] != nx:
        raise InputError(f"first_error has shape {e0.shape}; expected (..., {nx}), one number per state")
    signed = None if box else np.asarray(first_error, dtype=float)
    k = np.arange(int(steps))
    added = _Added(float(noise), against_ode, np.nan_to_num(bounds.discretisation))
    candidates, names = [np.full((*e0.shape[:-1], len(k), nx), np.inf)], [START]
    candidates[0][..., 0, :] = e0
    for p in (*bounds.proofs, *(bounds.unforced if held_input else ())):
        eta = _one_step(p, start_norm(p.metric, e0 if signed is None else signed, box), k, added)
        candidates.append(_per_state(p, eta, added))
        names.append(p.name)
    if held_input and bounds.horizon is not None and len(k):
        h, p = bounds.horizon, _proof_of(bounds)
        first = start_norm(p.metric, e0 if signed is None else signed, box)
        eta = np.min([_one_step(q, first, k, added) for q in _same_metric(bounds, p)], axis=0)
        candidates.append(_many_steps(h, p, eta, added))
        names.append("many steps")
    source = np.argmin(candidates, axis=0)
    bound = np.min(candidates, axis=0)
    steady, steady_source = steady_error(certificate, noise=noise, held_input=held_input, against_ode=against_ode)
    order = np.array([names.index(name) for name in steady_source])
    return Envelope(dt * k, bound, source, tuple(names), steady, order)


def steady_error(
    certificate: Any, *, noise: float = 0.0, held_input: bool = False, against_ode: bool = False
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(bound of |e_i| in the long run ``(nx,)``, the name of the bound that gives it), from any start."""
    bounds = _proved(certificate)
    added = _Added(float(noise), against_ode, np.nan_to_num(bounds.discretisation))
    values, names = [], []
    for p in (*bounds.proofs, *(bounds.unforced if held_input else ())):
        level = (p.residual_upper + added.metric(p)) / (1 - p.rate)
        values.append(np.minimum(p.state_gain * level, p.step_gain * level + added.states(p)))
        names.append(p.name)
    if held_input and bounds.horizon is not None:
        h, p = bounds.horizon, _proof_of(bounds)
        level = min((q.residual_upper + added.metric(q)) / (1 - q.rate) for q in _same_metric(bounds, p))
        power, pushed = p.rate**h.steps, _pushed(h, p, added)
        level = min(level, (h.upper + pushed) / (1 - power))
        values.append(_fading(p) * power * level + h.state_upper + p.state_gain * pushed)
        names.append("many steps")
    best = np.argmin(values, axis=0)
    return np.min(values, axis=0), tuple(names[k] for k in best)


def in_the_long_run(certificate: Any, *, held_input: bool = False) -> int:
    """The sample from which on ``steady_error`` is within 5 % of the envelope's share that does not fade, from x_hat_0 = x_0.

    Until the plant counts as settled, and then as long as what was before takes to fade (or the many steps are).
    """
    bounds, longest = _proved(certificate), 0
    used = set(steady_error(certificate, held_input=held_input)[1])
    for p in (*bounds.proofs, *(bounds.unforced if held_input else ())):
        if p.name in used:
            longest = max(longest, p.after + math.ceil(math.log(_FADED) / math.log(p.rate)))
    if "many steps" in used and bounds.horizon is not None:
        longest = max(longest, bounds.horizon.after + bounds.horizon.steps)
    return longest


def noise_gain(certificate: Any) -> np.ndarray:
    """``(nx,)``: what a measurement error of Euclidean length 1 in every sample can add to |e_i| in the long run."""
    return steady_error(certificate, noise=1.0)[0] - steady_error(certificate)[0]


def time_to(
    certificate: Any, tolerance: Any, first_error: Any, *, dt: float, box: bool = True, **options: Any
) -> np.ndarray:
    """Seconds until each |e_i| is proved to stay below ``tolerance`` ``(nx,)``; inf where the steady bound is above it.

    first_error : ``(nx,)``, half-widths of the box of first errors, or with ``box=False`` the error itself. ``options`` are
    those of ``envelope``. Found by doubling the number of samples.
    """
    tolerance = np.asarray(tolerance, dtype=float)
    steady = steady_error(certificate, **options)[0]
    steps, times = 64, np.full(len(steady), np.inf)
    reachable = steady < tolerance
    while reachable.any() and steps <= _FOREVER:
        found = envelope(certificate, first_error, steps, dt=dt, box=box, **options)
        above = found.bound > tolerance
        last = np.where(above.any(axis=0), steps - np.argmax(above[::-1], axis=0), 0)
        inside = reachable & (last < steps // 2)  # and not only for the last few samples
        times[inside] = dt * last[inside]
        if inside[reachable].all():
            break
        steps *= 4
    return times


def start_norm(M: np.ndarray, e0: np.ndarray, box: bool) -> np.ndarray:
    """|e_0|_M ``(...)``; for a ``box`` of half-widths e0 its largest value, at a vertex (above 12 states a bound of it)."""
    e0 = np.asarray(e0, dtype=float)
    if not box:
        return np.sqrt(np.maximum(np.einsum("...i,ij,...j->...", e0, M, e0), 0.0))
    if len(M) > _VERTICES_UP_TO:
        return np.sqrt(np.einsum("...i,ij,...j->...", e0, np.abs(M), e0))
    vertices = [np.array([1.0, *signs]) * e0 for signs in product((-1.0, 1.0), repeat=len(M) - 1)]
    return np.max([start_norm(M, vertex, False) for vertex in vertices], axis=0)


def _one_step(p: Proof, start: np.ndarray, k: np.ndarray, added: _Added) -> np.ndarray:
    """eta ``(..., N)``."""
    level, decay = (p.residual_before + added.metric(p)) / (1 - p.rate), p.rate**k
    eta = start[..., None] * decay + level * (1 - decay)
    if p.after and p.after < len(k):
        level, decay = (p.residual_upper + added.metric(p)) / (1 - p.rate), p.rate ** k[: len(k) - p.after]
        eta[..., p.after :] = eta[..., p.after, None] * decay + level * (1 - decay)
    return eta


def _per_state(p: Proof, eta: np.ndarray, added: _Added) -> np.ndarray:
    bound = eta[..., None] * p.state_gain
    through = eta[..., :-1, None] * p.step_gain
    through[..., : p.after, :] += added.states(p, before=True)
    through[..., p.after :, :] += added.states(p)
    bound[..., 1:, :] = np.minimum(bound[..., 1:, :], through)
    return bound


def _many_steps(h: Horizon, p: Proof, eta: np.ndarray, added: _Added) -> np.ndarray:
    eta, N = eta.copy(), h.steps
    power, pushed = p.rate**N, _pushed(h, p, added)
    bound = np.full((*eta.shape, len(p.state_gain)), np.inf)
    for start in range(h.after + N, eta.shape[-1], N):  # a block depends only on the one before it
        now = slice(start, min(start + N, eta.shape[-1]))
        before = eta[..., start - N : start - N + (now.stop - start)]
        eta[..., now] = np.minimum(eta[..., now], power * before + h.upper + pushed)
        bound[..., now, :] = _fading(p) * power * before[..., None] + p.state_gain * pushed + h.state_upper
    return np.minimum(bound, eta[..., None] * p.state_gain)


def _pushed(h: Horizon, p: Proof, added: _Added) -> float:
    return (1 - p.rate**h.steps) / (1 - p.rate) * added.metric(p)


def _fading(p: Proof) -> np.ndarray:
    """What rate^N |e|_M makes of each |e_i|: by the metric, or by the metric a step earlier and what that step can do."""
    return np.minimum(p.state_gain, p.step_gain / p.rate * (1 + 1e-10))


def _same_metric(bounds: Bounds, proof: Proof) -> list[Proof]:
    return [
        p for p in (*bounds.proofs, *bounds.unforced) if np.array_equal(p.metric, proof.metric) and p.rate == proof.rate
    ]


def _proof_of(bounds: Bounds) -> Proof:
    """The proof whose metric and rate the many-step bound was computed with."""
    assert bounds.horizon is not None
    h = bounds.horizon
    same = [p for p in bounds.proofs if np.array_equal(p.metric, h.metric) and p.rate == h.rate]
    if not same:
        raise InputError("certificate: its many-step bound belongs to none of its proofs; certify again")
    return same[0]


def _proved(certificate: Any) -> Bounds:
    bounds = certificate.bounds
    if not certificate.holds or bounds is None or bounds.kind != "proved":
        why = "its residual was not bounded" if bounds is None else bounds.reason
        raise InputError(f"no envelope: the certificate proves no bound of the error ({why})")
    if not all(math.isfinite(p.residual_upper) and p.rate < 1 for p in bounds.proofs):
        raise InputError("no envelope: a bound of the residual is not finite; give the certificate a longer --budget")
    return bounds
