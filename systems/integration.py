"""The reference integrator: adaptive methods with the input held over each sample, independent of every discretisation.

    x(t_{k+1}) = x(t_k) + integral of f(t, x, u_k, p) over [t_k, t_{k+1}]

All trajectories of a batch are integrated as one ODE; the tolerance is tightened so that the root-mean-square error norm
of scipy cannot hide a single bad trajectory. Every integration ends: the work within one sample is limited, and where adaptive steps
get stuck (a sliding mode, in which f switches back and forth) fixed steps take over, with the accuracy that was measured.
"""

import time
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import casadi as ca
import numpy as np
from scipy.integrate import solve_ivp

from systems.base.errors import RunawayError, SimulationError
from systems.evaluation import evaluate, jacobian, symbols_of, to_casadi
from systems.fixed_steps import fixed_steps
from systems.regions import sample_region as sample_region
from systems.regions import states_and_inputs
from systems.signals import Signal
from systems.system import System

RTOL, ATOL = 1e-10, 1e-12
EVALUATIONS, PER_TIME_CONSTANT, PER_TRAJECTORY = (
    5_000,
    500,
    60,
)  # of f within one sample, before adaptive steps count as stuck
PATIENCE, SLOW = 30.0, 0.1  # s of computing within one sample; s per sample of one trajectory by CVODES after as long
INTEGRATOR, SEPARATED = (
    1e-7,
    1e-3,
)  # of the fastest mode: no motion of its own; so slow that most points decide what it is
STIFF = 200.0  # fastest time constants per sample, over which an explicit integrator spends its steps on stability
FAR = 10.0  # ranges, beyond which a state has run away
RUNAWAY = 1e3  # ranges per sample: a derivative that no fixed step follows either
FIXED = "RK4 with fixed steps"  # the method, where adaptive ones get stuck
AGREED = 0.1  # of a range: where fixed steps of two lengths differ by more, neither is a reference


def time_scales(system: System) -> tuple[float, float]:
    """(fastest, typical) time constants 1/|lambda| in seconds, over the region, of a continuous system.

    ``fastest`` is the smallest over the region; ``typical`` the median over points of the slowest mode that is not an integrator.
    Where a few points have a mode below 1e-3 of the fastest, its eigenvalue passes through zero there, and it does not count; where
    most of them have one, the plant is stiff and these are the motion to be estimated, down to ``INTEGRATOR`` of the fastest.
    """
    known = vars(system)  # worked out once for each system, as its cached properties are
    if "_time_scales" not in known:
        known["_time_scales"] = _time_scales(system)
    return known["_time_scales"]


def _time_scales(system: System) -> tuple[float, float]:
    sizes = np.abs(_modes(system))
    fastest = float(sizes.max(initial=0.0))
    if fastest == 0:
        return np.inf, np.inf
    own = np.where(sizes > INTEGRATOR * fastest, sizes, np.inf).min(axis=1)
    plain = np.where(sizes > SEPARATED * fastest, sizes, np.inf).min(axis=1)
    slow = float(np.median(own))
    if slow > SEPARATED * fastest:
        slow = float(np.median(plain[np.isfinite(plain)]))
    return 1 / fastest, 1 / slow


def nothing_left(system: System, dt: float, most: float) -> bool:
    """Whether at most points of the region no mode is slower than ``most`` of its time constants in ``dt`` seconds (integrators are),
    or one that is faster does not die away, so that whatever follows it takes that many turns."""
    values = _modes(system)
    fast = np.abs(values) * dt > most
    lasting = fast & (np.real(values) > -0.1 * np.abs(values))
    return bool(len(values) and np.median(fast.all(axis=1) | lasting.any(axis=1)) > 0.5)


def _modes(system: System, samples: int = 64) -> np.ndarray:
    """Eigenvalues of df/dx ``(m, nx)`` at points of the region."""
    points, inputs = states_and_inputs(system, system.state_ranges, samples, seed=0)
    matrices = evaluate(jacobian(system.dynamics, "x"), t=np.zeros(1), x=points, u=inputs, p=system.parameter_values)
    return np.linalg.eigvals(matrices[np.isfinite(matrices).all(axis=(1, 2))])


@dataclass(frozen=True, eq=False)
class ReferenceMotion:
    """States ``x`` ``(K, N+1, nx)``, the ``method`` that found them, and a ``warning`` where it is not an adaptive one.

    ``error``: by how much steps of half the length changed each state, ``(nx,)`` in parts of its range; 0 of an adaptive one.
    """

    x: np.ndarray
    method: str
    warning: str = ""
    error: np.ndarray | float = 0.0


class _Stuck(Exception):
    """Adaptive steps do not get past time ``t``; ``x`` ``(K, nx)``: the states there, of all trajectories or of number ``only``."""

    def __init__(self, t: float, x: np.ndarray, only: int | None = None) -> None:
        super().__init__()
        self.t, self.x, self.only = t, x, only


def integrate_reference(
    system: System, x0: np.ndarray, u: np.ndarray, dt: float, method: str | None = None, t0: float = 0.0
) -> np.ndarray:
    """The states of :func:`reference_motion`, ``(K, N+1, nx)``."""
    return reference_motion(system, x0, u, dt, method, t0).x


def reference_motion(
    system: System, x0: np.ndarray, u: np.ndarray, dt: float, method: str | None = None, t0: float = 0.0
) -> ReferenceMotion:
    """The motion from x0 ``(K, nx)`` under held inputs u ``(K, N, nu)``; by CVODES where the plant is stiff.

    ``method``: DOP853, Radau (scipy) or cvodes (SUNDIALS through CasADi, tens of times faster than Radau in Python). Where it gets
    stuck although the states stay near their ranges, steps of a fixed length take over (:func:`systems.fixed_steps.fixed_steps`).

    Raises :class:`SimulationError`, naming state, time and initial state, when a trajectory stops being finite, or runs so fast
    that nothing follows it.
    """
    fastest = time_scales(system)[0]
    method = method or ("cvodes" if dt / fastest > STIFF else "DOP853")
    try:
        if method == "cvodes":
            return ReferenceMotion(_cvodes(system, x0, u, dt, t0), "CVODES")
        allowed = int(EVALUATIONS + PER_TIME_CONSTANT * min(dt / fastest, STIFF))
        if method == "Radau":  # implicit: one trajectory at a time, so that its Newton matrix stays small
            rows = [_integrate(system, x0, u, dt, method, t0, allowed, k) for k in range(len(u))]
            return ReferenceMotion(np.concatenate(rows), method)
        return ReferenceMotion(_integrate(system, x0, u, dt, method, t0, allowed), method)
    except _Stuck as stuck:
        sample = min(max(int((stuck.t - t0) / dt), 0), u.shape[1] - 1)
        rows = slice(None) if stuck.only is None else slice(stuck.only, stuck.only + 1)
        place = _place(system, stuck, x0[rows], u[rows, sample], dt)
    x, substeps, error = fixed_steps(system, x0, u, dt, t0)
    worst = int(np.argmax(error))
    name = system.state_names[worst]
    if not error[worst] <= AGREED:
        how = (
            f"differ by {error[worst]:.2g} of the range of '{name}'"
            if np.isfinite(x).all()
            else "let it grow without bound"
        )
        kind = SimulationError if np.isfinite(x).all() else RunawayError
        raise kind(
            f"{place}, and steps of fixed lengths {how}; narrow the ranges to where the equations hold, or take a smaller dt"
        )
    warning = (
        f"{place}; there {substeps} Runge-Kutta steps of one length per sample replace the adaptive reference integrator, "
        f"accurate to {error[worst]:.1e} of the range of '{name}'"
    )
    return ReferenceMotion(x, FIXED, warning, error)


@dataclass
class _Effort:
    """Counts evaluations since the last sample was passed, and the seconds that they took."""

    allowed: int
    dt: float
    only: int | None
    until: float = -np.inf
    used: int = 0
    since: float = 0.0

    def spend(self, t: float, x: np.ndarray) -> None:
        """One evaluation. Raises _Stuck when the sample takes too many, SimulationError when it takes too long."""
        if t >= self.until:
            self.until, self.used, self.since = t + self.dt, 0, time.perf_counter()
        self.used += 1
        if self.used > self.allowed:
            raise _Stuck(t if t == t else self.until - self.dt, x.copy(), self.only)
        if self.used % 100 == 0 and time.perf_counter() - self.since > PATIENCE:
            raise SimulationError(_impatient(f"more than {PATIENCE:g} s for one sample near t = {t:g}"))


def _impatient(time: str) -> str:
    return (
        f"the reference integrator needs {time}; take fewer trials, a smaller dt, or --method cvodes for a stiff plant"
    )


def _integrate(
    system: System,
    x0: np.ndarray,
    u: np.ndarray,
    dt: float,
    method: str,
    t0: float,
    allowed: int,
    only: int | None = None,
) -> np.ndarray:
    """All trajectories as one ODE, or ``only`` one of them."""
    if only is not None:
        x0, u = x0[only : only + 1], u[only : only + 1]
    count, steps, _ = u.shape
    result = np.empty((count, steps + 1, system.nx))
    result[:, 0] = x0
    p = system.parameter_values
    scale = np.tile(np.ptp(system.state_ranges, axis=1), count)
    options: dict[str, Any] = {"rtol": max(RTOL / np.sqrt(count), 1e-13), "atol": ATOL * scale / np.sqrt(count)}
    effort = _Effort(allowed + PER_TRAJECTORY * count, dt, only)
    if method == "Radau":
        slope = jacobian(system.dynamics, "x")
        options["jac"] = lambda t, x, v: evaluate(slope, t=np.array([t]), x=x, u=v[0], p=p)

    def rhs(t: float, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        rows = x.reshape(count, -1)
        effort.spend(t, rows)
        return evaluate(system.dynamics, t=np.array([t]), x=rows, u=v, p=p).reshape(-1)

    changes = np.flatnonzero(np.any(u[:, 1:] != u[:, :-1], axis=(0, 2))) + 1
    bounds = [0, *changes.tolist(), steps]
    for start, stop in pairwise(bounds):
        if start == stop:
            continue
        times = t0 + dt * np.arange(start, stop + 1)
        with np.errstate(all="ignore"):  # of states that run away: they are reported below
            solution = solve_ivp(
                rhs, (times[0], times[-1]), result[:, start].reshape(-1), method=method, t_eval=times[1:],
                args=(u[:, start],), max_step=10 * dt if stop - start > 10 else np.inf, **options,
            )  # fmt: skip
        found, reached = np.asarray(solution.y), np.asarray(solution.t)  # lists when the very first step failed
        if solution.status != 0 or found.shape[-1] < stop - start:
            last = found[:, -1].reshape(count, -1) if found.size else result[:, start]
            raise _Stuck(float(reached[-1]) if reached.size else float(times[0]), last, only)
        result[:, start + 1 : stop + 1] = found.reshape(count, system.nx, -1).transpose(0, 2, 1)
    return result


def _cvodes(system: System, x0: np.ndarray, u: np.ndarray, dt: float, t0: float) -> np.ndarray:
    """Backward differentiation formulas of order 1 to 5 with the exact Jacobian, restarted at every sample."""
    t, x, v = ca.SX.sym("t"), ca.SX.sym("x", system.nx), ca.SX.sym("v", system.nu + 1)
    p = ca.DM(system.parameter_values)
    # Time runs from 0 in each sample; its start is the last parameter.
    value = to_casadi(system.dynamics)(t + v[-1], x, v[:-1], p)
    problem = {"t": t, "x": x, "p": v, "ode": ca.densify(value)}
    options = {"abstol": 1e-12, "reltol": 1e-10, "max_num_steps": 20_000, "disable_internal_warnings": True}
    step = ca.integrator("step", "cvodes", problem, 0.0, dt, options)
    result = np.empty((len(x0), u.shape[1] + 1, system.nx))
    result[:, 0] = x0
    started = time.perf_counter()
    for k in range(len(x0)):
        spent = time.perf_counter() - started
        if spent > PATIENCE and spent > SLOW * k * u.shape[1]:
            raise SimulationError(_impatient(f"{spent / (k * u.shape[1]):.2g} s for a sample"))
        for n in range(u.shape[1]):
            now = t0 + n * dt
            try:
                end = step(x0=result[k, n], p=np.append(u[k, n], now))["xf"]
            except RuntimeError as error:
                raise _Stuck(now, result[k : k + 1, n], k) from error
            result[k, n + 1] = np.asarray(end).reshape(-1)
    return result


def _place(system: System, stuck: _Stuck, x0: np.ndarray, u: np.ndarray, dt: float) -> str:
    """What adaptive steps are stuck on, in words. Raises SimulationError where no fixed step gets any further."""
    width, middle = np.ptp(system.state_ranges, axis=1), system.state_ranges.mean(axis=1)
    x, t = np.where(np.isnan(stuck.x), x0, stuck.x), stuck.t

    def slope(at: np.ndarray) -> np.ndarray:
        return evaluate(system.dynamics, t=np.array([t]), x=at, u=u, p=system.parameter_values)

    def largest(values: np.ndarray) -> tuple[int, int]:
        row, column = np.unravel_index(int(np.argmax(np.where(np.isfinite(values), values, np.inf))), values.shape)
        return int(row), int(column)

    far, speed = np.abs(x - middle) / width, np.abs(slope(x)) * dt / width
    trial, state = largest(far)
    if not far[trial, state] <= FAR:
        raise RunawayError(
            f"state '{system.state_names[state]}' grows without bound near t = {t:.4g} {system.time_unit} from the initial state "
            f"{_named(system, x0[trial])}; choose initial states or inputs from which the plant stays finite"
        )
    trial, state = largest(speed)
    if not speed[trial, state] <= RUNAWAY:
        raise RunawayError(
            f"the derivative of '{system.state_names[state]}' is {slope(x)[trial, state]:.3g} near t = {t:.3g} {system.time_unit} at "
            f"{_named(system, x[trial])}, and no integrator gets past; narrow the ranges to where the equations hold, or take a smaller dt"
        )
    along = slope(x) * (1e-6 / np.maximum(np.max(np.abs(slope(x)) / width, axis=1), 1e-300))[:, None]
    before, after = slope(x - along), slope(x + along)
    trial, state = largest(np.abs(after - before) * dt / width)
    at = _named(system, np.round(x[trial] / width, 6) * width + 0.0)
    where = f"near t = {t:.3g} {system.time_unit}, at {at} from the initial state {_named(system, x0[trial])},"
    jump = sorted((before[trial, state], after[trial, state]))
    if jump[1] - jump[0] <= 0.01 * np.max(np.abs(jump)):
        return f"{where} the motion is too fast or too rough for adaptive steps"
    name = system.state_names[state]
    return f"{where} the derivative of '{name}' switches between {jump[0]:.3g} and {jump[1]:.3g} (a sliding mode)"


def _named(system: System, x: np.ndarray) -> str:
    shown = ", ".join(f"{name}={value:.4g}" for name, value in zip(system.state_names[:8], x[:8], strict=True))
    return shown + (", ..." if system.nx > 8 else "")


def variational(system: System) -> System:
    """The plant together with its sensitivities: states (x, dx/dx0, dx/du), for exact Jacobians of one sample."""
    s = symbols_of(system.dynamics)
    phi, gamma = ca.SX.sym("phi", system.nx, system.nx), ca.SX.sym("gamma", system.nx, system.nu)
    value = to_casadi(system.dynamics)(*s.values())
    a, b = ca.jacobian(value, s["x"]), ca.jacobian(value, s["u"])
    column = ca.vertcat(value, ca.vec((a @ phi).T), ca.vec((a @ gamma + b).T))
    full = ca.vertcat(s["x"], ca.vec(phi.T), ca.vec(gamma.T))
    extra = [Signal(f"sensitivity_{k}", "", (-1.0, 1.0)) for k in range(column.numel() - system.nx)]
    symbols = {**s, "x": full}
    return replace(
        system,
        states=[*(Signal(q.name, q.unit, q.range) for q in system.states), *extra],
        dynamics=column, output=ca.densify(full[0]), outputs=[Signal("first")], symbols=symbols, feedback=None, region=None,
    )  # fmt: skip
