"""``enclose_flow``: boxes that hold where a plant takes every cell of states in a number of steps."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from observer.certification.residual import kernels
from observer.certification.residual.basis import make_basis
from observer.certification.residual.model import PIECE, OutOfTimeError, program_cost, rows, usable_threads
from observer.certification.residual.program import Program, Unprovable, compile_program
from systems.discretization import DiscreteSystem

ORDER = 2


def flow_cost(plant: DiscreteSystem, box: np.ndarray) -> float:
    """Operations that one step of one cell in ``box`` ``(nx + nu, 2)`` takes, counted as those of a residual bound."""
    basis, _ = make_basis(int((np.ptp(box, axis=1) > 0).sum()), ORDER)
    return program_cost(_program(plant).code, basis[1] + plant.nx, int(basis[3].sum()))


def enclose_flow(
    plant: DiscreteSystem, cells: np.ndarray, steps: int, threads: int | None = None, end: float = np.inf
) -> np.ndarray:
    """(n, nx, 2): boxes that hold F^steps(x; u_0 ... u_(steps-1)) for all x and all u_k of each cell (n, nx + nu, 2).

    The inputs of different steps are independent. Not finite where nothing is known. Raises :class:`Unprovable` where the
    plant has no formula, or an operation that has no enclosure, and :class:`OutOfTimeError` when ``time.monotonic()`` is past ``end``.
    """
    program = rows(_program(plant))
    free = np.flatnonzero((np.ptp(cells, axis=2) > 0).any(axis=0))
    basis, exponents = make_basis(len(free), ORDER)
    images = np.empty((len(cells), plant.nx, 2))
    count = usable_threads(threads)
    pieces = len(cells) * steps * program_cost(program[0], basis[1] + plant.nx, int(basis[3].sum())) / PIECE
    cuts = np.linspace(0, len(cells), int(np.clip(pieces, 4 * count, max(len(cells), 1))) + 1).astype(int)

    def run(a: int, b: int) -> None:
        if time.monotonic() > end:
            raise OutOfTimeError
        kernels.compiled.flow_cells(program, free, basis, exponents, cells[a:b], steps, images[a:b])

    with ThreadPoolExecutor(count) as pool:  # the compiled loops release the GIL
        for job in [pool.submit(run, a, b) for a, b in pairwise(cuts)]:
            job.result()
    return images


def _program(plant: DiscreteSystem) -> Program:
    if plant.graph is None:
        raise Unprovable(f"the plant '{plant.system.name}' is discretised by {plant.method}, which has no formula")
    return compile_program(plant.graph, plant.system.parameter_values, f"the discretised plant '{plant.system.name}'")
