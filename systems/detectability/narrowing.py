"""Which range to narrow, and to what, where no metric contracts over the whole region.

Each signal's range is shrunken about its middle in tenths, the others as they are, until a metric reaches the rate: the mildest
shrinking that does is proposed. Points are those of the failed search, drawn towards the middle with the range; the searches are counted.
"""

from dataclasses import dataclass

import numpy as np

from systems.base.errors import InputError
from systems.detectability.jacobians import FULL_METRIC_UP_TO, Jacobians, sample_jacobians
from systems.detectability.metric_search import search_metric
from systems.discretization import DiscreteSystem
from systems.regions import holds, moved_in

TENTHS = tuple(range(9, 0, -1))
POINTS, SIGNALS, CONDITION = 128, 8, 300.0
NAMED = 2  # proposals


@dataclass(frozen=True)
class Narrowing:
    """``signals``: names; ``ranges``: (low, high) of each; ``rate`` per sample that a metric then allows."""

    signals: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...]
    rate: float

    @property
    def text(self) -> str:
        """As a person is told it, with the conditions that say so to the program."""
        parts = [f"{n} to [{low:.3g}, {high:.3g}]" for n, (low, high) in zip(self.signals, self.ranges, strict=True)]
        return f"narrow {' and '.join(parts)} ([region] constraints = {self.conditions}), where {self.rate:.4g} per sample is possible"

    @property
    def conditions(self) -> str:
        """The list of ``[region]``."""
        rows = []
        for name, (low, high) in zip(self.signals, self.ranges, strict=True):
            symmetric = abs(low + high) <= 1e-9 * (high - low)
            rows.append(f'"abs({name}) <= {high:.3g}"' if symmetric else f'"{low:.3g} <= {name} <= {high:.3g}"')
        return f"[{', '.join(rows)}]"


def narrowings(plant: DiscreteSystem, region: np.ndarray, jacobians: Jacobians, target: float) -> tuple[Narrowing, ...]:
    """At most two proposals, the mildest first: single signals, or else all states together. ``target``: the rate to reach.

    ``region`` ``(nx, 2)``. None for more states than a full metric has, or where nothing helps.
    """
    system = plant.system
    box = np.concatenate([region, system.input_ranges])
    wide = np.flatnonzero(np.ptp(box, axis=1) > 0)
    if plant.nx > FULL_METRIC_UP_TO or len(wide) > SIGNALS:
        return ()
    few = np.unique(np.linspace(0, len(jacobians.points) - 1, POINTS).astype(int))
    corners = np.arange(max(0, len(jacobians.points) - 2 ** min(len(box), 8)), len(jacobians.points))
    points = jacobians.points[np.union1d(few, corners)]
    names = (*system.state_names, *system.input_names)

    def tried(signals: np.ndarray, tenths: int) -> float:
        inside = points.copy()
        middle = box[signals].mean(axis=1)
        inside[:, signals] = middle + 0.1 * tenths * (points[:, signals] - middle)
        inside = moved_in(system, inside, _shrunken(box, signals, tenths))
        inside = inside[holds(system, inside)]
        try:
            found = sample_jacobians(plant, region, points=inside)
        except InputError:
            return np.inf
        return search_metric(jacobians=found, condition=CONDITION, target=target).rate

    found: list[tuple[int, Narrowing]] = []
    groups = [np.array([k]) for k in wide]
    for signals in (*groups, wide[wide < plant.nx]):
        if len(signals) > 1 and found:
            break
        low, high = 0, len(TENTHS)  # the first place of TENTHS that reaches the target, by halving
        rates: dict[int, float] = {}
        while low < high:
            middle = (low + high) // 2
            rates[middle] = tried(signals, TENTHS[middle])
            low, high = (low, middle) if rates[middle] <= target else (middle + 1, high)
        if low < len(TENTHS):
            ranges = _shrunken(box, signals, TENTHS[low])[signals]
            texts = tuple((float(f"{a:.2g}"), float(f"{b:.2g}")) for a, b in ranges)
            found.append((low, Narrowing(tuple(names[k] for k in signals), texts, rates[low])))
    return tuple(item for _, item in sorted(found, key=lambda pair: pair[0])[:NAMED])


def _shrunken(box: np.ndarray, signals: np.ndarray, tenths: int) -> np.ndarray:
    result = box.copy()
    middle, half = box[signals].mean(axis=1), 0.5 * np.ptp(box[signals], axis=1)
    result[signals] = np.stack([middle - 0.1 * tenths * half, middle + 0.1 * tenths * half], axis=1)
    return result
