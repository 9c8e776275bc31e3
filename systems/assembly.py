"""Kernels: ordinary functions in files that a person can read, lint and step through, compiled together as one text.

    compiled = Kernels(bound_cells, flow_cells)        in a file;   compiled.bound_cells(...) runs machine code

The text holds the source of the functions and of all they call, and the constants and modules that they name. numba compiles
it and keeps the machine code under the hash of the text, so that a change of any helper or constant is a new text. What
cannot be copied, since its machine code is written by hand (:func:`machine_code`), is imported, with the hash of its file.

With ``NUMBA_DISABLE_JIT=1`` the functions themselves run, under any debugger.
"""

import ast
import hashlib
import inspect
import linecache
import math
import os
import sys
from collections.abc import Callable, Collection
from functools import lru_cache
from threading import Lock
from types import FunctionType
from typing import Any

import numpy as np

from systems.compilation import load_text


class Kernels:
    """Compiled functions, as attributes by their names; assembled and loaded when the first of them is asked for.

    Each is compiled for the types of its arguments when it is called, or taken from the disk. ``contract``: a product and a
    sum may become one fused operation, which rounds once.
    """

    def __init__(self, *functions: Callable[..., Any], contract: bool = False) -> None:
        self._functions = {function.__name__: function for function in functions}
        self._contract, self._lock = contract, Lock()

    @property
    def text(self) -> str:
        """What is compiled."""
        return assemble(*self._functions.values(), contract=self._contract)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._functions:
            raise AttributeError(f"{name!r} is not among the compiled functions {', '.join(self._functions)}")
        with self._lock:
            if name not in vars(self):
                plain = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
                vars(self).update(self._functions if plain else _loaded(self.text, self._functions))
        return vars(self)[name]


def _loaded(text: str, names: Collection[str]) -> dict[str, Any]:
    module = load_text("kernels", text)
    return {name: getattr(module, name) for name in names}


def machine_code(name: str) -> Callable[[FunctionType], FunctionType]:
    """Mark a function whose machine code is the object ``name`` of its module: an intrinsic, or itself, by ``overload``."""

    def mark(function: FunctionType) -> FunctionType:
        vars(function)["machine_code"] = name
        return function

    return mark


def assemble(*entries: Callable[..., Any], given: Collection[str] = (), contract: bool = False) -> str:
    """The text of a module with the functions ``entries``, whose machine code is kept on disk, and all that they use.

    ``given``: names that stand for functions of another text, to which this one is added.

    Raises
    ------
    ValueError
        Two different things have one name, or a name stands for something that has no place in a text.
    """
    found: dict[str, object] = {}
    heads: list[str] = []
    bodies: list[str] = []
    options = 'nogil=True, error_model="numpy"' + (', fastmath={"contract"}' if contract else "")

    def add(name: str, value: object) -> None:
        if name in found:
            if found[name] is not value and found[name] != value:
                raise ValueError(f"two things are called {name!r} in one compiled text; rename one of them")
            return
        found[name] = value
        if not isinstance(value, FunctionType) or "machine_code" in vars(value):
            heads.append(_head(name, value))
            return
        tree = _definition(name, value)
        for used in _names(tree, value):
            if used not in given:
                add(used, value.__globals__[used])
        # Without wrappers for calls from Python a helper is compiled in two thirds of the time.
        kept = "cache=True, " if value in entries else "no_cpython_wrapper=True, no_cfunc_wrapper=True, "
        bodies.append(f"@njit({kept}{options})\n{ast.unparse(tree)}")

    for entry in entries:
        add(entry.__name__, entry)
    return "\n".join(["from numba import njit", *sorted(heads)]) + "\n\n\n" + "\n\n\n".join(bodies) + "\n"


def _definition(name: str, function: FunctionType) -> ast.FunctionDef:
    """The function's tree, without decorators and docstring."""
    tree = _functions(function.__code__.co_filename).get(name)
    if tree is None or function.__name__ != name:
        raise ValueError(f"{name!r} is no function under its own name; expected def {name}(...) in a file")
    body = tree.body[1:] if ast.get_docstring(tree) is not None and len(tree.body) > 1 else tree.body
    return ast.FunctionDef(name, tree.args, body, [], lineno=1)


@lru_cache(maxsize=64)
def _functions(file: str) -> dict[str, ast.FunctionDef]:
    """The functions of a file, by their names."""
    return {
        node.name: node
        for node in ast.parse("".join(linecache.getlines(file))).body
        if isinstance(node, ast.FunctionDef)
    }


def _names(tree: ast.FunctionDef, function: FunctionType) -> list[str]:
    """Global names that a function reads, each once, in order."""
    local = set(function.__code__.co_varnames) | set(function.__code__.co_cellvars)
    read = (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    return [name for name in dict.fromkeys(read) if name not in local and name in function.__globals__]


def _head(name: str, value: object) -> str:
    """The line that a module, a constant or hand-written machine code takes."""
    if value is math or value is np:  # no others: what a kernel reads of our own modules must stand in the text
        return f"import {vars(value)['__name__']} as {name}"
    if isinstance(value, FunctionType):
        source = inspect.getsource(sys.modules[value.__module__])
        digest = hashlib.sha256(source.encode()).hexdigest()[:16]
        return f"from {value.__module__} import {vars(value)['machine_code']} as {name}  # {digest}"
    plain = isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))
    if not plain:
        raise ValueError(
            f"{name!r} is {value!r}; a kernel can name functions, math, np and constants (numbers or strings)"
        )
    return f"{name} = {value!r}"
