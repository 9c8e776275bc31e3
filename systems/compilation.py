"""A graph as machine code: one step, and long rollouts of many trajectories in one loop (numba).

The nodes of a graph become straight-line scalar code, one statement each, in a module of their own in the user's cache
folder, where numba keeps the machine code too: a plant is compiled once per machine. Only operations and finite
constants of a checked :class:`Graph` are ever written there, and the text is compared before it is used.

    x[k+1] = F(t_k, x[k], u[k], p),   k = 0 .. N-1,   for every trajectory of a batch
"""

import hashlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np

from systems.base.atomic_files import atomic_path
from systems.graph import Graph

#: Elementary operation -> source text. Comparisons and logic give 1.0 or 0.0, as everywhere.
_TEXT = {
    "add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "div": "{} / {}", "neg": "-{}", "pow": "{} ** {}",
    "sq": "{0} * {0}", "sqrt": "np.sqrt({})", "exp": "np.exp({})", "log": "np.log({})", "sin": "np.sin({})",
    "cos": "np.cos({})", "tan": "np.tan({})", "asin": "np.arcsin({})", "acos": "np.arccos({})", "atan": "np.arctan({})",
    "atan2": "np.arctan2({}, {})", "sinh": "np.sinh({})", "cosh": "np.cosh({})", "tanh": "np.tanh({})",
    "asinh": "np.arcsinh({})", "acosh": "np.arccosh({})", "atanh": "np.arctanh({})", "log1p": "np.log1p({})",
    "expm1": "np.expm1({})", "hypot": "np.hypot({}, {})", "erf": "math.erf({})", "abs": "abs({})", "sign": "np.sign({})",
    "floor": "np.floor({})", "ceil": "np.ceil({})", "fmod": "np.fmod({}, {})", "copysign": "np.copysign({}, {})",
    "min": "np.fmin({}, {})", "max": "np.fmax({}, {})", "lt": "1.0 if {} < {} else 0.0", "le": "1.0 if {} <= {} else 0.0",
    "eq": "1.0 if {} == {} else 0.0", "ne": "1.0 if {} != {} else 0.0", "not": "1.0 if {} == 0.0 else 0.0",
    "and": "1.0 if ({} != 0.0 and {} != 0.0) else 0.0", "or": "1.0 if ({} != 0.0 or {} != 0.0) else 0.0",
    "if_else_zero": "{1} if {0} != 0.0 else 0.0",
}  # fmt: skip

_ROLLOUT = """

@njit(cache=True, nogil=True, error_model="numpy")
def rollout(x0, u, p, dt, start, result):
    for k in range(x0.shape[0]):
        for i in range(x0.shape[1]):
            result[k, 0, i] = x0[k, i]
        for n in range(u.shape[1]):
            step(start + n * dt, result[k, n], u[k, n], p, result[k, n + 1])
"""
_spent: list[tuple[float, bool]] = []
_WORK_PER_THREAD = 2_000_000  # elementary operations that pay for another thread


@dataclass(frozen=True)
class CompiledGraph:
    """``rollout`` of a step graph as machine code; ``seconds`` is what compiling took in this process (0: it was cached).

    ``cached``: the next process takes it from the disk.
    """

    graph: Graph
    module: ModuleType
    seconds: float
    cached: bool

    def rollout(self, x0: np.ndarray, u: np.ndarray, p: np.ndarray, dt: float, start: float = 0.0) -> np.ndarray:
        """States ``(K, N+1, nx)`` from x0 ``(K, nx)`` under u ``(K, N, nu)``; several threads over the batch."""
        x0, u, p = (np.ascontiguousarray(a, dtype=float) for a in (x0, u, p))
        result = np.empty((len(x0), u.shape[1] + 1, x0.shape[1]))
        work = len(x0) * u.shape[1] * len(self.graph.nodes)
        chunks = max(1, min(os.cpu_count() or 1, len(x0), work // _WORK_PER_THREAD))
        cuts = np.linspace(0, len(x0), chunks + 1).astype(int)
        if chunks == 1:
            self.module.rollout(x0, u, p, dt, start, result)
            return result
        with ThreadPoolExecutor(chunks) as pool:  # the compiled loop releases the GIL
            jobs = [
                pool.submit(self.module.rollout, x0[a:b], u[a:b], p, dt, start, result[a:b]) for a, b in pairwise(cuts)
            ]
            for job in jobs:
                job.result()
        return result


def functions(**graphs: Graph) -> str:
    """The text of a module with one compiled function ``name(t, x, u, p, out)`` for each graph with inputs t, x, u, p.

    ``out`` is flat: a Jacobian is written row by row.
    """
    lines = ["import math", "", "import numpy as np", "from numba import njit"]
    for name, graph in graphs.items():
        lines += ["", "", '@njit(cache=True, nogil=True, error_model="numpy")', f"def {name}(t, x, u, p, out):"]
        for k, (kind, *arguments) in enumerate(graph.nodes):
            if kind == "input":
                owner, element = arguments
                text = "t" if owner == "t" else f"{owner}[{element}]"
            elif kind == "const":
                text = repr(float(arguments[0]))
            else:
                text = _TEXT[kind].format(*(f"v{a}" for a in arguments))
            lines.append(f"    v{k} = {text}")
        lines += [f"    out[{i}] = v{k}" for i, k in enumerate(graph.outputs)]
    return "\n".join(lines) + "\n"


def source(graph: Graph) -> str:
    """The text of the module of a step graph with inputs t, x, u, p."""
    return functions(step=graph) + _ROLLOUT


def cache_folder() -> Path:
    """Where compiled plants and kernels are kept: ``REN_OBSERVER_CACHE``, or the user's cache folder."""
    given = os.environ.get("REN_OBSERVER_CACHE")
    base = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ren-observer"
    return base / "plants"


@lru_cache(maxsize=64)
def compile_graph(graph: Graph) -> CompiledGraph:
    """Compile a step graph, or take its machine code from the cache. Without a writable cache it is compiled each time."""
    module, seconds, cached = compile_text(source(graph), "rollout", lambda made: _warm(graph, made))
    return CompiledGraph(graph, module, seconds, cached)


def compile_text(text: str, entry: str, warm: Callable[[ModuleType], None]) -> tuple[ModuleType, float, bool]:
    """(module, seconds it took, whether the next process takes it from the disk) of a text made by :func:`functions`.

    ``entry`` is the compiled function that ``warm`` calls once, so that it is compiled or loaded now.
    """
    name = _name("plant", text)
    started = time.perf_counter()
    makers = (
        (lambda: _from_cache(name, text), True),
        (lambda: _from_cache(name, text, clean=True), True),
        (lambda: _in_memory(name, text), False),
    )
    last: Exception = RuntimeError("no compiler")
    for make, cached in makers:
        module = make()
        if module is None:
            continue
        try:
            warm(module)
        except Exception as error:  # machine code of another numba, or a damaged file: made again from the text
            last = error
            continue
        hits = sum(getattr(module, entry).stats.cache_hits.values())
        seconds = 0.0 if hits else time.perf_counter() - started
        _spent.append((seconds, cached))
        return module, seconds, cached
    raise last


def load_text(kind: str, text: str) -> ModuleType:
    """The module of a text, with its machine code from the disk where that can be read and written."""
    name = _name(kind, text)
    return _from_cache(name, text) or _in_memory(name, text)


def _name(kind: str, text: str) -> str:
    return f"{kind}_{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def compile_times() -> tuple[tuple[float, bool], ...]:
    """(seconds, cached) of every graph that was compiled or loaded in this process, in order; for progress messages."""
    return tuple(_spent)


def _warm(graph: Graph, module: ModuleType) -> None:
    """Call the rollout once over no time at all, so that it is compiled or loaded."""
    sizes = dict(graph.inputs)
    zeros = np.zeros((1, 0, sizes["u"]))
    module.rollout(np.zeros((1, sizes["x"])), zeros, np.zeros(sizes["p"]), 1.0, 0.0, np.zeros((1, 1, sizes["x"])))


def _from_cache(name: str, text: str, *, clean: bool = False) -> ModuleType | None:
    path = cache_folder() / f"{name}.py"
    try:
        if clean:
            for stale in (path.parent / "__pycache__").glob(f"{name}.*"):
                stale.unlink()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as partial:
                partial.write_text(text, encoding="utf-8")
        specification = importlib.util.spec_from_file_location(name, path)
        assert specification is not None and specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        sys.modules[name] = module  # where numba looks for the functions of machine code that it loads from its cache
        specification.loader.exec_module(module)
    except (OSError, RuntimeError):  # a read-only home, or nowhere for numba to write
        return None
    return module


def _in_memory(name: str, text: str) -> ModuleType:
    module = ModuleType(name)
    exec(compile(text.replace("cache=True, ", ""), name, "exec"), vars(module))  # our own text, see above
    return module


def worth_compiling(graph: Graph, steps: int) -> bool:
    """Whether a rollout of so many steps takes NumPy longer than a compiler needs (about a microsecond per node and step)."""
    return steps * len(graph.nodes) > 3_000_000
