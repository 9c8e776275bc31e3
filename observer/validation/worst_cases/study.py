"""What validation adds to random trials: the worst initial states and the convergence map, in one file of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from observer.state_observer import StateObserver
from observer.validation.stored import read_stored, write_stored
from observer.validation.worst_cases.convergence_map import ConvergenceMap, map_convergence
from observer.validation.worst_cases.trials import MOST, trials_worth
from observer.validation.worst_cases.worst_case import WorstInitialStates, worst_initial_states
from systems.base.arrays import check_shapes
from systems.discretization import DiscreteSystem

FINEST, COARSEST = 41, 11  # values of a state on the map
#: stored arrays; the other parts are single numbers
_OF_MAP = {"states": ("states",), "first": ("n",), "second": ("m",), "settling": ("n", "m"), "late": ("n", "m")}
_OF_CASE = {
    "x0": ("nx",),
    "x_hat0": ("nx",),
    "u": ("nu",),
    "t": ("N",),
    "error": ("N", "nx"),
    "random_error": ("N", "nx"),
}


@dataclass(frozen=True, eq=False)
class WorstCaseStudy:
    """``worst``: the worst initial states by goal ("settling", "late"); ``map``: the convergence map; ``residual``: the largest one-step
    residual |r|_M met along the data of the fit (nan where it was not measured), for a sampled envelope."""

    worst: Mapping[str, WorstInitialStates]
    map: ConvergenceMap
    residual: float = float("nan")

    def metrics(self, state_names: tuple[str, ...], input_names: tuple[str, ...]) -> dict[str, Any]:
        """The entries of ``worst_start`` and ``map`` in metrics.json."""
        m = self.map
        return {
            "worst_start": {goal: w.to_data(state_names, input_names) for goal, w in self.worst.items()},
            "map": {
                "states": [state_names[k] for k in m.states], "settled_share": m.settled_share,
                "longest_settling": _largest(m.settling), "largest_late": _largest(m.late),
            },
        }  # fmt: skip

    def save(self, path: Path | str, origins: Mapping[str, Any] | None = None) -> None:
        """Write as ``.npz``, atomically; ``origins``: what it was made from."""
        arrays = {f"map.{name}": np.asarray(value) for name, value in vars(self.map).items()}
        for goal, case in self.worst.items():
            arrays |= {f"worst.{goal}.{name}": np.asarray(v) for name, v in vars(case).items() if name != "goal"}
        write_stored(path, arrays, {"goals": list(self.worst), "residual": self.residual}, origins)

    @classmethod
    def load(cls, path: Path | str) -> "WorstCaseStudy":
        """Read what :meth:`save` wrote; raises :class:`InputError` for anything else."""

        def build(arrays: dict[str, np.ndarray], rest: dict[str, Any]) -> "WorstCaseStudy":
            def part(kind: type, prefix: str, shapes: Mapping[str, tuple[str | int, ...]]) -> dict[str, Any]:
                found = {f.name: arrays[f"{prefix}.{f.name}"] for f in fields(kind) if f.name != "goal"}
                check_shapes(found, {name: shapes.get(name, ()) for name in found})
                return {name: a.item() if a.ndim == 0 else a for name, a in found.items()}

            area = part(ConvergenceMap, "map", _OF_MAP)
            area["states"] = tuple(int(k) for k in area["states"])
            worst = {
                goal: WorstInitialStates(goal, **part(WorstInitialStates, f"worst.{goal}", _OF_CASE))
                for goal in rest["goals"]
            }
            return cls(worst, ConvergenceMap(**area), float(rest["residual"]))

        return read_stored(path, "study of worst cases", build)


def study_worst_cases(
    observer: StateObserver,
    plant: DiscreteSystem,
    duration: float,
    *,
    trials: int | None = None,
    states: tuple[int, ...] | None = None,
    seed: int = 0,
    spread: float = 1.0,
    truth: str = "reference",
    window: float | None = None,
) -> WorstCaseStudy:
    """Both, for trials of ``duration`` seconds; ``trials`` and the grid by the size of plant and observer when left out."""
    worth = trials or trials_worth(observer, plant, round(duration / plant.dt) + 1)
    worst = worst_initial_states(observer, plant, duration, worth, seed=seed, spread=spread, truth=truth, window=window)
    chosen = states if states is not None else tuple(range(min(2, plant.nx)))
    points = int(np.clip(round(worth ** (1 / len(chosen))), COARSEST, FINEST if len(chosen) == 2 else min(MOST, 101)))
    return WorstCaseStudy(worst, map_convergence(observer, plant, duration, points, states=chosen, window=window))


def _largest(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.max()) if known.size else float("nan")
