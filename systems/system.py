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
from systems.evaluation import evaluate
from systems.graph import Graph
from systems.signals import Parameter, Signal, check_label, check_name, check_number
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
        Sampling time [s]; may instead be given to :func:`discretize`. For a discrete system the time between two steps.
    kind : {"continuous", "discrete"}
    description, source : str
        For reports: what the plant is, and where its equations come from.
    duration : float, optional
        Usual length of a trial [s].
    symbols : mapping, optional
        CasADi symbols of expressions, for instance ``{"x": x, "u": u, "p": p}``.

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
    symbols: Mapping[str, Any] | None = None

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
        for what in ("dt", "duration"):
            if getattr(self, what) is not None:
                expected = "a positive number of seconds"
                check_number(f"system '{self.name}'", what, getattr(self, what), expected, least=0.0, zero=False)
        object.__setattr__(self, "dynamics", self._graph(self.dynamics, "dynamics", self.nx))
        object.__setattr__(self, "output", self._graph(self.output, "output", self.ny))
        object.__setattr__(self, "symbols", None)
        for what in ("derivative", "measure"):
            self._check_centre(what)

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
    def time_dependent(self) -> bool:
        """Whether the equations use t explicitly; such a plant can be simulated but not fitted."""
        return bool(self.dynamics.used("t") or self.output.used("t"))

    @property
    def unused(self) -> tuple[str, ...]:
        """Warnings for inputs and parameters that no equation uses (a slip of the pen, or on purpose)."""
        result = []
        for symbol, names, kind in (("u", self.input_names, "input"), ("p", tuple(self.parameters), "parameter")):
            used = self.dynamics.used(symbol) | self.output.used(symbol)
            result += [f"{kind} '{name}' is used by no equation" for k, name in enumerate(names) if k not in used]
        return tuple(result)

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
        """Everything about the plant as JSON-able data, its equations as graphs."""
        return {
            "name": self.name,
            "kind": self.kind,
            "description": self.description,
            "source": self.source,
            "dt": self.dt,
            "duration": self.duration,
            "states": [asdict(s) for s in self.states],
            "inputs": [asdict(s) for s in self.inputs],
            "outputs": [asdict(s) for s in self.outputs],
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
                states=[Signal(**s) for s in data["states"]],
                inputs=[Signal(**s) for s in data["inputs"]],
                outputs=[Signal(**s) for s in data["outputs"]],
                parameters={name: Parameter(**p) for name, p in data["parameters"].items()},
                dynamics=Graph.from_data(data["dynamics"]),
                output=Graph.from_data(data["output"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"the stored system cannot be read ({type(error).__name__}: {error})") from error

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the plant as data: two systems with the same fingerprint have the same equations and signals."""
        return hashlib.sha256(json.dumps(self.to_data(), sort_keys=True).encode()).hexdigest()
