"""The running envelope: a set that holds the state of the plant, carried along beside the observer (MATH 2e).

    |x - x_hat|_M <= eta,    eta+ = rate eta + rho(x) + gain_y |n| + |d|_M

A missing measurement is replaced by h(x_hat, u): the observer then runs open loop, and the error grows at most by the factor
at which the network contracts with its measurement taken from its own state, which is a REN too when h is linear:
[A + B2 C, B1; C1 + D12 C, D11]. The set {x : |x - x_hat|_M <= eta} is an ellipsoid; |x_i - x_hat_i| <= sqrt((M^-1)_ii) eta.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from observer.certification.bounds import Proof
from observer.certification.certificate import Certificate
from observer.certification.contraction import contraction_rate, input_gain
from observer.certification.envelope import error_norm
from observer.state_observer import RENObserver
from systems.angles import angles, wrap
from systems.base.errors import InputError
from systems.evaluation import evaluate, jacobian
from systems.system import System

LocalBound = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class RunningEnvelope:
    """An observer with its proved error set, stepped together; immutable, so that every step gives a new one.

    estimate : x_hat ``(..., nx)``. eta ``(...)`` : |x - x_hat|_M <= eta, while x stays in the region of the certificate.
    half_widths ``(..., nx)`` : |x_i - x_hat_i| is at most this. Made by :func:`running_envelope`.
    """

    observer: RENObserver
    proof: Proof
    state: Any
    eta: np.ndarray
    noise: float
    disturbance: float
    local: LocalBound | None
    growth: Callable[[tuple[bool, ...]], float]
    samples: int = 0  # that the plant has been in X for

    @property
    def estimate(self) -> np.ndarray:
        """x_hat ``(..., nx)``."""
        return self.observer.estimate(self.state)

    @property
    def half_widths(self) -> np.ndarray:
        """``(..., nx)``, in the units of the states."""
        return np.asarray(self.eta)[..., None] * self.proof.contraction.state_gain

    def holds(self, x: np.ndarray) -> np.ndarray:
        """Whether states x ``(..., nx)`` are in the set, ``(...)``."""
        error = wrap(np.asarray(x, dtype=float) - self.estimate, angles(self.observer.system).periods)
        return error_norm(self.proof.contraction.metric, error, False) <= self.eta

    def step(self, u: Any, y: Any) -> "RunningEnvelope":
        """One sample later, from u ``(..., nu)`` and y ``(..., ny)`` at this sample; nan is a missing measurement."""
        y = np.asarray(y, dtype=float)
        p, missing = self.proof, np.isnan(y)
        rate = np.full(missing.shape[:-1], p.contraction.rate)
        for pattern in {tuple(row) for row in missing.reshape(-1, missing.shape[-1]).tolist() if any(row)}:
            rate = np.where((missing == np.array(pattern)).all(axis=-1), self.growth(pattern), rate)
        known = angles(self.observer.system)
        lost = (self.half_widths[..., known.turning] > known.margin).any(axis=-1)  # nothing tells which turn it is in
        rate = np.where(missing.any(axis=-1) & lost, np.inf, rate)
        residual = (p.residual if self.samples >= p.after else p.before).upper
        if self.local is not None:
            residual = np.minimum(residual, self.local(self.estimate, np.asarray(self.eta), np.asarray(u, dtype=float)))
        present = (~missing).any(axis=-1)
        eta = rate * self.eta + residual + p.contraction.gain_y * self.noise * present + self.disturbance
        return replace(self, state=self.observer.step(self.state, u, y), eta=eta, samples=self.samples + 1)

    def run(self, u: Any, y: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(x_hat ``(..., N, nx)``, eta ``(..., N)``, half-widths ``(..., N, nx)``) along u and y ``(..., N, size)``."""
        u, y, now, found = np.asarray(u, dtype=float), np.asarray(y, dtype=float), self, []
        for k in range(y.shape[-2]):
            found.append((now.estimate, now.eta, now.half_widths))
            if k + 1 < y.shape[-2]:
                now = now.step(u[..., k, :], y[..., k, :])
        estimates, etas, widths = zip(*found, strict=True)
        return np.stack(estimates, axis=-2), np.stack(np.broadcast_arrays(*etas), axis=-1), np.stack(widths, axis=-2)


def running_envelope(
    observer: RENObserver,
    certificate: Certificate,
    x_hat0: Any,
    half_widths: Any,
    *,
    noise: float = 0.0,
    disturbance: float | None = None,
    refined: int | None = None,
    local: LocalBound | None = None,
) -> RunningEnvelope:
    """The envelope from the initial estimate ``x_hat0`` ``(..., nx)``, when the state is within ``half_widths`` ``(nx,)`` of it.

    Parameters
    ----------
    noise : bound of |n|, the Euclidean length of the measurement error, in every sample.
    disturbance : bound of |d|_M of what the plant does beyond its model; the proof's ``discretisation``, which is sampled, when
        left out.
    refined : index of the proof (metric) to use; the shipped one when left out.
    local : (x_hat, eta, u) -> a bound of |r(x, u)|_M over the set; the smaller of it and the bound over the region is taken.

    Raises
    ------
    InputError
        Where the certificate proves no residual bound, for wrong shapes, and when a sample is missing and h is not linear in x.
    """
    bounds = certificate.bounds
    if not certificate.holds or bounds is None or not bounds.proofs:
        raise InputError(
            "no running envelope: the certificate proves no bound of the residual; certify over a region first"
        )
    p = bounds.proofs[refined or 0]
    h = np.broadcast_to(np.asarray(half_widths, dtype=float), (len(p.contraction.state_gain),))
    if not (np.isfinite(h).all() and (h >= 0).all() and noise >= 0):
        raise InputError(f"half_widths are {h}, noise {noise!r}; expected finite numbers, not below 0")
    known = angles(observer.system)
    if (np.linalg.norm(known.reading, axis=1) * noise > known.margin).any():
        raise InputError(
            f"noise is {noise:g}, more than the region of the certificate holds beyond one turn of an angle; state the noise of the "
            "outputs and certify again"
        )
    state = observer.init(x_hat0)
    eta = np.full(np.shape(observer.estimate(state))[:-1], float(error_norm(p.contraction.metric, h, True)))

    @cache
    def growth(missing: tuple[bool, ...]) -> float:
        return open_loop_growth(observer, p.contraction.metric, p.contraction.multipliers, np.array(missing))

    d = p.discretisation if disturbance is None else float(disturbance)
    return RunningEnvelope(observer, p, state, eta, float(noise), d, local, growth)


def open_loop_growth(observer: RENObserver, M: np.ndarray, Lam: np.ndarray, missing: np.ndarray) -> float:
    """The factor by which |e|_M can grow in a step in which the outputs marked ``missing`` ``(ny,)`` are h(x_hat, u).

    The better of two: the observer with those outputs fed back, which is a REN again; and rate + gain |C|_{M -> 2}. Only for h
    linear in x, where it is proved; InputError otherwise.
    """
    system, weights = observer.system, observer.weights.to_numpy()
    C = _linear_output(system)
    known, rows = len(system.known), np.flatnonzero(missing)
    columns = known + rows
    fed = replace(
        weights, A=weights.A + weights.B2[:, columns] @ C[rows], C1=weights.C1 + weights.D12[:, columns] @ C[rows]
    )
    best = contraction_rate(fed, M, Lam)
    through = np.linalg.norm(np.linalg.solve(np.linalg.cholesky(M), C[rows].T), 2)
    return min(best, contraction_rate(weights, M, Lam) + input_gain(weights, M, Lam, columns.tolist()) * float(through))


def _linear_output(system: System) -> np.ndarray:
    """C of y = C x + D u + c; InputError when h is not of that form."""
    rng = np.random.default_rng(0)
    ranges, inputs = np.asarray(system.state_ranges), np.asarray(system.input_ranges).reshape(system.nu, 2)
    x = rng.uniform(ranges[:, 0], ranges[:, 1], (8, system.nx))
    u = rng.uniform(inputs[:, 0], inputs[:, 1], (8, system.nu))
    slopes = output_slopes(system, x, u)
    if np.abs(slopes - slopes[0]).max(initial=0.0) > 0:
        raise InputError(
            "a measurement is missing and h is not linear in x, so nothing is proved of how the error grows; give the running "
            "envelope complete samples"
        )
    return slopes[0]


def output_slopes(system: System, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """dh/dx ``(K, ny, nx)`` from the graph of the plant."""
    slopes = evaluate(jacobian(system.output, "x"), t=np.zeros(1), x=x, u=u, p=system.parameter_values)
    return np.broadcast_to(slopes, (len(x), system.ny, system.nx))
