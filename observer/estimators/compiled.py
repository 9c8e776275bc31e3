"""Whole runs of the filters as machine code: the plant's graphs as straight-line code, and the recursions as loops around them.

The same compiler, cache and scalar code as for simulating a plant (:mod:`systems.compilation`), so that times per step can be
compared. Outputs are taken in one after the other, which is the joint update for a diagonal R. A kernel knows as much as its
NumPy counterpart: missing outputs, angles, limits; the tests hold both to the same numbers.
"""

from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np

from observer.estimators.kernels import gains, kalman
from observer.known_plant import KnownPlant
from systems.assembly import assemble
from systems.compilation import compile_text, functions
from systems.discretization import DiscreteSystem
from systems.evaluation import jacobian
from systems.graph import Graph

WORTH = 5000  # samples of all trajectories together; below, NumPy is done before a compiler has begun
LARGEST_GRAPH = 20_000  # operations; machine code of a larger one takes minutes to make

_KERNELS = {
    "gain": gains.run_gain, "extended": kalman.run_extended, "unscented": kalman.run_unscented,
    "projection": gains.run_projection, "high_gain": gains.run_high_gain,
}  # fmt: skip


def serves(plant: DiscreteSystem, r: np.ndarray, samples: int) -> bool:
    """Whether a run of so many samples is worth a compiled one, and can be one: a graph, time-invariant, R diagonal."""
    if plant.graph is None or plant.system.time_dependent or samples < WORTH:
        return False
    small = len(plant.graph.nodes) * (1 + plant.nx / 4) < LARGEST_GRAPH
    return small and not (r - np.diag(np.diag(r))).any()


@lru_cache(maxsize=32)
def _compiled(kind: str, step: Graph, output: Graph, slopes: Graph | None = None) -> Callable[..., None]:
    kernel = _KERNELS[kind]
    graphs = {"step": step, "output": output}
    if kind == "extended":
        graphs["step_slope"] = jacobian(step, "x")
    if kind in ("extended", "projection"):
        graphs["output_slope"] = jacobian(output, "x")
    if slopes is not None:
        graphs["slopes"] = slopes
    sizes = dict(step.inputs)
    nx, nu, ny = sizes["x"], sizes["u"], output.shape[0]
    square, state = np.zeros((nx, nx)), np.ones(nx)
    extra: dict[str, tuple[Any, ...]] = {
        "gain": (np.zeros((nx, ny)),),
        "extended": (square, square, np.ones(ny)),
        "unscented": (square, square, np.ones(ny), np.ones(2 * nx + 1), 1.0),
        "projection": (square, np.ones(ny), 1.0),
        "high_gain": (np.zeros((nx, ny)), state, state, state, state),
    }
    tail = (np.zeros(nx), np.zeros(nx), np.zeros(ny), *((np.zeros(nx),) if kind == "unscented" else ()))

    def warm(module: ModuleType) -> None:
        signals = (np.zeros((1, nx)), np.zeros((1, 1, nu)), np.zeros((1, 1, ny)), np.zeros(sizes["p"]))
        getattr(module, kernel.__name__)(*signals, *extra[kind], *tail, np.zeros((1, 1, nx)))

    return getattr(compile_with(graphs, (kernel,), warm), kernel.__name__)


def compile_with(
    graphs: dict[str, Graph], kernels: tuple[Callable[..., Any], ...], warm: Callable[[ModuleType], None]
) -> ModuleType:
    """Kernels compiled together with the graphs that they call, the last of them called by ``warm``."""
    text = functions(**graphs) + "\n\n" + assemble(*kernels, given=graphs)
    return compile_text(text, kernels[-1].__name__, warm)[0]


def run(
    kind: str,
    model: KnownPlant,
    x_hat0: np.ndarray,
    u: np.ndarray,
    y: np.ndarray,
    *extra: Any,
    slopes: Graph | None = None,
) -> np.ndarray:
    """Estimates ``(..., N, nx)`` by the kernel ``kind`` and what it takes: gain (K), extended (P0, Q, diagonal of R),
    unscented (factors of P0 and Q, deviations of the outputs, weights, spread), projection (M^-1, sizes of the outputs, relaxation)
    or high_gain (gain and size of the rows of ``slopes``, half ranges, least and most of the states)."""
    plant = model.plant
    assert plant.graph is not None
    batch = x_hat0.shape[:-1]
    arrays = flat(model, x_hat0, u, y)
    rest = [np.ascontiguousarray(a, dtype=float) if isinstance(a, np.ndarray) else float(a) for a in extra]
    result = np.empty((*arrays[1].shape[:2], plant.nx))
    angles = (model.state_periods,) if kind == "unscented" else ()
    low, high = (np.ascontiguousarray(row) for row in model.limits)
    _compiled(kind, plant.graph, plant.system.output, slopes)(
        *arrays, plant.system.parameter_values, *rest, low, high, model.output_periods, *angles, result
    )
    return result.reshape(*batch, *result.shape[1:])


def flat(model: KnownPlant, x_hat0: np.ndarray, u: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """x_hat0 ``(K, nx)``, u ``(K, N, nu)`` as an estimator knows it and y ``(K, N, ny)``: one batch axis, contiguous floats."""
    batch, samples = x_hat0.shape[:-1], u.shape[-2]
    rows = int(np.prod(batch))
    signals = (
        np.broadcast_to(a, (*batch, *a.shape[-2:])).reshape(rows, samples, a.shape[-1]) for a in (model.known(u), y)
    )
    return [np.ascontiguousarray(a, dtype=float) for a in (x_hat0.reshape(rows, model.plant.nx), *signals)]
