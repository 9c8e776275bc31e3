"""Finished measurements on disk, so that the same command resumes where it was stopped: ``results/<scenario>.npz``.

A result belongs to the plant, the trials and the very estimator (its weights or its tuned values): one of another question is
measured again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from experiments.compare.measure import Result
from observer.state_observer import RENObserver, StateObserver
from observer.storage import read_npz, write_npz
from systems.base.records import to_plain
from systems.discretization import DiscreteSystem

FOLDER = "results"
KEY = "key"


def fingerprint(plant: DiscreteSystem, trials: Mapping[str, Any], estimator: Any) -> str:
    """Hash of plant, trials and estimator; ``estimator``: a RENObserver, or tuned values with the name of the kind. Of another
    observer nothing is known that could be hashed: empty, and never kept."""
    if isinstance(estimator, StateObserver) and not isinstance(estimator, RENObserver):
        return ""
    digest = hashlib.sha256()
    content = {"system": plant.system.fingerprint, "plant": plant.to_data(), "trials": dict(trials)}
    if isinstance(estimator, RENObserver):
        for name, array in sorted(estimator.to_arrays().items()):
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    else:
        content["estimator"] = estimator
    digest.update(json.dumps(to_plain(content), sort_keys=True).encode())
    return digest.hexdigest()


class Store:
    """The results of one folder, of the estimators with these ``keys`` (:func:`fingerprint`); a folder of None keeps nothing."""

    def __init__(self, folder: Path | None, keys: Mapping[str, str]) -> None:
        self.folder, self.keys = None if folder is None else folder / FOLDER, keys

    def load(self, scenario: str) -> dict[str, Result]:
        """The finished results of a scenario."""
        path = None if self.folder is None else self.folder / f"{scenario}.npz"
        if path is None or not path.is_file():
            return {}
        arrays = read_npz(path)
        found = {}
        for name, key in self.keys.items():
            if key and str(arrays.get(f"{name}/{KEY}", "")) == key:
                found[name] = Result(**{f.name: _value(arrays[f"{name}/{f.name}"]) for f in fields(Result)})
        return found

    def save(self, scenario: str, results: Mapping[str, Result]) -> None:
        """Keep the results of a scenario, in one step."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        arrays = {
            f"{name}/{f.name}": np.asarray(getattr(r, f.name)) for name, r in results.items() for f in fields(Result)
        }
        write_npz(self.folder / f"{scenario}.npz", arrays | {f"{n}/{KEY}": np.array(self.keys[n]) for n in results})


def _value(array: np.ndarray) -> Any:
    return array.item() if array.ndim == 0 else array
