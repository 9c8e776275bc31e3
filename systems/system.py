"""The plant: named signals, parameters and equations, read once into a graph.

    continuous:  dx/dt = f(t, x, u, p)        y = h(t, x, u, p)
    discrete:    x[k+1] = f(t, x[k], u[k], p)

A system does not depend on observers, sampling methods or data.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from systems.base.errors import InputError
from systems.base.wording import nearest
from systems.constraints import Constraints, read_constraints
from systems.evaluation import evaluate
from systems.feedback import Feedback, read_feedback
from systems.graph import Graph
from systems.linear import linear_equations
from systems.signals import Parameter, Signal, check_label, check_name, check_number
from systems.time_units import PLANT_UNITS, WORDS, checked_unit, inferred_unit
from systems.tracing import read_equations

KINDS = ("continuous", "discrete")


@dataclass(frozen=True, kw_only=True)
class System:
    """A plant with measured outputs.

        continuous:  dx/dt = f(t, x, u, p)       y = h(t, x, u, p)
        discrete:    x[k+1] = f(t, x[k], u[k], p)

    Parameters
    ----------
    name : str
        The plant's name in reports.
    states, inputs, outputs : sequence of Signal
        States and inputs need a ``range``.
    dynamics, output : callable, casadi.Function or CasADi expressions
        f and h. A function's arguments are matched by name among ``t, x, u, p``; it returns nx (ny) numbers. The inputs of a
        ``casadi.Function`` have these names too; expressions come with their ``symbols``.
    parameters : mapping of str to float or Parameter
        They stay symbols of the graph (see :meth:`with_parameters`).
    dt : float, optional
        Sampling time, in ``time_unit``; may instead be given to :func:`discretize`. For a discrete system the time between two steps.
    kind : {"continuous", "discrete"}
    description, source : str
        For reports: what the plant is, and where its equations come from.
    duration : float, optional
        Usual length of a trial, in ``time_unit``.
    time_unit : {"us", "ms", "s", "min", "h", "d"}, optional
        The unit of time in which the equations are written; all times of the plant and of its runs are in it. When left out,
        minutes, hours or days where the units of the signals say so (``mg/dl/min``), else seconds.
    symbols : mapping, optional
        CasADi symbols of expressions, for instance ``{"x": x, "u": u, "p": p}``.
    region : sequence of str, callable or CasADi expressions, optional
        Conditions on states and inputs beside their ranges, as comparisons: ``["abs(beta) <= 0.1", "s^2 + c^2 = 1"]``, or a function
        such as ``lambda x: [x[0]**2 + x[1]**2 == 1]``. Only where they hold is anything fitted, proved and judged.
    feedback : callable or Feedback, optional
        The law that drives the inputs in simulated data and trials, for a plant that leaves its ranges by itself: a function of
        ``t, x, y, u, p``, or a :class:`Feedback` with references and the names of the inputs that it drives.

    Raises
    ------
    InputError
        With the name of the signal, for everything that cannot be used.

    Examples
    --------
    >>> tank = System(name="tank", states=[Signal("level", "m", (0.1, 1.0))], inputs=[Signal("inflow", "m/s", (0.0, 0.5))],
    ...               outputs=[Signal("y", "m")], dynamics=lambda x, u: [u[0] - x[0]], output=lambda x: [x[0]], dt=0.1)
    >>> tank.derivative([0.4], [0.5])
    array([0.1])
    """

    name: str
    states: Sequence[Signal]
    outputs: Sequence[Signal]
    dynamics: Any
    output: Any
    inputs: Sequence[Signal] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    dt: float | None = None
    kind: str = "continuous"
    description: str = ""
    source: str = ""
    duration: float | None = None
    time_unit: str = ""
    symbols: Mapping[str, Any] | None = None
    region: Any = None
    feedback: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise InputError(f"system name is {self.name!r}; expected a text")
        check_label("system", "name", self.name, "a text")
        if self.kind not in KINDS:
            raise InputError(f"system '{self.name}': kind is {self.kind!r}; expected one of {', '.join(KINDS)}")
        for what in ("states", "inputs", "outputs"):
            object.__setattr__(self, what, self._signals(what))
        parameters = {
            check_name("parameter", name): self._parameter(name, value) for name, value in dict(self.parameters).items()
        }
        object.__setattr__(self, "parameters", parameters)
        if not self.states:
            raise InputError(f"system '{self.name}' has no states; expected at least one Signal")
        if not self.outputs:
            raise InputError(f"system '{self.name}' has no outputs; an observer needs at least one measured output")
        taken: dict[str, str] = {}
        named = (("a state", self.state_names), ("an input", self.input_names), ("a parameter", tuple(parameters)))
        for what, names in named:
            for name in names:
                if name in taken:
                    raise InputError(
                        f"system '{self.name}': '{name}' is the name of {taken[name]} and of {what}; rename one"
                    )
                taken[name] = what
        if len(set(self.output_names)) < self.ny:
            raise InputError(f"system '{self.name}': two outputs have the same name; rename one")
        if self.time_unit and checked_unit(self.time_unit, f"system '{self.name}': time_unit") not in PLANT_UNITS:
            raise InputError(
                f"system '{self.name}': time_unit is '{self.time_unit}'; expected {', '.join(PLANT_UNITS)}"
            )
        unit = checked_unit(self.time_unit, "time_unit") if self.time_unit else self._inferred_unit
        object.__setattr__(self, "time_unit", unit)
        for what in ("dt", "duration"):
            if getattr(self, what) is not None:
                expected = f"a positive number of {WORDS[unit]}"
                check_number(f"system '{self.name}'", what, getattr(self, what), expected, least=0.0, zero=False)
        object.__setattr__(self, "dynamics", self._graph(self.dynamics, "dynamics", self.nx))
        object.__setattr__(self, "output", self._graph(self.output, "output", self.ny))
        if self.region is not None:
            object.__setattr__(self, "region", self._constraints())
        object.__setattr__(self, "symbols", None)
        if self.feedback is not None:
            object.__setattr__(self, "feedback", read_feedback(self, self.feedback))
        for what in ("derivative", "measure"):
            self._check_centre(what)

    @property
    def _inferred_unit(self) -> str:
        """The unit of time that the units of the signals tell."""
        signals = (*self.states, *self.inputs, *self.outputs, *self.parameters.values())
        return inferred_unit(signal.unit for signal in signals)

    @staticmethod
    def _parameter(name: str, value: Any) -> Parameter:
        try:
            return value if isinstance(value, Parameter) else Parameter(value)
        except InputError as error:
            raise InputError(str(error).replace("parameter", f"parameter '{name}'", 1)) from None

    def _signals(self, what: str) -> tuple[Signal, ...]:
        signals = tuple(getattr(self, what))
        for signal in signals:
            if not isinstance(signal, Signal):
                raise InputError(
                    f"system '{self.name}': {what} contains {signal!r}; expected Signal(name, unit, (low, high))"
                )
            if what != "outputs" and signal.range is None:
                raise InputError(
                    f"{what[:-1]} '{signal.name}' has no range; give the operating region, "
                    f'for instance Signal("{signal.name}", "{signal.unit}", (-1, 1))'
                )
            if what != "states" and signal.process_noise:
                raise InputError(
                    f"{what[:-1]} '{signal.name}' has process_noise; it is for states (an output has noise)"
                )
            if what != "inputs" and signal.role != "known":
                raise InputError(f"{what[:-1]} '{signal.name}' has role '{signal.role}'; roles are for inputs")
        for name, count in Counter(signal.name for signal in signals).items():
            if count > 1:
                raise InputError(f"system '{self.name}': the name '{name}' is used twice in {what}")
        return signals

    def _graph(self, source: Any, what: str, rows: int) -> Graph:
        """Read a function, CasADi function or expression into a graph of (t, x, u, p)."""
        sizes = {"t": 1, "x": self.nx, "u": self.nu, "p": len(self.parameters)}
        owner = f"system '{self.name}': {what}"
        signals = "states" if what == "dynamics" else "outputs"

        def check(count: int) -> None:
            if count != rows:
                names = ", ".join(s.name for s in getattr(self, signals))
                raise InputError(
                    f"{owner} returns {count} values; expected {rows}, one for each of the {signals} {names}"
                )

        if not isinstance(source, Graph):
            return read_equations(source, sizes, list(self.parameters), self.symbols, owner, check)
        if dict(source.inputs) != sizes:
            raise InputError(f"{owner}: the graph has inputs {dict(source.inputs)}; expected {sizes}")
        check(len(source.outputs) if len(source.shape) == 1 else 0)
        return source

    def _constraints(self) -> Constraints | None:
        names = (*self.state_names, *self.input_names)
        owner = f"system '{self.name}': region"
        sizes = dict(self.dynamics.inputs)
        return read_constraints(self.region, sizes, names, tuple(self.parameters), self.symbols, owner)

    def _check_centre(self, what: str) -> None:
        """Equations that are nan at the middle of the operating region are a mistake, best said at once."""
        centre = np.array([0.5 * (s.range[0] + s.range[1]) for s in self.states if s.range])
        inputs = np.array([0.5 * (s.range[0] + s.range[1]) for s in self.inputs if s.range])
        value = getattr(self, what)(centre, inputs)
        signals = self.states if what == "derivative" else self.outputs
        bad = [s.name for s, v in zip(signals, value, strict=True) if np.isnan(v)]
        if bad:
            at = ", ".join(
                f"{s.name}={v:g}" for s, v in zip([*self.states, *self.inputs], [*centre, *inputs], strict=True)
            )
            raise InputError(
                f"system '{self.name}': the {what} of {', '.join(bad)} is not a number at the middle of the region ({at}); "
                "check the equation (root or logarithm of a negative number, 0/0), or the ranges"
            )

    # Sizes and names -------------------------------------------------------------------------------------------------

    @property
    def nx(self) -> int:
        """Number of states."""
        return len(self.states)

    @property
    def nu(self) -> int:
        """Number of inputs, known ones and disturbances."""
        return len(self.inputs)

    @property
    def ny(self) -> int:
        """Number of measured outputs."""
        return len(self.outputs)

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the states, in order."""
        return tuple(s.name for s in self.states)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(s.name for s in self.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return tuple(s.name for s in self.outputs)

    @cached_property
    def known(self) -> np.ndarray:
        """Indices of the inputs that the observer is given; the others are disturbances."""
        return np.array([k for k, s in enumerate(self.inputs) if s.role == "known"], dtype=int)

    @cached_property
    def parameter_values(self) -> np.ndarray:
        """The parameter vector p, in the order of ``parameters``."""
        return np.array([p.value for p in self.parameters.values() if isinstance(p, Parameter)])

    @cached_property
    def state_ranges(self) -> np.ndarray:
        """``(nx, 2)``: low and high of every state's operating region; of an angle that turns one turn around its middle."""
        ranges = np.array([s.range for s in self.states], dtype=float).reshape(self.nx, 2)
        beyond = [0.5 * max(s.range[1] - s.range[0] - (s.period or np.inf), 0.0) for s in self.states if s.range]
        return ranges + np.outer(beyond, (1.0, -1.0))

    @cached_property
    def input_ranges(self) -> np.ndarray:
        """``(nu, 2)``: low and high of every input."""
        return np.array([s.range for s in self.inputs], dtype=float).reshape(self.nu, 2)

    @cached_property
    def initial_ranges(self) -> np.ndarray:
        """``(nx, 2)``: the box of initial states."""
        return np.array([s.initial or s.range for s in self.states], dtype=float).reshape(self.nx, 2)

    # Equations -------------------------------------------------------------------------------------------------------

    def derivative(self, x: Any, u: Any = (), t: Any = 0.0) -> np.ndarray:
        """f(t, x, u, p): ``(..., nx)`` from x ``(..., nx)`` and u ``(..., nu)``; for discrete systems the next state."""
        return self._evaluate(self.dynamics, x, u, t)

    def measure(self, x: Any, u: Any = (), t: Any = 0.0) -> np.ndarray:
        """h(t, x, u, p): ``(..., ny)``."""
        return self._evaluate(self.output, x, u, t)

    def _evaluate(self, graph: Graph, x: Any, u: Any, t: Any) -> np.ndarray:
        return evaluate(graph, t=np.asarray(t, dtype=float)[..., None], x=x, u=u, p=self.parameter_values)

    @property
    def has_noise(self) -> bool:
        """Whether some output states measurement noise, or some state process noise."""
        return any(s.noise > 0 for s in self.outputs) or any(s.process_noise > 0 for s in self.states)

    @property
    def time_dependent(self) -> bool:
        """Whether the equations use t explicitly; such a plant can be simulated but not fitted."""
        return bool(self.dynamics.used("t") or self.output.used("t"))

    @property
    def unused(self) -> tuple[str, ...]:
        """Warnings for inputs and parameters that no equation uses (a slip of the pen, or on purpose)."""
        result = []
        for symbol, names, kind in (("u", self.input_names, "input"), ("p", tuple(self.parameters), "parameter")):
            used = self.dynamics.used(symbol) | self.output.used(symbol)
            if self.feedback is not None:
                used |= self.feedback.law.used(symbol)
            result += [f"{kind} '{name}' is used by no equation" for k, name in enumerate(names) if k not in used]
        return tuple(result)

    @classmethod
    def linear(
        cls, A: Any, B: Any, C: Any, D: Any = None, *, states: Any, outputs: Any, inputs: Any = (), **more: Any
    ) -> "System":
        """The plant dx/dt = A x + B u, y = C x + D u; with ``kind="discrete"`` x[k+1] = A x[k] + B u[k].

        Parameters
        ----------
        A, B, C, D : array_like
            Matrices in the order of the signals; None stands for zeros in B and D.
        states, inputs, outputs, **more
            As those of a :class:`System`.

        Raises
        ------
        InputError
            For a matrix whose shape is not that of the signals.

        Examples
        --------
        >>> motor = System.linear([[-2.0]], [[1.0]], [[1.0]], states=[Signal("w", "rad/s", (-9, 9))],
        ...                       inputs=[Signal("u", "V", (-9, 9))], outputs=[Signal("y", "rad/s")], name="motor", dt=0.1)
        >>> motor.derivative([1.0], [3.0])
        array([1.])
        """
        try:
            dynamics, output = linear_equations(A, B, C, D, nx=len(states), nu=len(inputs), ny=len(outputs))
        except InputError as error:
            raise InputError(f"system '{more.get('name', 'linear')}': {error}") from None
        return cls(states=states, inputs=inputs, outputs=outputs, dynamics=dynamics, output=output, **more)

    # Variants and storage --------------------------------------------------------------------------------------------

    def with_parameters(self, **values: float) -> "System":
        """The same plant with other parameter values: ``system.with_parameters(mu=1.2)``."""
        return self._with("parameters", self.parameters, {name: {"value": value} for name, value in values.items()})

    def with_states(self, **changes: Mapping[str, Any]) -> "System":
        """The same plant with changed fields of some states: ``system.with_states(position={"initial": (-1, 1)})``."""
        return self._with("states", {s.name: s for s in self.states}, changes)

    def with_inputs(self, **changes: Mapping[str, Any]) -> "System":
        """The same plant with changed fields of some inputs: ``system.with_inputs(force={"excitation": "sine"})``."""
        return self._with("inputs", {s.name: s for s in self.inputs}, changes)

    def with_outputs(self, **changes: Mapping[str, Any]) -> "System":
        """The same plant with changed fields of some outputs: ``system.with_outputs(y={"noise": 0.05})``."""
        return self._with("outputs", {s.name: s for s in self.outputs}, changes)

    def _with(self, what: str, items: Mapping[str, Any], changes: Mapping[str, Mapping[str, Any]]) -> "System":
        """Another plant with changed fields of some of its ``items``, the signals or parameters called ``what``."""
        changed = dict(items)
        for name, fields in changes.items():
            if name not in items:
                raise InputError(f"system '{self.name}' has no {what[:-1]} '{name}'; {nearest(name, items)}")
            known = [key for key in vars(items[name]) if key != "name"]
            for key in fields:
                if key not in known:
                    raise InputError(f"{what[:-1]} '{name}' has no field '{key}' to change; {nearest(key, known)}")
            changed[name] = replace(items[name], **fields)
        return replace(self, **{what: changed if what == "parameters" else list(changed.values())})

    def to_data(self) -> dict[str, Any]:
        """Everything about the plant as JSON-able data, its equations as graphs; what is as it would be anyway is left out."""
        more: dict[str, Any] = {} if self.feedback is None else {"feedback": self.feedback.to_data()}
        more |= {} if self.time_unit == self._inferred_unit else {"time_unit": self.time_unit}
        more |= {} if self.region is None else {"region": self.region.to_data()}
        return more | {
            "name": self.name,
            "kind": self.kind,
            "description": self.description,
            "source": self.source,
            "dt": self.dt,
            "duration": self.duration,
            "states": [s.to_data() for s in self.states],
            "inputs": [s.to_data() for s in self.inputs],
            "outputs": [s.to_data() for s in self.outputs],
            "parameters": {name: asdict(p) for name, p in self.parameters.items()},  # type: ignore[arg-type]
            "dynamics": self.dynamics.to_data(),
            "output": self.output.to_data(),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "System":
        """Rebuild a plant from :meth:`to_data`; nothing is executed. Raises :class:`InputError` on damaged data."""
        try:
            return cls(
                name=data["name"],
                kind=data["kind"],
                description=data["description"],
                source=data["source"],
                dt=data["dt"],
                duration=data["duration"],
                time_unit=data.get("time_unit", ""),
                states=[Signal(**s) for s in data["states"]],
                inputs=[Signal(**s) for s in data["inputs"]],
                outputs=[Signal(**s) for s in data["outputs"]],
                parameters={name: Parameter(**p) for name, p in data["parameters"].items()},
                dynamics=Graph.from_data(data["dynamics"]),
                output=Graph.from_data(data["output"]),
                region=Constraints.from_data(data["region"]) if "region" in data else None,
                feedback=Feedback.from_data(data["feedback"]) if "feedback" in data else None,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"the stored system cannot be read ({type(error).__name__}: {error})") from error

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the plant as data: two systems with the same fingerprint have the same equations and signals."""
        return hashlib.sha256(json.dumps(self.to_data(), sort_keys=True).encode()).hexdigest()
