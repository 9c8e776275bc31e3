"""Conditions on states and inputs beside their ranges: the part of the box that counts, where it is no box.

    g_i(x, u, p) <= 0,      h_j(x, u, p) = 0

A person writes comparisons, as texts ("abs(beta) <= 0.1", "s^2 + c^2 = 1", "0 <= soc <= 1") or as what a function returns
(``lambda x: [x[0]**2 + x[1]**2 == 1]``). They are read once into a graph, as all equations are; < counts as <=.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from systems.base.errors import InputError
from systems.base.wording import shorten
from systems.equations import Equation, parse
from systems.evaluation import evaluate, jacobian
from systems.formulas import formulas
from systems.graph import Graph, Node
from systems.tracing import read_equations

_SIGNS = re.compile(r"<=|>=|==|!=|[<>=]")
_COMPARE = {
    "<=": np.less_equal, "<": np.less_equal, ">=": np.greater_equal, ">": np.greater_equal, "=": np.equal, "==": np.equal,
}  # fmt: skip
_HOW = 'expected a comparison such as "abs(x1) <= 0.1", "0 <= x1 <= 1" or "x1^2 + x2^2 = 1"'


@dataclass(frozen=True)
class Constraints:
    """Rows of ``graph`` (t, x, u, p) -> ``(m,)`` that are at most zero, or zero where ``equal``; ``texts``: each as it was written."""

    texts: tuple[str, ...]
    equal: tuple[bool, ...]
    graph: Graph

    @cached_property
    def equalities(self) -> np.ndarray:
        """``(m,)``: which rows are equalities."""
        return np.array(self.equal, dtype=bool)

    @cached_property
    def of_inputs(self) -> np.ndarray:
        """``(m,)``: which rows depend on inputs."""
        return np.array([bool(row.used("u")) for row in self.rows], dtype=bool)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The conditions as they were written, each once."""
        return tuple(dict.fromkeys(self.texts))

    @property
    def rows(self) -> tuple[Graph, ...]:
        """Each row by itself."""
        return tuple(Graph(self.graph.inputs, self.graph.nodes, (place,), (1,)) for place in self.graph.outputs)

    def values(self, x: np.ndarray, u: np.ndarray, p: np.ndarray) -> np.ndarray:
        """g ``(..., m)`` at x ``(..., nx)`` and u ``(..., nu)``."""
        return evaluate(self.graph, t=np.zeros(1), x=x, u=u, p=p)

    @cached_property
    def _slopes(self) -> tuple[Graph, Graph]:
        return jacobian(self.graph, "x"), jacobian(self.graph, "u")

    def slopes(self, x: np.ndarray, u: np.ndarray, p: np.ndarray) -> np.ndarray:
        """dg/d(x, u) ``(k, m, nx + nu)`` at x ``(k, nx)`` and u ``(k, nu)``."""
        parts = [evaluate(graph, t=np.zeros(1), x=x, u=u, p=p) for graph in self._slopes]
        return np.concatenate([np.broadcast_to(part, (len(x), *part.shape[-2:])) for part in parts], axis=2)

    def to_data(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {"texts": list(self.texts), "equal": list(self.equal), "graph": self.graph.to_data()}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Constraints":
        """The inverse of :meth:`to_data`."""
        found = cls(tuple(map(str, data["texts"])), tuple(map(bool, data["equal"])), Graph.from_data(data["graph"]))
        if not len(found.texts) == len(found.equal) == len(found.graph.outputs):
            raise InputError("region: the stored constraints do not fit each other")
        return found


def read_constraints(
    source: Any,
    sizes: Mapping[str, int],
    signals: Sequence[str],
    parameters: Sequence[str],
    symbols: Mapping[str, Any] | None,
    owner: str,
) -> Constraints | None:
    """The constraints of a plant with inputs of ``sizes`` elements (t, x, u, p); None where there are none.

    ``source``: texts (one, a sequence, or a mapping of names to them), a function of x, u, p that returns comparisons, CasADi
    expressions, or constraints that were read before. ``signals``: names of the states, then of the inputs. Raises
    :class:`InputError` for what is no condition on them.
    """
    if isinstance(source, Constraints):
        if dict(source.graph.inputs) != dict(sizes):
            raise InputError(f"{owner}: the graph has inputs {dict(source.graph.inputs)}; expected {dict(sizes)}")
        return source
    texts: list[str] | None = None
    if isinstance(source, str | Mapping) or (
        isinstance(source, list | tuple) and all(isinstance(item, str) for item in source)
    ):
        written = [(owner, text) for text in ([source] if isinstance(source, str) else _texts(source))]
        found = [row for who, text in written for row in read_comparisons(text, [*signals, *parameters], who)]
        source = Conditions(found, signals[: sizes["x"]], signals[sizes["x"] :])
    if isinstance(source, Conditions):
        if not source.comparisons:
            return None
        texts, source = [row[0] for row in source.comparisons], source.function
    graph = read_equations(source, sizes, list(parameters), symbols, owner, lambda count: None)
    return _decomposed(graph, texts, signals, parameters, owner)


def _texts(source: Any) -> list[str]:
    """All texts of a sequence, or of a mapping of names to texts or to sequences of them."""
    items = source.values() if isinstance(source, Mapping) else source
    return [text for item in items for text in ([item] if isinstance(item, str) else item)]


Comparison = tuple[str, Equation, str, Equation]  # the text, one side, the sign, the other side


def read_comparisons(text: str, names: Any, owner: str) -> list[Comparison]:
    """The comparisons of a text, two where it is a chain such as ``0 <= soc <= 1``. Raises :class:`InputError`."""
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{owner}: {shorten(text)} is no condition; {_HOW}")
    plain = text.replace("≤", "<=").replace("≥", ">=").replace("=<", "<=").replace("=>", ">=")
    cuts = [match for match in _SIGNS.finditer(plain) if _depth(plain[: match.start()]) == 0]
    signs = [match.group() for match in cuts]
    directions = {sign[0] for sign in signs if sign[0] in "<>"}
    if not 1 <= len(signs) <= 2 or "!=" in signs or (len(signs) == 2 and len(directions) != 1):
        raise InputError(f"{owner}: {shorten(text)} is no condition; {_HOW}")
    ends = [0, *(end for match in cuts for end in match.span()), len(plain)]
    sides = [
        parse(plain[ends[2 * k] : ends[2 * k + 1]], names, f"{owner}: in {shorten(text)}")
        for k in range(len(signs) + 1)
    ]
    shown = " ".join(text.split())
    return [(shown, sides[k], sign, sides[k + 1]) for k, sign in enumerate(signs)]


def _depth(text: str) -> int:
    return text.count("(") - text.count(")")


@dataclass(frozen=True)
class Conditions:
    """Comparisons of states, inputs and parameters as texts; ``definitions`` are worked out in order before, by ``lookups`` as well."""

    comparisons: Sequence[Comparison]
    states: Sequence[str]
    inputs: Sequence[str]
    definitions: Mapping[str, Equation] = field(default_factory=dict)
    lookups: Mapping[str, Any] = field(default_factory=dict)

    def function(self, t: Any, x: Sequence[Any], u: Sequence[Any], p: Mapping[str, Any]) -> list[Any]:
        """What each comparison gives."""
        values = {
            "t": t,
            **dict(zip(self.states, x, strict=True)),
            **dict(zip(self.inputs, u, strict=True)),
            **p,
            **self.lookups,
        }
        for name, equation in self.definitions.items():
            values[name] = equation.evaluate(values)
        return [
            _COMPARE[sign](one.evaluate(values), other.evaluate(values)) for _, one, sign, other in self.comparisons
        ]


def _decomposed(
    graph: Graph, texts: Sequence[str] | None, signals: Sequence[str], parameters: Sequence[str], owner: str
) -> Constraints:
    """Comparisons as differences that are at most zero, or zero."""
    nodes: list[Node] = list(graph.nodes)
    nx = dict(graph.inputs)["x"]
    names = {"t": ["t"], "x": list(signals[:nx]), "u": list(signals[nx:]), "p": list(parameters)}
    said = list(texts) if texts is not None else formulas(graph, names)
    rows: list[tuple[str, bool, int]] = []
    pending = [(text, place) for text, place in zip(said, graph.outputs, strict=True)][::-1]
    while pending:
        text, place = pending.pop()
        kind, *arguments = graph.nodes[place]
        if kind == "and":
            pending += [(text, arguments[1]), (text, arguments[0])]
            continue
        if kind not in ("lt", "le", "eq"):
            raise InputError(f"{owner}: {shorten(text)} is no comparison of states and inputs; {_HOW}")
        nodes.append(("sub", *arguments))
        rows.append((text, kind == "eq", len(nodes) - 1))
    found = Constraints(
        tuple(row[0] for row in rows),
        tuple(row[1] for row in rows),
        Graph(graph.inputs, tuple(nodes), tuple(row[2] for row in rows), (len(rows),)),
    )
    for text, row in zip(found.texts, found.rows, strict=True):
        if row.used("t"):
            raise InputError(f"{owner}: {shorten(text)} depends on t; expected a condition on states and inputs")
        if not row.used("x") and not row.used("u"):
            raise InputError(f"{owner}: {shorten(text)} depends on no state and no input; {_HOW}")
    return found
