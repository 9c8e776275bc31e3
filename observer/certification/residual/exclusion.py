"""Cells in which no state and input satisfies the constraints of the plant's region: nothing has to be proved of them."""

from functools import cached_property
from typing import Any

import numpy as np

from observer.certification.residual import kernels
from observer.certification.residual.basis import make_basis
from observer.certification.residual.program import Program, Unprovable, compile_program
from systems.discretization import DiscreteSystem
from systems.graph import Graph
from systems.regions import TOLERANCE, holds, moved_in, sizes
from systems.system import System


class Exclusion:
    """Which cells of ``box`` ``(nx + nu, 2)`` are surely outside the constraints, and which points are inside.

    A constraint counts as broken beyond ``TOLERANCE`` of its size, for cells as for points. One that has no enclosure excludes nothing.
    """

    def __init__(self, plant: DiscreteSystem, box: np.ndarray) -> None:
        self.system: System = plant.system
        self.box = box

    @property
    def exists(self) -> bool:
        """Whether the plant has constraints."""
        return self.system.region is not None

    @cached_property
    def _programs(self) -> list[tuple[tuple[np.ndarray, ...], bool, float]]:
        """(program, whether it is an equality, what it may be off by) of every constraint that can be enclosed."""
        found = []
        region, values = self.system.region, self.system.parameter_values
        for row, equal, size in zip(region.rows, region.equal, sizes(self.system), strict=True):
            try:
                program: Program = compile_program(row, values, f"the region of '{self.system.name}'")
            except Unprovable:
                continue
            arrays = (program.code, program.a, program.b, program.c, program.outputs)
            found.append((arrays, equal, TOLERANCE * float(size)))
        return found

    def equalities(self, width: int) -> tuple[Any, ...]:
        """Program, slacks and registers, of forms with ``width`` columns, of all equalities for ``remove_equalities``."""
        region, rows = self.system.region, []
        if region is not None:
            programs = [p for p, equal, _ in self._programs if equal]
            rows = [k for k in np.flatnonzero(region.equalities)] if len(programs) == region.equalities.sum() else []
        if region is None or not rows:
            none, nothing = np.zeros(0, dtype=np.int64), np.zeros(0)
            return none, none, none, nothing, none, nothing, np.zeros((0, width + 2))
        outputs = tuple(region.graph.outputs[k] for k in rows)
        graph = Graph(region.graph.inputs, region.graph.nodes, outputs, (len(rows),))
        program = compile_program(graph, self.system.parameter_values, f"the region of '{self.system.name}'")
        slack = TOLERANCE * sizes(self.system)[rows]
        arrays = (program.code, program.a, program.b, program.c, program.outputs)
        return *arrays, slack, np.zeros((len(program.code), width + 2))

    def cells(self, cells: np.ndarray) -> np.ndarray:
        """``(n,)``: whether every point of each cell ``(n, nx + nu, 2)`` breaks some constraint."""
        outside = np.zeros(len(cells), dtype=bool)
        if not self.exists or not len(cells):
            return outside
        free = np.flatnonzero((np.ptp(cells, axis=2) > 0).any(axis=0))
        basis, _ = make_basis(len(free), 2)
        for program, equal, slack in self._programs:
            left = np.flatnonzero(~outside)
            ranges = np.empty((len(left), 1, 2))
            some = np.ascontiguousarray(cells[left])
            kernels.compiled.enclose_cells(program, self.system.nx, free, basis, some, ranges)
            low, high = ranges[:, 0].T
            outside[left] = (low > slack) | (equal & (high < -slack))
        return outside

    def points(self, points: np.ndarray) -> np.ndarray:
        """``(k,)``: whether the constraints hold at points ``(k, nx + nu)``."""
        return holds(self.system, points)

    def moved(self, points: np.ndarray) -> np.ndarray:
        """Points ``(..., nx + nu)`` moved to where the constraints hold, as far as that goes."""
        if not self.exists:
            return points
        return moved_in(self.system, points.reshape(-1, points.shape[-1]), self.box).reshape(points.shape)
