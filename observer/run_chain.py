"""The chain of hashes of a run folder: each part records what it was made from, so that a mixture of two runs is found.

A part names the SHA-256 of the files that it was made from, and the entries of ``config.toml`` that it was made by (``ORIGINS``).
"""

import json
import tomllib
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from observer.storage import file_hash, guarded, read_json
from systems.base.arrays import open_arrays

SYSTEM, CONFIG, LOGS, TRAJECTORIES = "system.json", "config.toml", "logs.json", "trajectories.npz"
OBSERVER, HISTORY, FIT = "observer.safetensors", "history.csv", "fit.json"
CERTIFICATE, VALIDATION, VALIDATION_NOISE, METRICS = (
    "certificate.json",
    "validation.npz",
    "validation_noise.npz",
    "metrics.json",
)
FINE_TUNING = "fine_tuning.json"
STARTS = "starts.npz"
#: part -> (the files it is made from, the tables of config.toml that it is made by, the step that makes it again)
ORIGINS: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    TRAJECTORIES: ((SYSTEM, LOGS), ("data",), "run --fresh"),
    FIT: ((SYSTEM, TRAJECTORIES, OBSERVER, HISTORY), ("data", "fit", "fine_tune"), "fit --fresh"),
    FINE_TUNING: ((OBSERVER,), (), "fine-tune --fresh"),
    CERTIFICATE: ((SYSTEM, OBSERVER), (), "certify"),
    VALIDATION: ((SYSTEM, TRAJECTORIES, OBSERVER), ("validation",), "validate"),
    VALIDATION_NOISE: ((SYSTEM, TRAJECTORIES, OBSERVER), ("validation",), "validate"),
    STARTS: ((SYSTEM, TRAJECTORIES, OBSERVER, VALIDATION), ("validation",), "validate"),
    METRICS: (
        (SYSTEM, CONFIG, LOGS, TRAJECTORIES, OBSERVER, HISTORY, FIT, FINE_TUNING, CERTIFICATE, VALIDATION, VALIDATION_NOISE, STARTS),
        (), "report",
    ),
}  # fmt: skip


def origins(folder: Path, name: str) -> dict[str, Any]:
    """What part ``name`` of a run is made from, as it is now: ``hashes`` of files, and ``recipe``, entries of ``config.toml``."""
    files, tables, _ = ORIGINS.get(name, ((), (), ""))
    recipe = _recipe(folder, tables)
    return {"hashes": hashes(folder, *files)} | ({} if recipe is None else {"recipe": recipe})


def _recipe(folder: Path, tables: tuple[str, ...]) -> dict[str, Any] | None:
    """The entries of ``config.toml`` outside of tables and in these; None without any, or without the file."""
    if not tables or not (folder / CONFIG).is_file():
        return None
    config = load_config(folder / CONFIG)
    kept = {key: value for key, value in config.items() if not isinstance(value, dict) and key != "system"}
    return kept | {key: config[key] for key in tables if key in config}


def stored_origins(path: Path) -> dict[str, dict[str, Any]]:
    """What a part says that it was made from; empty where it says nothing, as in earlier versions."""

    def read() -> dict[str, Any]:
        if path.suffix == ".json":
            document = read_json(path, changed=True)
        else:
            with open_arrays(path) as archive:
                document = json.loads(str(archive.read("origins"))) if "origins" in archive.declared else {}
        found = {key: document[key] for key in ("hashes", "recipe") if key in document}
        if not all(isinstance(value, dict) for value in found.values()):
            raise ValueError("what it was made from is no table")
        return found

    return guarded(path, read)


def foreign_parts(folder: Path, without: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """(part, how so) for each part of a run that was made from other files, or by another recipe, than those that are here."""
    hashed = cache(lambda file: file_hash(folder / file))
    for name, (_, tables, step) in ORIGINS.items():
        if name in without or not (folder / name).is_file():
            continue
        stated = stored_origins(folder / name)
        for other, digest in stated.get("hashes", {}).items():
            file = Path(other).name
            if file not in without and (folder / file).is_file() and hashed(file) != digest:
                yield name, f"made from another {file} than the one that is here; {_repair(folder, step)}"
        here = _flat(_recipe(folder, tables) or {})
        for key, value in _flat(stated.get("recipe", {})).items() if here else ():
            if here.get(key) != value:
                yield name, f"made with {key} = {value!r}, and {CONFIG} says {here.get(key)!r}; {_repair(folder, step)}"


def _repair(folder: Path, step: str) -> str:
    verb, _, option = step.partition(" ")
    where = {"run": f"NAME_OR_FILE --out {folder}", "fine-tune": f"RUN --out {folder}"}.get(verb, f"{folder}")
    return f"restore it, or `observer {verb} {where}{' ' + option if option else ''}` makes it anew"


def _flat(document: Mapping[str, Any]) -> dict[str, Any]:
    nested = {key: value for key, value in document.items() if isinstance(value, Mapping)}
    flat = {key: value for key, value in document.items() if key not in nested}
    return flat | {f"{table}.{key}": value for table, entries in nested.items() for key, value in entries.items()}


def hashes(folder: Path, *names: str) -> dict[str, str]:
    """SHA-256 of those of the named files that are there."""
    return {name: file_hash(folder / name) for name in names if (folder / name).is_file()}


def load_config(path: Path) -> dict[str, Any]:
    """``config.toml`` as nested dicts."""
    return guarded(path, lambda: tomllib.loads(path.read_text(encoding="utf-8")))
