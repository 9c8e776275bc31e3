"""The reference integrator: scipy's adaptive methods with the input held over each sample, independent of every discretisation.

    x(t_{k+1}) = x(t_k) + integral of f(t, x, u_k, p) over [t_k, t_{k+1}]

All trajectories of a batch are integrated as one ODE; the tolerance is tightened so that the root-mean-square error norm
of scipy cannot hide a single bad trajectory.
"""

from dataclasses import replace
from itertools import pairwise

import casadi as ca
import numpy as np
from scipy.integrate import solve_ivp

from systems.base.errors import SimulationError
from systems.evaluation import evaluate, jacobian, symbols_of, to_casadi
from systems.graph import Graph
from systems.signals import Signal
from systems.system import System

RTOL, ATOL = 1e-10, 1e-12


def sample_region(low: np.ndarray, high: np.ndarray, count: int, seed: int) -> np.ndarray:
    """``(count, n)`` space-filling points of a box: a scrambled Sobol sequence."""
    from scipy.stats import qmc

    if len(low) == 0:
        return np.zeros((count, 0))
    power = max(0, int(np.ceil(np.log2(max(count, 1)))))
    unit = qmc.Sobol(len(low), seed=seed).random_base2(power)[:count]  # type: ignore[call-arg]
    return low + unit * (high - low)


def time_scales(system: System, samples: int = 64) -> tuple[float, float]:
    """(fastest, typical) time constants 1/|lambda| in seconds, over the region, of a continuous system.

    ``fastest`` is the smallest over the region; ``typical`` the median over points of the slowest mode that is not an
    integrator (|lambda| above 1e-3 of the fastest).
    """
    points = sample_region(system.state_ranges[:, 0], system.state_ranges[:, 1], samples, seed=0)
    inputs = sample_region(system.input_ranges[:, 0], system.input_ranges[:, 1], samples, seed=1)
    matrices = evaluate(jacobian(system.dynamics, "x"), t=np.zeros(1), x=points, u=inputs, p=system.parameter_values)
    matrices = matrices[np.isfinite(matrices).all(axis=(1, 2))]
    if not len(matrices):
        return np.inf, np.inf
    sizes = np.abs(np.linalg.eigvals(matrices))
    fastest = float(sizes.max())
    if fastest == 0:
        return np.inf, np.inf
    slowest = [modes[modes > 1e-3 * fastest].min() for modes in sizes if (modes > 1e-3 * fastest).any()]
    return 1 / fastest, 1 / float(np.median(slowest))


def stiff(system: System, dt: float) -> bool:
    """Whether an explicit integrator would spend its steps on stability: over 200 fastest time constants per sample."""
    return dt / time_scales(system)[0] > 200


def integrate_reference(
    system: System, x0: np.ndarray, u: np.ndarray, dt: float, method: str | None = None, t0: float = 0.0
) -> np.ndarray:
    """States ``(K, N+1, nx)`` from x0 ``(K, nx)`` under held inputs u ``(K, N, nu)``; CVODES where the plant is stiff.

    ``method``: DOP853, Radau (scipy) or cvodes (SUNDIALS through CasADi, tens of times faster than Radau in Python).

    Raises :class:`SimulationError`, naming state, time and initial state, when a trajectory stops being finite.
    """
    method = method or ("cvodes" if stiff(system, dt) else "DOP853")
    if method == "cvodes":
        return _cvodes(system, x0, u, dt, t0)
    count, steps, _ = u.shape
    result = np.empty((count, steps + 1, system.nx))
    result[:, 0] = x0
    if method == "Radau":  # implicit: one trajectory at a time, so that its Newton matrix stays small
        for k in range(count):
            result[k] = _integrate(system, x0[k : k + 1], u[k : k + 1], dt, method, t0)[0]
        return result
    return _integrate(system, x0, u, dt, method, t0)


def _integrate(system: System, x0: np.ndarray, u: np.ndarray, dt: float, method: str, t0: float) -> np.ndarray:
    count, steps, _ = u.shape
    result = np.empty((count, steps + 1, system.nx))
    result[:, 0] = x0
    p = system.parameter_values
    scale = np.tile(np.ptp(system.state_ranges, axis=1), count)
    options: dict = {"rtol": max(RTOL / np.sqrt(count), 1e-13), "atol": ATOL * scale / np.sqrt(count)}
    derivative: Graph = system.dynamics
    if method == "Radau":
        slope = jacobian(system.dynamics, "x")
        options["jac"] = lambda t, x, v: evaluate(slope, t=np.array([t]), x=x, u=v[0], p=p)

    def rhs(t: float, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        return evaluate(derivative, t=np.array([t]), x=x.reshape(count, -1), u=v, p=p).reshape(-1)

    changes = np.flatnonzero(np.any(u[:, 1:] != u[:, :-1], axis=(0, 2))) + 1
    bounds = [0, *changes.tolist(), steps]
    for start, stop in pairwise(bounds):
        if start == stop:
            continue
        times = t0 + dt * np.arange(start, stop + 1)
        held = u[:, start]
        solution = solve_ivp(
            rhs, (times[0], times[-1]), result[:, start].reshape(-1), method=method,
            t_eval=times[1:], args=(held,), max_step=10 * dt if stop - start > 10 else np.inf, **options,
        )  # fmt: skip
        if solution.status != 0 or np.asarray(solution.y).shape[-1] < stop - start:
            _report(system, result[:, 0], solution, count)
        result[:, start + 1 : stop + 1] = solution.y.reshape(count, system.nx, -1).transpose(0, 2, 1)
    return result


def _cvodes(system: System, x0: np.ndarray, u: np.ndarray, dt: float, t0: float) -> np.ndarray:
    """Backward differentiation formulas of order 1 to 5 with the exact Jacobian, restarted at every sample."""
    t, x, v = ca.SX.sym("t"), ca.SX.sym("x", system.nx), ca.SX.sym("v", system.nu + 1)
    p = ca.DM(system.parameter_values)
    # Time runs from 0 in each sample; its start is the last parameter.
    value = to_casadi(system.dynamics)(t + v[-1], x, v[:-1], p)
    problem = {"t": t, "x": x, "p": v, "ode": ca.densify(value)}
    options = {"abstol": 1e-12, "reltol": 1e-10, "max_num_steps": 100_000, "disable_internal_warnings": True}
    step = ca.integrator("step", "cvodes", problem, 0.0, dt, options)
    result = np.empty((len(x0), u.shape[1] + 1, system.nx))
    result[:, 0] = x0
    for k in range(len(x0)):
        for n in range(u.shape[1]):
            time = t0 + n * dt
            try:
                end = step(x0=result[k, n], p=np.append(u[k, n], time))["xf"]
            except RuntimeError as error:
                raise SimulationError(
                    f"the plant grows without bound or is too stiff near t = {time:g} s from the initial state {_named(system, x0[k])} "
                    f"(states there: {_named(system, result[k, n])}); choose initial states or inputs from which it stays finite"
                ) from error
            result[k, n + 1] = np.asarray(end).reshape(-1)
    return result


def _report(system: System, x0: np.ndarray, solution, count: int) -> None:
    states, times = np.asarray(solution.y), np.asarray(solution.t)  # lists when the very first step failed
    last = states[:, -1] if states.size else x0.reshape(-1)
    sizes = np.abs(last).reshape(count, -1) / np.ptp(system.state_ranges, axis=1)
    trial, state = np.unravel_index(np.nanargmax(np.where(np.isfinite(sizes), sizes, np.inf)), sizes.shape)
    time = times[-1] if times.size else 0.0
    raise SimulationError(
        f"state '{system.state_names[state]}' grows without bound near t = {time:g} s from the initial state "
        f"{_named(system, x0[trial])} ({solution.message}); choose initial states or inputs from which the plant stays finite"
    )


def _named(system: System, x: np.ndarray) -> str:
    return ", ".join(f"{name}={value:.4g}" for name, value in zip(system.state_names, x, strict=True))


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
        dynamics=column, output=ca.densify(full[0]), outputs=[Signal("first")], symbols=symbols,
    )  # fmt: skip
