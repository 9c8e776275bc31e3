"""A feedback law: what drives the inputs of a plant that does not stay in its ranges by itself.

    u[k] = clip(law(t_k, x[k], y[k], u[k], p, r[k]) + share (d[k] - middle), range)       for every driven input

d is the usual excitation of an input, r are reference signals that are drawn as inputs are. The law belongs to data and trials only: an
observer sees u and y as always.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import casadi as ca
import numpy as np

from systems.base.errors import InputError
from systems.base.wording import nearest
from systems.evaluation import evaluate, from_expression, symbols_of, to_casadi
from systems.graph import Graph
from systems.signals import Signal, check_number
from systems.tracing import read_equations

if TYPE_CHECKING:
    from systems.system import System

EXCITATION = 0.1  # share of its usual excitation that a driven input keeps


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """A law for inputs, held over each sample and clipped to their ranges.

    Parameters
    ----------
    law : callable, casadi.Function or Graph
        Of ``t, x, y, u, p, r``, matched by name; one value for each driven input, in their order. ``u`` are the drawn inputs (those
        that the law does not drive act as they are), ``r`` the references.
    inputs : sequence of str
        The driven inputs; every known input when left out.
    references : sequence of Signal
        Signals that the law follows, each with its ``range`` and ``excitation``.
    excitation : float
        Share of the usual excitation that is added to each driven input, so that the data are rich.
    found : str
        How the program found the law, in words; empty for a law that a person gave.
    """

    law: Any
    inputs: Sequence[str] = ()
    references: Sequence[Signal] = ()
    excitation: float = EXCITATION
    found: str = ""

    def to_data(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "law": self.law.to_data(), "inputs": list(self.inputs), "references": [asdict(s) for s in self.references],
            "excitation": self.excitation, "found": self.found,
        }  # fmt: skip

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Feedback":
        """Rebuild from :meth:`to_data`; a missing key is a KeyError."""
        return cls(
            law=Graph.from_data(data["law"]), inputs=tuple(data["inputs"]), excitation=float(data["excitation"]),
            references=tuple(Signal(**s) for s in data["references"]), found=str(data["found"]),
        )  # fmt: skip


def read_feedback(system: "System", given: Any) -> Feedback:
    """The feedback of a system with its law as a graph; ``given`` is a :class:`Feedback`, or a law for every known input.

    Raises :class:`InputError` for a law that fits neither inputs nor signals.
    """
    owner, known = f"system '{system.name}': feedback", [system.input_names[k] for k in system.known]
    given = given if isinstance(given, Feedback) else Feedback(law=given)
    driven = tuple(given.inputs) or tuple(known)
    for name in driven:
        if name not in known:
            raise InputError(f"{owner} drives '{name}', which is no known input; {nearest(name, known)}")
    if not driven or len(set(driven)) < len(driven):
        raise InputError(f"{owner} drives {', '.join(driven) or 'no input'}; expected different known inputs")
    references = tuple(given.references)
    taken = {*system.state_names, *system.input_names, *system.output_names, *system.parameters}
    for signal in references:
        if not isinstance(signal, Signal) or signal.range is None:
            raise InputError(
                f"{owner}: reference {getattr(signal, 'name', signal)!r} needs a range, as Signal(name, unit, (low, high))"
            )
        if signal.name in taken:
            raise InputError(f"{owner}: '{signal.name}' is the name of a reference and of another signal; rename one")
        taken.add(signal.name)
    share = check_number(owner, "excitation", given.excitation, "a share from 0 to 1", least=0.0)
    if share > 1:
        raise InputError(f"{owner}: excitation is {share:g}; expected a share from 0 to 1")
    sizes = {"t": 1, "x": system.nx, "u": system.nu, "p": len(system.parameters), "y": system.ny, "r": len(references)}

    def check(count: int) -> None:
        if count != len(driven):
            raise InputError(
                f"{owner} returns {count} values; expected {len(driven)}, one for each of {', '.join(driven)}"
            )

    law = given.law
    if not isinstance(law, Graph):
        law = read_equations(law, sizes, list(system.parameters), None, owner, check)
    if dict(law.inputs) != sizes:
        raise InputError(f"{owner}: the graph has inputs {dict(law.inputs)}; expected {sizes}")
    check(len(law.outputs))
    _check_through(system, law, driven, owner)
    return replace(given, law=law, inputs=driven, references=references, excitation=share)


def _check_through(system: "System", law: Graph, driven: Sequence[str], owner: str) -> None:
    """Raises where an output in the law depends on a driven input at the same time: then neither can be worked out first."""
    output = system.output
    for k in law.used("y"):
        alone = replace(output, outputs=(output.outputs[k],), shape=(1,))
        through = [name for name in driven if system.input_names.index(name) in alone.used("u")]
        if through:
            raise InputError(
                f"{owner} uses output '{system.output_names[k]}', which depends on the driven input '{through[0]}' in the same sample; "
                "write the law in states instead"
            )


def commands_of(system: "System") -> tuple[Signal, ...]:
    """What is drawn at random to move a plant: its inputs, and the references of its feedback."""
    return (*system.inputs, *(system.feedback.references if system.feedback is not None else ()))


def applied(system: "System", t: Any, x: np.ndarray, y: np.ndarray, commands: np.ndarray) -> np.ndarray:
    """The inputs ``(..., nu)`` that act at time t ``(...)`` in states x, with measurements y, under commands ``(..., nu + references)``."""
    feedback, nu = system.feedback, system.nu
    u = np.array(commands[..., :nu])
    if feedback is None:
        return u
    value = evaluate(
        feedback.law, t=np.asarray(t, dtype=float)[..., None], x=x, u=u, p=system.parameter_values, y=y, r=commands[..., nu:]
    )  # fmt: skip
    driven, (low, high) = _driven(system), system.input_ranges.T
    extra = feedback.excitation * (u[..., driven] - 0.5 * (low + high)[driven])
    u[..., driven] = np.clip(value + extra, low[driven], high[driven])
    return u


def looped(system: "System", step: Graph) -> Graph:
    """A map ``step`` of t, x, u, p under the feedback law, with the commands as its u; y = h(t, x, u, p) is free of noise."""
    feedback, nu = system.feedback, system.nu
    assert feedback is not None
    s = symbols_of(step) | {"u": ca.SX.sym("commands", len(commands_of(system)))}
    t, x, commands, p = s["t"], s["x"], s["u"], s["p"]
    drawn, (low, high) = commands[:nu], system.input_ranges.T
    value = to_casadi(feedback.law)(t, x, drawn, p, to_casadi(system.output)(t, x, drawn, p), commands[nu:])
    u = [drawn[k] for k in range(nu)]
    for j, k in enumerate(_driven(system)):
        extra = feedback.excitation * (drawn[k] - 0.5 * (low[k] + high[k]))
        u[k] = ca.fmin(ca.fmax(value[j] + extra, low[k]), high[k])
    return from_expression(to_casadi(step)(t, x, ca.vertcat(*u), p), s)


def _driven(system: "System") -> np.ndarray:
    assert system.feedback is not None
    return np.array([system.input_names.index(name) for name in system.feedback.inputs], dtype=int)
