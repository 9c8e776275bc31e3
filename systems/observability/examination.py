"""The whole examination of a plant before a fit: rank, Gramian, unobservable directions, modes."""

from dataclasses import dataclass

import numpy as np

from systems.discretization import DiscreteSystem
from systems.observability.gramian import EmpiricalGramian, empirical_gramian
from systems.observability.modes import Modes, find_modes
from systems.observability.places import EQUILIBRIUM, WIDE, Places, motions, places
from systems.observability.rank import (
    JACOBIANS,
    JACOBIANS_WHEN_SLOW,
    JACOBIANS_WHEN_WIDE,
    LocalRank,
    local_rank,
    window_samples,
    windows,
)
from systems.observability.unobservable import UnobservableDirections, unobservable_directions
from systems.trajectories import Trajectories, draw_initial_states, draw_inputs

GRAMIAN_STARTS = 4
USUAL_SAMPLES = 400  # of the trajectories that are simulated


@dataclass(frozen=True, eq=False)
class Observability:
    """Result of :func:`examine_observability`.

    ``rank`` and ``gramian`` are None where no motion stayed finite, ``modes`` for a map; ``simulated``: whether trajectories
    from the plant's initial states exist.
    """

    rank: LocalRank | None
    gramian: EmpiricalGramian | None
    unobservable: UnobservableDirections
    modes: Modes | None
    simulated: bool


def examine_observability(
    plant: DiscreteSystem,
    trajectories: Trajectories | None = None,
    *,
    region: np.ndarray | None = None,
    samples: int | None = None,
    seed: int = 0,
) -> Observability:
    """Examine a plant at its equilibria and along trajectories from its initial states.

    Parameters
    ----------
    trajectories : motions that are known already; a few short ones are simulated when left out.
    region : ``(nx, 2)``; the ranges when left out.
    samples : N of a window; four typical time constants, at most 200 samples, when left out.

    Deterministic for a seed. Raises :class:`InputError` where no Jacobian is finite.
    """
    system = plant.system
    n = window_samples(plant) if samples is None else samples
    if trajectories is None:
        usual = min((system.duration or np.inf) / plant.dt, USUAL_SAMPLES if plant.nx <= WIDE and plant.graph else n)
        trajectories = motions(plant, samples=int(max(usual, n + 1)), seed=seed)
    visited = None
    if trajectories is not None:
        pairs = trajectories.transitions()
        visited = np.concatenate([pairs.x, pairs.u], axis=1)
    seen = places(plant, region, visited, seed)
    budget = JACOBIANS_WHEN_SLOW if plant.graph is None else JACOBIANS_WHEN_WIDE if plant.nx > WIDE else JACOBIANS
    x, u, resting = _motions(plant, seen, trajectories, n, int(np.clip(budget // n, 2, 24)), seed)
    found = windows(plant, x, u)
    few = 1 if plant.graph is None or plant.nx > WIDE else GRAMIAN_STARTS
    rows = np.unique(np.linspace(resting, len(x) - 1, few).astype(int))
    return Observability(
        rank=local_rank(found),
        gramian=empirical_gramian(plant, x[rows, 0], u[rows], found.output_scale),
        unobservable=unobservable_directions(plant, region, seed=seed, looked_at=seen),
        modes=find_modes(plant, region) if not system.time_dependent else None,
        simulated=trajectories is not None,
    )


def _motions(
    plant: DiscreteSystem, seen: Places, trajectories: Trajectories | None, samples: int, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """(x ``(K, N, nx)``, u ``(K, N, nu)``, how many rest): up to a third at equilibria, the others spread over the trajectories."""
    system = plant.system
    still = seen.points[np.array(seen.kinds) == EQUILIBRIUM][: max(1, count // 3)]
    moving = max(1, count - len(still))
    whole = np.flatnonzero(trajectories.lengths >= samples) if trajectories is not None else np.zeros(0, dtype=int)
    if trajectories is not None and len(whole):
        rows = whole[np.arange(moving) % len(whole)]
        begins = (np.linspace(0, 1, moving) * (trajectories.lengths[rows] - samples)).astype(int)
        x = np.stack([trajectories.x[k, b : b + samples] for k, b in zip(rows, begins, strict=True)])
        u = np.stack([trajectories.u[k, b : b + samples] for k, b in zip(rows, begins, strict=True)])
    else:
        u = draw_inputs(system, plant.dt, moving, samples, seed + 1)
        x = plant.rollout(draw_initial_states(system, moving, seed), u)[:, :-1]
    rest = np.broadcast_to(still[:, None], (len(still), samples, plant.nx + plant.nu))
    return np.concatenate([rest[..., : plant.nx], x]), np.concatenate([rest[..., plant.nx :], u]), len(still)
