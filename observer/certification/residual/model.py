"""What is bounded: observer and plant as the kernels take them, the region, the metric, and its evaluation in threads."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from observer.certification.contraction import find_fault
from observer.certification.residual import kernels
from observer.certification.residual.basis import make_basis
from observer.certification.residual.exclusion import Exclusion
from observer.certification.residual.program import Program, Unprovable, compile_program
from observer.networks.activations import get_activation
from observer.state_observer import RENObserver
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem

MOST_DIMENSIONS = 8  # of (x, u) that have any width: 2^8 corners per cell, and halving each of them once is 256 cells
_PER_THREAD = 64  # cells that pay for another thread
_LINEAR = ("STATE", "INPUT", "CONST", "SCALE", "SHIFT", "add", "sub")
PIECE = 2e8  # operations between two looks at the clock, some half a second
_PER_CELL = 1000.0  # operations of a cell beside those of plant and network
_CALL, _STEP = (
    600.0,
    200,
)  # operations that NumPy takes for a node beside one for each point; nodes that a step takes beside its graph


class OutOfTimeError(Exception):
    """The clock ended what has no use when it is half done."""


class OutOfWorkError(Exception):
    """The work that is allowed does not suffice for a result that is of use."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Bounds over n cells: ``cells`` (n, nx + nu, 2); ``bounds`` (n, 1 + nx), of |.|_M and of each state; ``lost`` (n,), the
    rounding in the first; ``split`` (n,), the dimension to halve; ``corners`` (n, nx + nu), where |.|_M may be worst."""

    cells: np.ndarray
    bounds: np.ndarray
    lost: np.ndarray
    split: np.ndarray
    corners: np.ndarray

    def take(self, chosen: np.ndarray) -> "Cells":
        """Some of them."""
        return Cells(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def join(self, other: "Cells") -> "Cells":
        """These, then the others."""
        return Cells(*(np.concatenate([getattr(self, n), getattr(other, n)]) for n in self.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class Model:
    """Observer, plant, region (nx + nu, 2) and metric, checked. Made by :func:`make_model`.

    ``end``: of ``time.monotonic()``, after which bounds of several cells end in an :class:`OutOfTimeError`.
    """

    observer: RENObserver
    plant: DiscreteSystem
    region: np.ndarray
    metric: np.ndarray
    threads: int
    order: int = 0  # of the polynomials; 0: by the dimension
    within: Any = None  # the part of the region that counts: ``boxes(coarsen)`` that cover it and ``holds(x)``
    end: float = np.inf

    @cached_property
    def root(self) -> np.ndarray:
        """R, upper triangular, M = R'R."""
        return np.ascontiguousarray(np.linalg.cholesky(self.metric).T)

    @cached_property
    def gains(self) -> np.ndarray:
        """(nx,), |v_i| <= gains_i |v|_M."""
        return np.linalg.norm(np.linalg.inv(self.root), axis=1) * (1 + 1e-10)

    @cached_property
    def inflate(self) -> float:
        """Factor for the rounding of R itself and of the last sums."""
        size = np.sqrt(np.diag(self.metric))
        condition = np.linalg.cond(self.metric / size / size[:, None])
        return float((1 + 1e-10) * (1 + 32 * len(size) ** 2 * np.finfo(float).eps * condition))

    @cached_property
    def free(self) -> np.ndarray:
        """Dimensions of the region that have a width."""
        return np.flatnonzero(self.region[:, 1] > self.region[:, 0])

    @cached_property
    def exclusion(self) -> Exclusion:
        """What the constraints of the plant's region exclude."""
        return Exclusion(self.plant, self.region)

    @cached_property
    def _arguments(self) -> tuple[Any, ...]:
        ren, system = self.observer.weights, self.plant.system
        assert self.plant.graph is not None
        values = system.parameter_values
        step = compile_program(self.plant.graph, values, f"the discretised plant '{system.name}'")
        output = compile_program(system.output, values, f"the output of '{system.name}'")
        arrays = (np.hstack([ren.A, ren.B2]), ren.B1, np.hstack([ren.C1, ren.D12]), ren.D11, ren.bx, ren.bv)
        net = (*(np.ascontiguousarray(array, dtype=float) for array in arrays), get_activation(ren.activation).code)
        known = np.array(system.known, dtype=np.int64)
        return net, rows(step), rows(output), known, self.root, self.gains

    def _tables(self, horizon: bool) -> tuple[Any, ...]:
        """Powers and their products: in the free dimensions, and over a horizon in nx more variables."""
        m = len(self.free)
        # With kinks, the first order is all there is to gain, and over many steps smaller forms pay more than better ones.
        order = self.order if self.order else 2 if m > 4 or (horizon and self._kinked) else 3
        basis, exponents = make_basis(m, order)
        if not horizon:
            nothing = np.zeros(0, dtype=np.int64)
            return self.free, basis, exponents, basis, nothing, nothing
        full, wider = make_basis(m + self.plant.nx, order)
        places = {tuple(row): k for k, row in enumerate(wider.tolist())}
        embed = np.array([places[(*row, *[0] * self.plant.nx)] for row in exponents.tolist()], dtype=np.int64)
        crossed = np.flatnonzero((wider.sum(axis=1) > 1) & (wider[:, m:].sum(axis=1) > 0))
        return self.free, basis, exponents, full, embed, crossed

    @cached_property
    def _kinked(self) -> bool:
        codes = np.concatenate([self._arguments[1][0], self._arguments[2][0]])
        kinks = [kernels.OPERATIONS.index(name) for name in ("abs", "sign")]
        return self.observer.weights.activation == "relu" or bool(np.isin(codes, kinks).any())

    def cost(self, steps: int = 0) -> float:
        """Operations that one cell takes: the terms that plant and network add and multiply, in one step or in ``steps``."""
        net, step, output, *_ = self._arguments
        terms, partners = self._tables(steps > 0)[3][1], self._tables(steps > 0)[3][3]
        product, (nv, inputs), nx, wide = int(partners.sum()), net[2].shape, self.plant.nx, terms + self.plant.ny
        composed = 2 * product + 8 * terms
        plant = program_cost(np.concatenate([step[0], output[0]]), terms, product)
        neurons = nv * (2 * inputs * wide + composed) + nv * nv * (wide + nv / 3) / 2
        return float(max(1, steps) * (plant + neurons + nx * (2 * inputs * wide + nv * (wide + nv / 2))) + _PER_CELL)

    def evaluation_cost(self, calls: float, points: float, steps: int = 0) -> float:
        """Operations of so many calls that evaluate so many points in all, in one step or in ``steps``."""
        nodes = len(self.plant.graph.nodes) if self.plant.graph is not None else 0
        return max(1, steps) * (nodes + len(self.plant.system.output.nodes) + _STEP) * (_CALL * calls + points)

    def prepare(self) -> "Model":
        """Raises :class:`Unprovable` before the search begins."""
        assert self._arguments
        return self

    def bound(
        self, cells: np.ndarray, rate: float = 0.0, steps: int = 0, step_gains: Any = None, stays: bool = False
    ) -> Cells:
        """Bounds over cells (n, nx + nu, 2): of the residual, or with ``steps`` of what it becomes over so many.

        step_gains : (nx,), |v_i+| <= step_gains_i |v|_M from one step to the next, proved; nothing is known when left out.
        stays : zero where the plant is sure to leave the region before the last step. Zero too where a constraint excludes the cell.
        """
        gone = self.exclusion.cells(cells)
        if not gone.any():
            return self._bound(cells, rate, steps, step_gains, stays)
        n = len(cells)
        split = np.full(n, self.free[0] if len(self.free) else 0)
        result = Cells(cells, np.zeros((n, 1 + self.plant.nx)), np.zeros(n), split, cells.mean(axis=2))
        if not gone.all():
            some = self._bound(np.ascontiguousarray(cells[~gone]), rate, steps, step_gains, stays)
            for name in ("bounds", "lost", "split", "corners"):
                getattr(result, name)[~gone] = getattr(some, name)
        return result

    def _bound(self, cells: np.ndarray, rate: float, steps: int, step_gains: Any, stays: bool) -> Cells:
        n, size = len(cells), len(self.region)
        result = Cells(
            cells, np.empty((n, 1 + self.plant.nx)), np.empty(n), np.empty(n, dtype=np.int64), np.empty((n, size))
        )
        widths = (self.region[:, 1] - self.region[:, 0])[self.free]
        upper, states = np.empty(n), np.empty((n, self.plant.nx))

        tables = self._tables(steps > 0)
        each = (
            np.full(self.plant.nx, np.inf) if step_gains is None else np.asarray(step_gains, dtype=float) * (1 + 1e-12)
        )

        def run(a: int, b: int) -> None:
            if n > 1:
                self.look_at_the_clock()
            out = (upper[a:b], states[a:b], result.split[a:b], result.corners[a:b], result.lost[a:b])
            equal = self.exclusion.equalities(tables[3][1])
            limits = np.array(self.region[: self.plant.nx] if stays else [[-np.inf, np.inf]] * self.plant.nx)
            kernels.compiled.bound_cells(
                *self._arguments, equal, each, tables, rate, steps, limits, cells[a:b], widths, self.inflate, *out
            )

        count = max(1, min(self.threads, n // _PER_THREAD))
        pieces = max(4 * count if count > 1 else 1, round(min(n * self.cost(steps) / PIECE, n)))
        if pieces == 1:
            run(0, n)
        else:
            cuts = np.linspace(0, n, pieces + 1).astype(int)
            with ThreadPoolExecutor(min(self.threads, pieces)) as pool:  # the compiled loops release the GIL
                for job in [pool.submit(run, a, b) for a, b in pairwise(cuts)]:
                    job.result()
        result.bounds[:, 0], result.bounds[:, 1:] = upper, states
        return result

    def look_at_the_clock(self) -> None:
        """Raises :class:`OutOfTimeError` after the ``end``."""
        if time.monotonic() > self.end:
            raise OutOfTimeError

    def start(
        self,
        rate: float = 0.0,
        steps: int = 0,
        step_gains: Any = None,
        stays: bool = False,
        coarsen: int = 1,
        most: float = np.inf,
    ) -> Cells:
        """Bounds over the region as one cell, or over boxes, ``most`` at most, that cover the part of it that counts."""
        cells = self.region[None]
        while self.within is not None and coarsen <= max(self.within.shape):
            self.look_at_the_clock()
            found = self.within.boxes(coarsen)
            if len(found) <= max(1.0, most):
                cells = found
                break
            coarsen *= 2
        return self.bound(np.ascontiguousarray(cells), rate, steps, step_gains, stays)

    def counts(self, points: np.ndarray) -> np.ndarray:
        """Which of points (k, nx + nu) are in the part of the region that counts."""
        inside = self.exclusion.points(points)
        return inside if self.within is None else inside & self.within.holds(points[:, : self.plant.nx])

    def residual(self, points: np.ndarray) -> np.ndarray:
        """r (k, nx) at points (k, nx + nu), as plain NumPy computes it in float64."""
        x, u = points[:, : self.plant.nx], points[:, self.plant.nx :]
        system = self.plant.system
        inputs = np.concatenate([u[:, system.known], system.measure(x, u)], axis=1)
        return self.observer.weights.next_state(x, inputs) - self.plant.step(x, u)

    def norm(self, vectors: np.ndarray) -> np.ndarray:
        """|v|_M (k,)."""
        return np.linalg.norm(vectors @ self.root.T, axis=1)


def program_cost(code: np.ndarray, terms: int, product: int) -> float:
    """Operations of a program in forms of so many ``terms``, of which two multiply by ``product`` of them."""
    linear = np.isin(code, [kernels.OPERATIONS.index(name) for name in _LINEAR])
    products = code == kernels.OPERATIONS.index("mul")
    others = len(code) - linear.sum() - products.sum()
    return float(2 * terms * linear.sum() + (product + 4 * terms) * products.sum() + (2 * product + 8 * terms) * others)


def rows(program: Program) -> tuple[np.ndarray, ...]:
    return program.code, program.a, program.b, program.c, program.outputs


def make_model(
    observer: RENObserver, plant: DiscreteSystem, region: Any, metric: Any, threads: int | None, within: Any = None,
    end: float = np.inf,
) -> Model:  # fmt: skip
    """Check what is given. Raises :class:`Unprovable` where nothing can be proved, :class:`InputError` for what is wrong."""
    system, ren = plant.system, observer.weights
    if plant.graph is None:
        raise Unprovable(
            f"the plant '{system.name}' is discretised by {plant.method}, which has no closed formula to bound; "
            "discretise it by euler, rk4 or exact, or rely on the statistical certificate"
        )
    if region is None:
        region = np.concatenate([system.state_ranges, system.input_ranges.reshape(-1, 2)])
    region = np.array(region, dtype=float)
    if region.shape != (plant.nx + plant.nu, 2):
        names = ", ".join((*system.state_names, *system.input_names))
        raise InputError(f"region has shape {region.shape}; expected ({plant.nx + plant.nu}, 2) for {names}")
    if not (np.isfinite(region).all() and (region[:, 0] <= region[:, 1]).all()):
        raise InputError(f"region is {region.tolist()}; expected finite pairs, low <= high")
    wide = int((region[:, 1] > region[:, 0]).sum())
    if wide > MOST_DIMENSIONS:
        raise Unprovable(
            f"the region of '{system.name}' has {wide} dimensions in states and inputs; a bound over it can be proved up to "
            f"{MOST_DIMENSIONS}: fix some of them, or rely on the statistical certificate"
        )
    if ren.nx != plant.nx or ren.nu != len(system.known) + plant.ny or not ren.has_identity_output:
        raise InputError(
            f"the observer has {ren.nx} states and {ren.nu} inputs; the plant '{system.name}' needs {plant.nx} and "
            f"{len(system.known) + plant.ny}, and an observer whose output is its state"
        )
    metric = np.array(observer.metric if metric is None else metric, dtype=float)
    fault = find_fault(ren, metric, observer.multipliers)
    if fault:
        raise InputError(f"no residual bound: {fault}")
    threads = usable_threads(threads)
    return Model(observer, plant, region, 0.5 * (metric + metric.T), threads, within=within, end=end).prepare()


def usable_threads(threads: int | None) -> int:
    """``threads``, or all cores that the process may use when left out."""
    return threads or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
