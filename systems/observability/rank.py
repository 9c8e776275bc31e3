"""Local observability along trajectories: the number of dimensions of the initial state that N samples of the outputs determine.

    O = (C_0; C_1 A_0; C_2 A_1 A_0; ...; C_(N-1) A_(N-2) ... A_0),   A_k = dF/dx, C_k = dh/dx at (x_k, u_k)

in range-scaled states and outputs of norm one, A_k and C_k the exact Jacobians of the discrete plant along its own motion. The
rank is the number of singular values above a tolerance times the largest one of all windows. Directions that are lost are
followed through the window: their growth per sample is |A_(N-1) ... A_0 v|^(1/N). Source: Hermann and Krener, IEEE TAC 22, 1977.
"""

from dataclasses import dataclass

import numpy as np

from systems.detectability import sample_jacobians
from systems.discretization import DiscreteSystem
from systems.integration import time_scales
from systems.observability.places import WIDE

TOLERANCE = 1e-9  # of the largest singular value
LONGEST, LONGEST_WHEN_WIDE = 200, 100  # samples of a window, up to 16 states and above
SPAN = 4.0  # of the plant's own typical time constants
SWOLLEN = 1e4  # a window ends where small deviations have grown by so much
JACOBIANS, JACOBIANS_WHEN_WIDE, JACOBIANS_WHEN_SLOW = 4000, 400, 300


def window_samples(plant: DiscreteSystem) -> int:
    """Samples N of a window: four typical time constants of the plant, at least 2 nx and at most 200 (100 with many states) beyond that."""
    least = 2 * plant.nx
    own = time_scales(plant.system)[1] if plant.system.kind == "continuous" else np.inf
    usual = (plant.system.duration or np.inf) / plant.dt
    wanted = min(
        SPAN * own / plant.dt, usual, LONGEST if plant.nx <= WIDE and plant.graph is not None else LONGEST_WHEN_WIDE
    )
    return int(max(least, np.ceil(wanted)))


@dataclass(frozen=True, eq=False)
class Windows:
    """Motions of N samples: x ``(K, N, nx)``, u ``(K, N, nu)``, and the Jacobians A ``(K, N, nx, nx)``, C ``(K, N, ny, nx)`` there.

    Range-scaled states, outputs divided by ``output_scale`` ``(ny,)``, their largest norm.
    """

    x: np.ndarray
    u: np.ndarray
    a: np.ndarray
    c: np.ndarray
    output_scale: np.ndarray


def windows(plant: DiscreteSystem, x: np.ndarray, u: np.ndarray) -> Windows:
    """Windows of motions x ``(K, N, nx)`` under u ``(K, N, nu)``; those that do not stay finite are left out."""
    points = np.concatenate([x, u], axis=2)
    good = np.isfinite(points).all(axis=(1, 2))
    found = None
    while good.any():
        flat = points[good].reshape(-1, points.shape[2])
        found = sample_jacobians(plant, points=flat)
        if len(found.points) == len(flat):
            break
        kept = {row.tobytes() for row in found.points}  # a Jacobian was not finite: its whole motion is left out
        good &= np.array([all(row.tobytes() in kept for row in motion) for motion in points])
        found = None
    n, samples = int(good.sum()), x.shape[1]
    if found is None or found.output_scale is None:
        empty = np.zeros((0, samples, plant.nx, plant.nx)), np.zeros((0, samples, plant.ny, plant.nx))
        return Windows(x[:0], u[:0], *empty, np.ones(plant.ny))
    a, c = (array.reshape(n, samples, *array.shape[1:]) for array in (found.a, found.c))
    return Windows(x[good], u[good], a, c, found.output_scale[: plant.ny])


@dataclass(frozen=True, eq=False)
class LocalRank:
    """Result of :func:`local_rank`.

    ``samples`` N of a window; ``ranks`` ``(K,)``; ``singular_values`` ``(K, nx)`` in parts of ``largest``; ``tolerance`` of the
    largest; ``where`` ``(nx + nu,)`` the first point of the least observable window, ``weakest`` ``(nx,)`` its least observable direction
    (range-scaled), ``lost`` ``(d, nx)`` its directions below the tolerance (the weakest first), and ``growth`` their largest
    growth per sample (0 where nothing is lost); ``worst`` the number of that window.
    """

    samples: int
    ranks: np.ndarray
    singular_values: np.ndarray
    largest: float
    tolerance: float
    where: np.ndarray
    weakest: np.ndarray
    lost: np.ndarray
    growth: float
    worst: int

    @property
    def weakest_values(self) -> np.ndarray:
        """``(nx,)`` singular values of the least observable window, in parts of the largest of all."""
        return self.singular_values[self.worst]

    @property
    def smallest(self) -> int:
        """The smallest rank of all windows."""
        return int(self.ranks.min())

    @property
    def share(self) -> float:
        """Share of the windows with less than full rank."""
        return float((self.ranks < len(self.weakest)).mean())


def local_rank(found: Windows, tolerance: float = TOLERANCE) -> LocalRank | None:
    """The rank over every window; None where no motion stayed finite."""
    count, samples, nx = found.x.shape
    if not count:
        return None
    flow = np.broadcast_to(np.eye(nx), (count, nx, nx))
    rows = []
    used = samples
    for k in range(samples):
        rows.append(found.c[:, k] @ flow)
        flow = found.a[:, k] @ flow
        if k + 1 >= nx and np.linalg.norm(flow, axis=(1, 2)).max() > SWOLLEN * np.sqrt(nx):
            used = k + 1
            break
    stacked = np.concatenate(rows, axis=1)
    _, values, v = np.linalg.svd(stacked, full_matrices=True)
    sizes = np.zeros((count, nx))
    sizes[:, : values.shape[1]] = values[:, :nx]
    largest = float(sizes.max())
    sizes = sizes / max(largest, 1e-300)
    ranks = (sizes > tolerance).sum(axis=1)
    # The window that is lost most: the smallest rank, and among equals the smallest singular value.
    worst = int(np.lexsort((sizes[:, -1], ranks))[0])
    lost = v[worst, ranks[worst] :][::-1]
    growth = float(np.linalg.norm(flow[worst] @ lost.T, 2) ** (1 / used)) if len(lost) else 0.0
    where = np.concatenate([found.x[worst, 0], found.u[worst, 0]])
    return LocalRank(used, ranks, sizes, largest, tolerance, where, v[worst, -1], lost, growth, worst)
