"""A computation graph as plain data: what a plant *is*, once its equations have been read.

A graph is a list of nodes in evaluation order. Each node is an input element, a constant, or an elementary operation on
earlier nodes. It is stored as JSON in every run folder, so that a run is reloaded without executing anybody's code, and
every evaluator (NumPy, CasADi, machine code) is one table of elementary operations in :mod:`systems.evaluation`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from systems.base.errors import InputError

#: Elementary operations and how many arguments each takes.
ARITY = {
    "add": 2, "sub": 2, "mul": 2, "div": 2, "neg": 1, "pow": 2, "sq": 1, "sqrt": 1, "exp": 1, "log": 1,
    "sin": 1, "cos": 1, "tan": 1, "asin": 1, "acos": 1, "atan": 1, "atan2": 2,
    "sinh": 1, "cosh": 1, "tanh": 1, "asinh": 1, "acosh": 1, "atanh": 1, "log1p": 1, "expm1": 1, "hypot": 2, "erf": 1,
    "abs": 1, "sign": 1, "floor": 1, "ceil": 1, "fmod": 2, "copysign": 2, "min": 2, "max": 2,
    "lt": 2, "le": 2, "eq": 2, "ne": 2, "not": 1, "and": 2, "or": 2, "if_else_zero": 2,
}  # fmt: skip

Node = tuple[Any, ...]  # ("input", name, index) | ("const", value) | (operation, *indices of earlier nodes)


@dataclass(frozen=True)
class Graph:
    """``outputs = graph(inputs)``: named input vectors, nodes in evaluation order, and which nodes are the result.

    ``shape`` is ``(m,)`` for a vector and ``(m, n)`` for a Jacobian; ``outputs`` lists its elements row by row.
    """

    inputs: tuple[tuple[str, int], ...]
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        sizes = dict(self.inputs)
        for index, (kind, *arguments) in enumerate(self.nodes):
            if kind == "input":
                name, element = arguments
                fits = name in sizes and isinstance(element, int) and 0 <= element < sizes[name]
            elif kind == "const":
                fits = len(arguments) == 1 and isinstance(arguments[0], float) and math.isfinite(arguments[0])
            else:
                fits = ARITY.get(kind) == len(arguments) and all(
                    isinstance(a, int) and 0 <= a < index for a in arguments
                )
            if not fits:
                raise InputError(f"graph: node {index} is {(kind, *arguments)!r}, which is no valid operation")
        if math.prod(self.shape) != len(self.outputs) or not all(0 <= k < len(self.nodes) for k in self.outputs):
            raise InputError(f"graph: {len(self.outputs)} outputs do not fit shape {self.shape}")

    def used(self, name: str) -> set[int]:
        """Indices of the elements of input ``name`` on which the result depends."""
        return {
            node[2] for k, node in enumerate(self.nodes) if node[0] == "input" and node[1] == name and k in self._live
        }

    @cached_property
    def _live(self) -> frozenset[int]:
        live, pending = set(), list(self.outputs)
        while pending:
            index = pending.pop()
            if index not in live:
                live.add(index)
                if self.nodes[index][0] not in ("input", "const"):
                    pending.extend(self.nodes[index][1:])
        return frozenset(live)

    def to_data(self) -> dict[str, Any]:
        """The graph as JSON-able lists."""
        return {
            "inputs": [list(pair) for pair in self.inputs],
            "nodes": [list(node) for node in self.nodes],
            "outputs": list(self.outputs),
            "shape": list(self.shape),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Graph":
        """Rebuild a graph; raises :class:`InputError` when the data is no valid graph."""
        try:
            nodes = []
            for kind, *arguments in data["nodes"]:
                nodes.append((kind, float(arguments[0])) if kind == "const" else (kind, *arguments))
            return cls(
                inputs=tuple((str(name), int(size)) for name, size in data["inputs"]),
                nodes=tuple(nodes),
                outputs=tuple(int(k) for k in data["outputs"]),
                shape=tuple(int(k) for k in data["shape"]),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(f"graph: the stored graph cannot be read ({error})") from error
