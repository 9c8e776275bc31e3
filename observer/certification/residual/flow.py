"""``enclose_flow``: boxes that hold where a plant takes every cell of states in a number of steps."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from observer.certification.residual import kernels
from observer.certification.residual.model import make_basis, rows, usable_threads
from observer.certification.residual.program import Unprovable, compile_program
from systems.discretization import DiscreteSystem

ORDER = 2


def enclose_flow(plant: DiscreteSystem, cells: np.ndarray, steps: int, threads: int | None = None) -> np.ndarray:
    """(n, nx, 2): boxes that hold F^steps(x; u_0 ... u_(steps-1)) for all x and all u_k of each cell (n, nx + nu, 2).

    The inputs of different steps are independent. Not finite where nothing is known. Raises :class:`Unprovable` where the
    plant has no formula, or an operation that has no enclosure.
    """
    if plant.graph is None:
        raise Unprovable(f"the plant '{plant.system.name}' is discretised by {plant.method}, which has no formula")
    program = rows(
        compile_program(plant.graph, plant.system.parameter_values, f"the discretised plant '{plant.system.name}'")
    )
    free = np.flatnonzero((np.ptp(cells, axis=2) > 0).any(axis=0))
    basis, exponents = make_basis(len(free), ORDER)
    images = np.empty((len(cells), plant.nx, 2))
    count = usable_threads(threads)
    cuts = np.linspace(0, len(cells), 4 * count + 1).astype(int)
    with ThreadPoolExecutor(count) as pool:  # the compiled loops release the GIL
        jobs = [
            pool.submit(kernels.compiled.flow_cells, program, free, basis, exponents, cells[a:b], steps, images[a:b])
            for a, b in pairwise(cuts)
        ]
        for job in jobs:
            job.result()
    return images
