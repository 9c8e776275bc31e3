"""Formulas of a graph as texts for a person, in the names of the signals."""

import re
from collections.abc import Mapping, Sequence

import casadi as ca

from systems.evaluation import to_casadi
from systems.graph import Graph

_PASSED = ("add", "sub", "mul", "div", "neg")  # a constant beside what depends on the time is left out


def formulas(graph: Graph, names: Mapping[str, Sequence[str]]) -> list[str]:
    """The rows of a graph as texts; ``names`` of the elements of each input, in order."""
    columns = [ca.vertcat(*map(ca.SX.sym, names[key])) if names[key] else ca.SX(0, 1) for key, _ in graph.inputs]
    value = to_casadi(graph)(*columns)
    return [_plain(str(value[k])) for k in range(value.numel())]


def _plain(text: str) -> str:
    text = text.replace("fabs", "abs").replace("==", " = ").removeprefix("(").removesuffix(")")
    text = re.sub(r"(<=|<)", r" \1 ", text)
    if text.count("(") != text.count(")"):  # it was no bracket around all of it
        text = f"{text})" if text.count("(") > text.count(")") else f"({text}"
    return re.sub(r"\(\(([^()]*)\)\)", r"(\1)", text)


def time_terms(graph: Graph, names: Mapping[str, Sequence[str]]) -> list[str]:
    """What depends on the time alone, as texts without constant factors: ``cos(1.2*t)`` of ``-x + 0.8*cos(1.2*t)``."""
    timed, other = set(), set()
    for k, (kind, *arguments) in enumerate(graph.nodes):
        if kind == "input":
            (timed if arguments[0] == "t" else other if arguments[0] in ("x", "u") else set()).add(k)
        elif kind != "const":
            if timed & set(arguments):
                timed.add(k)
            if other & set(arguments):
                other.add(k)
    alone = timed - other
    live = graph._live
    mixed = [
        node[1:]
        for k, node in enumerate(graph.nodes)
        if k in live and k not in alone and node[0] not in ("input", "const")
    ]
    places = {a for arguments in mixed for a in arguments if a in alone} | (alone & set(graph.outputs))
    found = []
    for place in sorted(places):
        while graph.nodes[place][0] in _PASSED:
            inner = [a for a in graph.nodes[place][1:] if a in alone]
            if len(inner) != 1:
                break
            place = inner[0]
        found.append(place)
    rows = tuple(dict.fromkeys(found))
    return list(dict.fromkeys(formulas(Graph(graph.inputs, graph.nodes, rows, (len(rows),)), names))) if rows else []
