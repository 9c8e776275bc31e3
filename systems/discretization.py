"""From a continuous plant to the map of one sample, with its measured error.

    x[k+1] = F(x[k], u[k]),  u held over [t_k, t_{k+1});   y[k] = h(x[k], u[k]) at the same t_k

Methods: ``euler`` (order 1), ``rk4`` (order 4), both with substeps; ``exact`` (linear plants, matrix exponential);
``scipy`` (the reference integrator itself: slow, the measure of the others);
``cvodes`` (stiff plants). To add one: a function here, a name in ``METHODS``.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import casadi as ca
import numpy as np
from scipy.linalg import expm

from systems.base import memory
from systems.base.errors import InputError
from systems.compilation import compile_graph, worth_compiling
from systems.evaluation import evaluate, from_expression, jacobian, symbols_of, to_casadi
from systems.fixed_steps import runge_kutta
from systems.graph import Graph
from systems.integration import integrate_reference, nothing_left, reference_motion, time_scales, variational
from systems.regions import states_and_inputs
from systems.signals import LARGEST, check_number
from systems.system import System
from systems.time_units import WORDS

TARGET_ERROR, WARN_ERROR, MAX_SUBSTEPS = 1e-6, 1e-3, 64
MOST_STATES, MOST_SIGNALS = 100, 1_000
LONG_STEP = 1_000  # operations, from which on a loop over substeps is compiled sooner
LARGEST_GRAPH = 20_000  # operations; a compiler takes minutes for more
COARSEST = 100.0  # time constants of the plant per sample
STABLE = 2.5  # |lambda| h up to which an explicit step of order four is stable, with a little to spare
STIFF = 30.0  # slow over fastest time constants: from here on explicit steps are the wrong ones, not only too coarse
USELESS = 0.1  # of a range: a step that is off by more describes another plant
STANDSTILL = 1e-9  # of a range: a motion in one sample that is lost in rounding


def _euler(f: ca.Function, t: Any, x: Any, u: Any, p: Any, h: float) -> Any:
    return x + h * f(t, x, u, p)


def _rk4(f: ca.Function, t: Any, x: Any, u: Any, p: Any, h: float) -> Any:
    k1 = f(t, x, u, p)
    k2 = f(t + h / 2, x + h / 2 * k1, u, p)
    k3 = f(t + h / 2, x + h / 2 * k2, u, p)
    k4 = f(t + h, x + h * k3, u, p)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


_STEPPERS = {"euler": _euler, "rk4": _rk4}
_STAGES = {"euler": 1, "rk4": 4}  # evaluations of the equations in each substep
MOST_OPERATIONS, _PER_OPERATION = 2_000_000, 1500.0  # of a step; bytes that each takes while the step is built
METHODS = ("euler", "rk4", "exact", "scipy", "cvodes")


def _stepped(system: System, dt: float, method: str, substeps: int) -> Graph:
    operations = _STAGES[method] * (len(system.dynamics.nodes) + 4 * system.nx) * substeps
    if operations > MOST_OPERATIONS:
        raise InputError(
            f"substeps is {substeps}: a step of {method} is then {operations} operations; expected at most {MOST_OPERATIONS}, so take "
            "fewer substeps, a smaller dt, or the method cvodes"
        )
    memory.require(
        _PER_OPERATION * operations, f"a step of {operations} operations", "take fewer substeps, or a smaller dt"
    )
    s = symbols_of(system.dynamics)
    f, h = to_casadi(system.dynamics), dt / substeps
    x = s["x"]
    for k in range(substeps):
        x = _STEPPERS[method](f, s["t"] + k * h, x, s["u"], s["p"], h)
    return from_expression(x, s)


def _exact(system: System, dt: float) -> Graph:
    """Zero-order hold of dx/dt = A x + B u + c through one matrix exponential."""
    s = symbols_of(system.dynamics)
    value = to_casadi(system.dynamics)(*s.values())
    slopes = [ca.jacobian(value, s[name]) for name in ("x", "u")]
    if any(ca.depends_on(slope, ca.vertcat(s["t"], s["x"], s["u"])) for slope in slopes) or system.dynamics.used("t"):
        raise InputError(f"method 'exact' needs a linear, time-invariant plant, and '{system.name}' is not; use rk4")
    at = {"t": np.zeros(1), "x": np.zeros(system.nx), "u": np.zeros(system.nu), "p": system.parameter_values}
    a, b = (evaluate(jacobian(system.dynamics, name), **at) for name in ("x", "u"))
    c = evaluate(system.dynamics, **at)
    n, m = system.nx, system.nu
    block = np.zeros((n + m + 1, n + m + 1))
    block[:n] = np.hstack([a, b, c[:, None]])
    discrete = expm(block * dt)
    x = ca.DM(discrete[:n, :n]) @ s["x"] + ca.DM(discrete[:n, n : n + m]) @ s["u"] + ca.DM(discrete[:n, n + m :])
    return from_expression(x, s)


@dataclass(frozen=True)
class DiscreteSystem:
    """One sample of a plant as a map, x[k+1] = F(x[k], u[k]), y[k] = h(x[k], u[k]). Made by :func:`discretize`.

    Attributes
    ----------
    system : System
    dt : float
        Sampling time [s].
    method, substeps : str, int
        How F was made; ``"map"`` and 1 for a discrete system.
    graph : Graph or None
        F as a graph; None where each step is an integration (``scipy``, ``cvodes``).
    error : ndarray (nx,)
        Largest one-step error against the reference integrator over the region, in parts of each range; zero for a discrete system.
    warnings : tuple of str
        Sentences for a person.
    """

    system: System
    dt: float
    method: str
    substeps: int
    graph: Graph | None
    error: np.ndarray
    warnings: tuple[str, ...] = field(default=())

    @property
    def nx(self) -> int:
        """Number of states."""
        return self.system.nx

    @property
    def nu(self) -> int:
        """Number of inputs."""
        return self.system.nu

    @property
    def ny(self) -> int:
        """Number of outputs."""
        return self.system.ny

    def with_system(self, system: System) -> "DiscreteSystem":
        """Another system, sampled as this one is: the same dt, method and substeps."""
        return discretize(system, self.dt, self.method, self.substeps)

    @property
    def _integrator(self) -> str | None:
        """The method that the reference integrator is asked to use; None lets it choose."""
        return "cvodes" if self.method == "cvodes" else None

    def step(self, x: Any, u: Any, t: Any = 0.0) -> np.ndarray:
        """x[k+1] ``(..., nx)`` from x[k] ``(..., nx)`` and u[k] ``(..., nu)``."""
        if self.graph is not None:
            time = np.asarray(t, dtype=float)[..., None]
            return evaluate(self.graph, t=time, x=x, u=u, p=self.system.parameter_values)
        x, u = np.asarray(x, dtype=float), np.asarray(u, dtype=float)
        batch = np.broadcast_shapes(x.shape[:-1], u.shape[:-1])
        x, u = np.broadcast_to(x, (*batch, self.nx)), np.broadcast_to(u, (*batch, self.nu))
        rows = int(np.prod(batch))  # not -1: a plant without inputs has an empty u
        flat = integrate_reference(
            self.system, x.reshape(rows, self.nx), u.reshape(rows, 1, self.nu), self.dt, self._integrator, float(t)
        )
        return flat[:, 1].reshape(*batch, self.nx)

    def rollout(self, x0: np.ndarray, u: np.ndarray, *, compiled: bool | None = None) -> np.ndarray:
        """States ``(K, N+1, nx)`` from x0 ``(K, nx)`` under u ``(K, N, nu)``; ``compiled``: as machine code, chosen by their length."""
        if self.graph is None:
            return integrate_reference(self.system, x0, u, self.dt, self._integrator)
        if compiled or (compiled is None and worth_compiling(self.graph, u.shape[1])):
            if self.method == "rk4" and len(self.graph.nodes) > LONG_STEP:
                return runge_kutta(self.system, x0, u, self.dt, self.substeps)
            if len(self.graph.nodes) <= LARGEST_GRAPH:
                return compile_graph(self.graph).rollout(x0, u, self.system.parameter_values, self.dt)
        x = np.empty((len(x0), u.shape[1] + 1, self.nx))
        x[:, 0] = x0
        for k in range(u.shape[1]):
            x[:, k + 1] = self.step(x[:, k], u[:, k], k * self.dt)
        return x

    def output(self, x: Any, u: Any, t: Any = 0.0) -> np.ndarray:
        """y[k] = h(x[k], u[k]), ``(..., ny)``."""
        return self.system.measure(x, u, t)

    def jacobian(self, x: Any, u: Any) -> tuple[np.ndarray, np.ndarray]:
        """(dF/dx ``(..., nx, nx)``, dF/du ``(..., nx, nu)``) of one sample."""
        if self.graph is None:
            return self._sensitivities(np.asarray(x, dtype=float), np.asarray(u, dtype=float))
        return self._evaluate(self._slopes[0], x, u), self._evaluate(self._slopes[1], x, u)

    def output_jacobian(self, x: Any, u: Any) -> tuple[np.ndarray, np.ndarray]:
        """(dh/dx ``(..., ny, nx)``, dh/du ``(..., ny, nu)``)."""
        return self._evaluate(self._slopes[2], x, u), self._evaluate(self._slopes[3], x, u)

    def _evaluate(self, graph: Graph, x: Any, u: Any) -> np.ndarray:
        return evaluate(graph, t=np.zeros(1), x=x, u=u, p=self.system.parameter_values)

    @cached_property
    def _slopes(self) -> tuple[Graph, ...]:
        step = self.graph or self.system.dynamics
        h = self.system.output
        return jacobian(step, "x"), jacobian(step, "u"), jacobian(h, "x"), jacobian(h, "u")

    def _sensitivities(self, x: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n, m = self.nx, self.nu
        batch = np.broadcast_shapes(x.shape[:-1], u.shape[:-1])
        rows = int(np.prod(batch))
        x, u = np.broadcast_to(x, (*batch, n)).reshape(rows, n), np.broadcast_to(u, (*batch, m)).reshape(rows, 1, m)
        start = np.concatenate([x, np.tile(np.eye(n).reshape(-1), (len(x), 1)), np.zeros((len(x), n * m))], axis=1)
        end = integrate_reference(variational(self.system), start, u, self.dt, self._integrator)[:, 1]
        phi, gamma = end[:, n : n + n * n], end[:, n + n * n :]
        return phi.reshape(*batch, n, n), gamma.reshape(*batch, n, m)

    def to_data(self) -> dict[str, Any]:
        """How the plant was discretised, JSON-able; :func:`discretize` rebuilds it from ``dt``, ``method``, ``substeps``."""
        return {
            "dt": self.dt,
            "method": self.method,
            "substeps": self.substeps,
            "error": self.error.tolist(),
            "warnings": list(self.warnings),
        }


def _measured_error(
    system: System, graph: Graph, dt: float, truth: np.ndarray, x: np.ndarray, u: np.ndarray
) -> np.ndarray:
    step = evaluate(graph, t=np.zeros(1), x=x, u=u, p=system.parameter_values)
    return np.max(np.abs(step - truth), axis=0) / np.ptp(system.state_ranges, axis=1)


def discretize(
    system: System, dt: float | None = None, method: str = "rk4", substeps: int | None = None
) -> DiscreteSystem:
    """The map of one sample of ``system``.

    Parameters
    ----------
    system : System
    dt : float, optional
        Sampling time [s]; the system's own when left out.
    method : str
        One of ``METHODS``. Ignored for discrete systems.
    substeps : int, optional
        Steps of the method within a sample. Left out, ``rk4`` takes as many as bring the measured one-step error below 1e-6 of
        every range (5e-4 where f switches along a sliding mode), and ``euler`` takes one (a published experiment is reproduced as it was).

    Returns
    -------
    DiscreteSystem
        With the measured ``error`` of one step, and ``warnings``.

    Raises
    ------
    InputError
        For a missing or non-positive dt, an unknown method, or ``exact`` on a nonlinear plant.
    """
    if system.nx > MOST_STATES:  # work grows with the cube of their number
        raise InputError(
            f"system '{system.name}' has {system.nx} states; expected at most {MOST_STATES}, so model it more coarsely"
        )
    for count, what in ((system.nu, "inputs"), (system.ny, "outputs")):
        if count > MOST_SIGNALS:
            raise InputError(
                f"system '{system.name}' has {count} {what}; expected at most {MOST_SIGNALS}; leave out those that matter least"
            )
    dt, unit = system.dt if dt is None else dt, system.time_unit
    if dt is None and system.kind == "continuous":
        raise InputError(
            f"system '{system.name}' has no sampling time; give dt in {WORDS[unit]} (--dt, or dt under [sampling])"
        )
    dt = 1.0 if dt is None else dt
    dt = check_number(f"system '{system.name}'", "dt", dt, f"a positive number of {WORDS[unit]}", least=0.0, zero=False)
    x, u = states_and_inputs(system, system.state_ranges, 64, seed=0)
    motion = _checked_motion(system, x, u)
    if system.kind == "discrete":
        return DiscreteSystem(system, float(dt), "map", 1, system.dynamics, np.zeros(system.nx))
    if method not in METHODS:
        raise InputError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
    if substeps is not None and (not isinstance(substeps, int) or isinstance(substeps, bool) or substeps < 1):
        raise InputError(f"substeps is {substeps!r}; expected a whole number, 1 or more")
    fastest, typical = time_scales(system)
    if dt > COARSEST * typical and nothing_left(system, dt, COARSEST):  # integrating over it could take for ever
        raise InputError(
            f"dt is {dt:g} {unit}, {dt / typical:.2g} time constants of '{system.name}' ({typical:.3g} {unit}): nothing of its motion "
            f"is left between two samples; expected at most {COARSEST * typical:.3g} {unit}, better {0.1 * typical:.1g} {unit}"
        )
    if 0 < dt * motion < STANDSTILL and dt < STANDSTILL * fastest:
        raise InputError(
            f"dt is {dt:g} {unit}: in one sample no state of '{system.name}' moves by more than {dt * motion:.1g} of its range, which "
            f"rounding blurs; expected at least {STANDSTILL / motion:.2g} {unit}"
        )
    graph, count = None, 1
    if method in ("scipy", "cvodes"):
        x, u = x[:8], u[:8]  # it is its own measure: only whether it gets through
    elif method == "exact":
        graph = _exact(system, dt)
    truth = reference_motion(system, x, u[:, None, :], dt, "cvodes" if method == "cvodes" else None)
    end = truth.x[:, 1]
    if method in _STEPPERS:
        target = WARN_ERROR / 2 if truth.warning else TARGET_ERROR  # where f switches, the order is one
        count = substeps or 1
        graph = _stepped(system, dt, method, count)
        while substeps is None and method == "rk4" and count < MAX_SUBSTEPS:
            if np.max(_measured_error(system, graph, dt, end, x, u)) <= target:
                break
            count *= 2
            graph = _stepped(system, dt, method, count)
    error = np.zeros(system.nx) if graph is None else _measured_error(system, graph, dt, end, x, u)
    steps = dt / (STABLE * fastest)
    if method in _STEPPERS and steps > count and typical > STIFF * fastest and not np.max(error) <= USELESS:
        raise InputError(
            f"'{system.name}' is stiff: its slow modes take {typical:.3g} s, its fastest {fastest:.2g} s, so that {method} needs about "
            f"{steps:.0f} steps for a sample of {dt:g} s and would take {count}; take --method cvodes (or exact, if it is linear)"
        )
    warnings = [*_coarseness(system, dt), *([truth.warning] if truth.warning else [])]
    if not np.max(error) <= WARN_ERROR:
        worst = system.state_names[int(np.argmax(np.nan_to_num(error, nan=np.inf)))]
        warnings.append(
            f"one step of {method} (dt = {dt:g} {unit}, {count} substep{'s' if count > 1 else ''}) is off by {np.max(error):.1e} of the "
            f"range of '{worst}'; use more substeps, rk4, or a smaller dt"
        )
    return DiscreteSystem(system, dt, method, count, graph, error, tuple(warnings))


def _checked_motion(system: System, x: np.ndarray, u: np.ndarray) -> float:
    """The largest motion over the points x ``(m, nx)``, u ``(m, nu)`` of the region, in ranges per second.

    Raises :class:`InputError` for derivatives that are not finite, and for sizes that cannot be computed with.
    """
    values = system.derivative(x, u), system.measure(x, u)
    bad = ~np.isfinite(values[0]).all(axis=1)
    if bad.any() and system.kind == "continuous":
        at, which = x[bad][0], np.flatnonzero(~np.isfinite(values[0][bad][0]))
        where = ", ".join(f"{name}={number:.4g}" for name, number in zip(system.state_names[:8], at[:8], strict=True))
        raise InputError(
            f"system '{system.name}': the derivative of {', '.join(system.state_names[k] for k in which[:8])} is not finite inside the "
            f"region, at {where}; narrow the ranges to where the equations hold"
        )
    motion = "derivative" if system.kind == "continuous" else "next value"
    for value, names, what in ((values[0], system.state_names, motion), (values[1], system.output_names, "output")):
        sizes = np.max(np.abs(value), axis=0, where=np.isfinite(value), initial=0.0)
        for name, size in zip(names, sizes.tolist(), strict=True):
            if what == "output" or size > LARGEST:  # a motion may be as slow as it likes
                check_number(
                    f"system '{system.name}'",
                    f"the {what} of '{name}' over the region",
                    float(f"{size:.4g}"),
                    "numbers",
                )
    width = np.ptp(system.state_ranges, axis=1)
    return float(np.max(np.abs(values[0]) / width)) if system.kind == "continuous" else 1.0


def _coarseness(system: System, dt: float) -> tuple[str, ...]:
    (fastest, _), unit = time_scales(system), system.time_unit
    if dt <= fastest:
        return ()
    return (
        f"dt = {dt:g} {unit} is coarser than the fastest mode of the plant (time constant {fastest:.3g} {unit}); consider a smaller dt",
    )
