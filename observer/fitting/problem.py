"""The fit as a problem: which one-step transitions, in which units, in which norm.

Network units: x and the network inputs v = [known u; y] are mapped from the region's box to [-1, 1]. Residual and loss

    r_k = f_o(x_k, v_k) - x_{k+1},      f = (1/2m) sum_k w_k |r_k|_M^2,      lambda_max(M) = 1

Half of the transitions are uniform over region x inputs, half come from trajectories (in many dimensions all); both have x_hat = x, since
contraction supplies everything else (MATH 2e). Trajectories alone would leave the corners of the region without samples.
"""

from dataclasses import dataclass

import numpy as np

from observer.known_plant import nominal_inputs
from observer.scaling import Scaling
from systems.angles import angles
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.regions import holds, moved_in, region_points
from systems.trajectories import Trajectories, Transitions

#: States and inputs up to which half of the transitions fill the region; above, a box is mostly corners in which the
#: plant never is, and all transitions come from trajectories.
FILLED_DIMENSIONS = 8


@dataclass(frozen=True, eq=False)
class Samples:
    """Transitions in network units: x ``(m, nx)``, v ``(m, nv_in)``, x_next ``(m, nx)``.

    ``coordinates`` ``(nx, nx)``: the map from network units to range-scaled states, None where they are the same.
    ``weights`` ``(m,)``, mean 1, or None.
    """

    x: np.ndarray
    v: np.ndarray
    x_next: np.ndarray
    coordinates: np.ndarray | None = None
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, eq=False, kw_only=True)
class Problem:
    """What a solver is given.

    ``metric``: in network units, largest eigenvalue 1; ``rate``: the bound to keep; ``fastest``: what the metric allows;
    ``inputs``: how many of the columns of v are known inputs, the rest are outputs; ``initial``: one of
    :data:`observer.fitting.initial.networks.INITIAL_NETWORKS`.
    """

    train: Samples
    held_out: Samples
    metric: np.ndarray
    rate: float
    fastest: float
    activation: str
    neurons: int
    inputs: int
    scaling: Scaling
    seed: int
    initial: str = "projected"

    @property
    def half_ranges(self) -> np.ndarray:
        """Half of the region's width in each state ``(nx,)``, physical units."""
        coordinates = self.train.coordinates
        if coordinates is None:
            return self.scaling.state_scale
        return np.diag(self.scaling.matrix @ np.linalg.inv(coordinates)).copy()

    def physical_loss(self, residual: np.ndarray) -> float:
        """Mean of |x+ - f_o|_2^2 in physical units, of residuals ``(m, nx)`` in network units."""
        return float(np.mean(np.sum(self.scaling.deviations(residual) ** 2, axis=1)))


def fitting_region(plant: DiscreteSystem, data: Trajectories) -> np.ndarray:
    """``(nx, 2)``: the ranges, enlarged to what the trajectories reached (with 2 % of margin there); of an angle that turns one turn.

    No margin makes a quantity negative that is positive in range and motion (a population, a level): half of the least reached is left.
    """
    known = angles(plant.system)
    ranges, reached = plant.system.state_ranges, known.reached(data.x)
    margin = 0.02 * np.ptp(ranges, axis=1)
    low = np.where(reached[:, 0] < ranges[:, 0], reached[:, 0] - margin, ranges[:, 0])
    high = np.where(reached[:, 1] > ranges[:, 1], reached[:, 1] + margin, ranges[:, 1])
    positive = (ranges[:, 0] > 0) & (reached[:, 0] > 0) & (low < ranges[:, 0])
    low = np.where(positive, np.maximum(low, 0.5 * reached[:, 0]), low)
    for k, signal in enumerate(plant.system.states):
        if signal.limits is not None:
            low[k], high[k] = max(low[k], signal.limits[0]), min(high[k], signal.limits[1])
    return known.region(np.stack([low, high], axis=1))


def _uniform(plant: DiscreteSystem, region: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    box = np.concatenate([region, plant.system.input_ranges])
    points = region_points(plant.system, box, count, seed)
    return points[:, : plant.nx], points[:, plant.nx :]


def visited_points(plant: DiscreteSystem, data: Trajectories, count: int = 2048) -> np.ndarray:
    """``(m, nx + nu)``: states and inputs along the trajectories, evenly thinned to ``count``."""
    found = data.transitions()
    few = np.unique(np.linspace(0, max(0, len(found) - 1), min(count, len(found))).astype(int))
    return np.concatenate([angles(plant.system).states(found.x[few]), found.u[few]], axis=1)


def model_transitions(
    plant: DiscreteSystem,
    data: Trajectories,
    region: np.ndarray,
    count: int,
    seed: int,
    *,
    filled: bool = True,
    region_share: float = 0.5,
) -> Transitions:
    """``count`` transitions in physical units: ``region_share`` of them uniform over the region (if ``filled``), the rest from
    trajectories.

    With more than ``FILLED_DIMENSIONS`` states and inputs all rows come from the trajectories (there may be fewer then).

    The next state is recomputed with the discretised plant, so that noise in the data and disturbances play no part.
    """
    transitions = data.transitions()
    rng = np.random.default_rng([seed, 7])
    filled = filled and plant.nx + plant.nu <= FILLED_DIMENSIONS
    from_data = min(round((1 - region_share) * count) if filled else count, len(transitions))
    chosen = np.sort(rng.choice(len(transitions), from_data, replace=False))
    x, u = _uniform(plant, region, count - from_data if filled else 0, seed)
    x = np.concatenate([x, angles(plant.system).states(transitions.x[chosen])])
    u = nominal_inputs(plant.system, np.concatenate([u, transitions.u[chosen]]))
    x, u = _in_region(plant, region, x, u)
    y, x_next = plant.output(x, u), plant.step(x, u)
    finite = np.isfinite(np.concatenate([x, u, y, x_next], axis=1)).all(axis=1)
    if finite.mean() < 0.5:
        bad = [n for n, ok in zip(plant.system.state_names, np.isfinite(x_next).mean(axis=0), strict=True) if ok < 1]
        raise InputError(
            f"the next state is not finite over {100 * (1 - finite.mean()):.0f} % of the region (states {', '.join(bad) or '-'}); "
            "narrow the ranges to where the equations hold, or reduce dt"
        )
    return Transitions(x[finite], u[finite], y[finite], x_next[finite])


def _in_region(
    plant: DiscreteSystem, region: np.ndarray, x: np.ndarray, u: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Those of x and u where the plant's constraints hold, moved onto equalities, from which a simulation drifts a little."""
    system = plant.system
    if system.region is None:
        return x, u
    box = np.concatenate([region, system.input_ranges])
    points = moved_in(system, np.concatenate([x, u], axis=1), box, inequalities=False)
    points = points[holds(system, points)]
    return points[:, : plant.nx], points[:, plant.nx :]


def logged_transitions(plant: DiscreteSystem, data: Trajectories, count: int, seed: int) -> Transitions:
    """At most ``count`` transitions in physical units, all as logged, for a plant without equations."""
    found = data.transitions()
    if len(found) < 2:
        raise InputError(
            f"{len(found)} complete transitions are available for training or held out; expected some dozens: log more, or fill gaps"
        )
    rng = np.random.default_rng([seed, 7])
    chosen = np.sort(rng.choice(len(found), min(count, len(found)), replace=False))
    u = nominal_inputs(plant.system, found.u[chosen])
    x, y, x_next = angles(plant.system).transitions(found.x[chosen], found.y[chosen], found.x_next[chosen])
    return Transitions(x, u, y, x_next)


def held_out_count(count: int) -> tuple[int, int]:
    """(transitions held out, the offset of their seed), for ``count`` that are fitted."""
    return max(1000, count // 4), 1_000_003


def make_scaling(plant: DiscreteSystem, region: np.ndarray, y: np.ndarray) -> Scaling:
    """Region, input ranges and output ranges (stated, or as sampled) to [-1, 1]."""
    system = plant.system
    outputs = []
    for k, signal in enumerate(system.outputs):
        low, high = signal.range or (float(y[:, k].min()), float(y[:, k].max()))
        if not high - low > 1e-12 * max(1.0, abs(low)):
            raise InputError(
                f"output '{signal.name}' is constant ({low:g}) over the region: "
                "it carries no information about the states; check its equation"
            )
        outputs.append((low, high))
    inputs = np.concatenate([system.input_ranges[system.known], np.array(outputs)])
    return Scaling.from_box(region, inputs)


def to_samples(
    plant: DiscreteSystem, scaling: Scaling, transitions: Transitions, coordinates: np.ndarray | None = None
) -> Samples:
    """Physical transitions as samples in network units."""
    v = np.concatenate([transitions.u[:, plant.system.known], transitions.y], axis=1)
    return Samples(scaling.states(transitions.x), scaling.inputs(v), scaling.states(transitions.x_next), coordinates)
