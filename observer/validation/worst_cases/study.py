"""What validation adds to random trials: the worst starts and the convergence map, in one file of a run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from observer.state_observer import StateObserver
from observer.validation.worst_starts.convergence_map import StartMap, start_map
from observer.validation.worst_starts.trials import MOST, trials_worth
from observer.validation.worst_starts.worst_start import WorstStart, worst_starts
from systems.base.atomic_files import read_arrays, write_arrays
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem

FINEST, COARSEST = 41, 11  # values of a state on the map


@dataclass(frozen=True, eq=False)
class StartStudy:
    """``worst``: the worst start by goal ("settling", "late"); ``map``: the convergence map; ``residual``: the largest one-step residual
    |r|_M met along the data of the fit (nan where it was not measured), for a sampled envelope."""

    worst: Mapping[str, WorstStart]
    map: StartMap
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

    def save(self, path: Path | str) -> None:
        """Write as ``.npz``, atomically."""
        arrays = {f"map.{f.name}": getattr(self.map, f.name) for f in fields(StartMap)}
        for goal, w in self.worst.items():
            arrays |= {f"worst.{goal}.{f.name}": getattr(w, f.name) for f in fields(WorstStart) if f.name != "goal"}
        meta = json.dumps({"format_version": 1, "goals": list(self.worst), "residual": self.residual})
        write_arrays(path, compress=True, meta=meta, **{name: np.asarray(v) for name, v in arrays.items()})  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path | str) -> "StartStudy":
        """Read what :meth:`save` wrote; raises :class:`InputError` for anything else."""
        try:
            arrays = read_arrays(path)
            meta = json.loads(str(arrays.pop("meta")))
            if meta["format_version"] > 1:
                raise InputError(f"{path} was written by a newer version; update ren-observer")
            area = {f.name: _value(arrays[f"map.{f.name}"]) for f in fields(StartMap)}
            area["states"] = tuple(int(k) for k in area["states"])
            worst = {
                goal: WorstStart(
                    goal=goal,
                    **{
                        f.name: _value(arrays[f"worst.{goal}.{f.name}"]) for f in fields(WorstStart) if f.name != "goal"
                    },
                )
                for goal in meta["goals"]
            }
            return cls(worst, StartMap(**area), float(meta["residual"]))
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"{path} is no study of starts ({error}); make it again with `observer validate`"
            ) from error


def study(
    observer: StateObserver,
    plant: DiscreteSystem,
    duration: float,
    *,
    trials: int | None = None,
    states: tuple[int, ...] | None = None,
    seed: int = 0,
    spread: float = 1.0,
    truth: str = "oracle",
    window: float | None = None,
) -> StartStudy:
    """Both, for trials of ``duration`` seconds; ``trials`` and the grid by the size of plant and observer when left out."""
    worth = trials or trials_worth(observer, plant, round(duration / plant.dt) + 1)
    worst = worst_starts(observer, plant, duration, worth, seed=seed, spread=spread, truth=truth, window=window)
    chosen = states if states is not None else tuple(range(min(2, plant.nx)))
    points = int(np.clip(round(worth ** (1 / len(chosen))), COARSEST, FINEST if len(chosen) == 2 else min(MOST, 101)))
    return StartStudy(worst, start_map(observer, plant, duration, points, states=chosen, window=window))


def _largest(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.max()) if known.size else float("nan")


def _value(array: np.ndarray) -> Any:
    return array.item() if array.ndim == 0 else array
