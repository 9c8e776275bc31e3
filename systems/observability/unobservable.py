"""Unobservable directions of a plant: where they are, what they are made of, and how fast they decay on their own.

One that does not decay at the rate of an observer is undetectable at that rate: no gain can change it.

At every place of :mod:`systems.observability.places` the plant is linearised, and the unobservable subspace of (A, C) is found
(:mod:`systems.observability.subspace`). What it means for an observer that contracts in a constant metric M and is exact:

    v in ker C, A v = lambda v   =>   |A v|_M = |lambda| |v|_M   =>   contraction rate >= |lambda|      (MATH 2h, (DD))

at every point of the region, and at an equilibrium for any observer whose error is differentiable, whatever its metric. So
``rate``, the largest |lambda|, is a lower bound of every rate that ``systems.detectability.search_metric`` can find.
"""

from dataclasses import dataclass, replace

import numpy as np

from systems.discretization import DiscreteSystem
from systems.observability.places import EQUILIBRIUM, REGION, TRAJECTORY, Places, places
from systems.observability.subspace import TOLERANCE, unobservable_modes, unobservable_subspace
from systems.observability.words import decay_text, direction_text, plain_basis, point_text
from systems.system import System

NAMED = 3  # modes that one sentence names
KINDS = (EQUILIBRIUM, TRAJECTORY, REGION)
GONE = 0.02  # an unobservable mode that shrinks by more within a sample needs no observer


@dataclass(frozen=True, eq=False)
class UnobservableModes:
    """The unobservable modes at one point ``(nx + nu,)`` of a ``kind`` (equilibrium, trajectory or region).

    ``eigenvalues`` ``(d,)`` per sample, the slowest first; ``directions`` ``(d, nx)`` in range-scaled states, complex where a
    mode oscillates; ``share`` of all points of this kind at which some mode is unobservable; ``everywhere``: the same at all points
    of all kinds.
    """

    point: np.ndarray
    kind: str
    eigenvalues: np.ndarray
    directions: np.ndarray
    share: float
    everywhere: bool
    dt: float

    @property
    def rate(self) -> float:
        """Factor per sample of the slowest: max |lambda|."""
        return float(np.abs(self.eigenvalues[0]))

    @property
    def decay(self) -> float:
        """-ln(rate)/dt in 1/s of the slowest; negative where it grows."""
        return float(-np.log(max(self.rate, 1e-300)) / self.dt)

    @property
    def frequency(self) -> float:
        """Angular frequency of the slowest in rad/s."""
        return float(np.abs(np.angle(self.eigenvalues[0])) / self.dt)

    @property
    def direction(self) -> np.ndarray:
        """``(nx,)`` the slowest, real, unit: of an oscillation one direction of its plane."""
        return _plane(self.directions[0])[0]

    def text(self, system: System, rate: float | None = None) -> str:
        """A sentence; with ``rate``, of the modes that are slower than that."""
        rows = [k for k, value in enumerate(self.eigenvalues) if rate is None or abs(value) >= rate]
        parts, named = [], 0
        for k in rows:
            value, mode = self.eigenvalues[k], self.directions[k]
            if value.imag < -1e-12 * abs(value):  # the other half of a pair
                continue
            if named == (NAMED if rate is not None else 1):
                break
            named += 1
            spoken = " and ".join(f"({direction_text(system, part)})" for part in _plane(mode))
            if value.imag > 1e-12 * abs(value):
                spoken += (
                    f", which turn into each other in {2 * np.pi / np.angle(value) * self.dt:.3g} {system.time_unit}"
                )
            parts.append(f"{spoken}, {decay_text(abs(value), self.dt, system.time_unit)}")
        what = "; ".join(parts)
        d = len(self.eigenvalues)
        count = f", the slowest of {d} unobservable dimensions" if d > 2 and rate is None else ""
        return f"{self.where(system)} {', '.join(system.output_names)} does not see {what}{count}"

    def where(self, system: System) -> str:
        """The place in words."""
        if self.everywhere:
            return "everywhere"
        of = {
            EQUILIBRIUM: "at the equilibrium",
            TRAJECTORY: "on trajectories, as at",
            REGION: "in the region, as at",
        }[self.kind]
        return f"{of} {point_text(system, self.point)}"


@dataclass(frozen=True, eq=False)
class UnobservableDirections:
    """Result of :func:`unobservable_directions`: for every kind of place the point with the slowest unobservable mode, the slowest first.

    ``places`` counts the points of every kind that were looked at; ``tolerance`` is the share of |C| and |A - I| below which
    an output counts as zero; ``dimension`` the largest unobservable dimension met.
    """

    modes: tuple[UnobservableModes, ...]
    places: dict[str, int]
    dimension: int
    tolerance: float

    @property
    def rate(self) -> float:
        """The slowest factor per sample, 0 where every direction is observable: no observer contracts faster."""
        return max((item.rate for item in self.modes), default=0.0)

    def slowest(self, kinds: tuple[str, ...] = KINDS) -> UnobservableModes | None:
        """The slowest at places of these kinds, or everywhere; None where none is, or all are gone in a sample."""
        return next((m for m in self.modes if m.rate > GONE and (m.kind in kinds or m.everywhere)), None)


def unobservable_directions(
    plant: DiscreteSystem,
    region: np.ndarray | None = None,
    *,
    visited: np.ndarray | None = None,
    seed: int = 0,
    thorough: bool = True,
    looked_at: Places | None = None,
    tolerance: float = TOLERANCE,
) -> UnobservableDirections:
    """Unobservable directions at equilibria, at ``visited`` points ``(m, nx + nu)`` and over the region ``(nx, 2)``.

    ``thorough``: search the region for the least observable point (a third of a second). ``looked_at``: places that are
    known already. Raises :class:`InputError` where no Jacobian is finite.
    """
    found = places(plant, region, visited, seed, thorough) if looked_at is None else looked_at
    jacobians = found.jacobians
    modes = []
    for a, c in zip(jacobians.a, jacobians.c, strict=True):
        modes.append(unobservable_modes(a, unobservable_subspace(a, c, tolerance)))
    some = np.array([len(values) > 0 for values, _ in modes])
    kinds = np.array(found.kinds)
    worst: list[UnobservableModes] = []
    for kind in KINDS:
        rows = np.flatnonzero((kinds == kind) & some)
        if not len(rows):
            continue
        k = max(rows, key=lambda row: (round(float(np.abs(modes[row][0][0])), 9), -row))  # type: ignore[arg-type,return-value]
        share = float(some[kinds == kind].mean())
        values, directions = modes[k]
        worst.append(UnobservableModes(jacobians.points[k], kind, values, directions, share, False, plant.dt))
    worst.sort(key=lambda item: -round(item.rate, 9))  # stable: an equilibrium first among equals
    if some.all() and worst and all(_alike(worst[0], other) for other in worst):
        worst = [replace(worst[0], everywhere=True)]
    return UnobservableDirections(
        tuple(worst),
        {kind: int((kinds == kind).sum()) for kind in KINDS},
        max((len(values) for values, _ in modes), default=0),
        tolerance,
    )


def _plane(mode: np.ndarray) -> np.ndarray:
    """``(1 or 2, nx)`` unit vectors that span real and imaginary part of a mode ``(nx,)``, as plain as can be."""
    small = 1e-9 * np.linalg.norm(mode)
    return plain_basis(np.stack([part for part in (np.real(mode), np.imag(mode)) if np.linalg.norm(part) > small]))


def _alike(one: UnobservableModes, other: UnobservableModes) -> bool:
    """Whether two points have the same unobservable subspace with the same slowest rate."""
    if len(one.eigenvalues) != len(other.eigenvalues) or abs(one.rate - other.rate) > 1e-6:
        return False
    rank = len(one.eigenvalues)
    a, b = (
        np.linalg.svd(np.concatenate([np.real(m.directions), np.imag(m.directions)]).T)[0][:, :rank]
        for m in (one, other)
    )
    overlap = np.linalg.svd(a.T @ b, compute_uv=False)
    return bool(overlap.min() > 1 - 1e-6)
