"""A forger's tool: one entry of a run folder changed, and everything signed anew that can be signed: checksums, hashes, fingerprints."""

import csv
import io
import json
import re
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import escape

from observer import runs
from observer.certification.identity import identity
from observer.run_chain import ORIGINS, origins
from observer.storage import load_observer, write_json, write_text
from systems import System
from systems.base.arrays import read_arrays
from systems.base.atomic_files import write_arrays
from systems.base.errors import InputError

JSON = (runs.SYSTEM, runs.LOGS, runs.FIT, runs.FINE_TUNING, runs.CERTIFICATE, runs.METRICS)
ARRAYS = (runs.TRAJECTORIES, runs.VALIDATION, runs.VALIDATION_NOISE, runs.STARTS)
SIGNED = ("checksum", "hashes", "recipe", "fingerprint", "identity", "origins")
#: Stated wall-clock times, and where a run folder lay: nothing can show them.
EXEMPT = ("seconds", "command", "package_version", "from_run", "file", "source_observer")


@dataclass(frozen=True)
class Entry:
    """One number, text or truth value of a run: its file, and the way to it."""

    file: str
    path: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.file}:{'.'.join(map(str, self.path))}"

    @property
    def exempt(self) -> bool:
        """Whether it is signed anew, or a stated time or place."""
        return any(str(step) in SIGNED or str(step).endswith(EXEMPT) for step in self.path)


def entries(folder: Path, rng: np.random.Generator) -> list[Entry]:
    """All entries of JSON, TOML and CSV files, and one drawn of each array."""
    found = []
    for name in JSON:
        if (folder / name).is_file():
            found += [Entry(name, path) for path in _leaves(json.loads((folder / name).read_text()))]
    for name in (*ARRAYS, runs.OBSERVER):
        if (folder / name).is_file():
            arrays, meta = _read(folder / name)
            found += [Entry(name, ("meta", *path)) for path in _leaves(meta)]
            for key, value in arrays.items():
                if value.size and value.dtype.kind in "biuf":
                    found.append(Entry(name, (key, int(rng.integers(value.size)))))
    rows = list(csv.reader(io.StringIO((folder / runs.HISTORY).read_text())))
    found += [Entry(runs.HISTORY, (k, rows[0][j])) for k in range(1, len(rows)) for j in range(len(rows[0]))]
    found += [Entry(runs.CONFIG, path) for path in _leaves(tomllib.loads((folder / runs.CONFIG).read_text()))]
    return [entry for entry in found if not entry.exempt]


def forge(folder: Path, entry: Entry) -> str:
    """Change the entry and sign everything anew; returns what it was and is."""
    path = folder / entry.file
    if entry.file in JSON:
        document = json.loads(path.read_text())
        said = _change(document, entry.path)
        write_json(path, {key: value for key, value in document.items() if key not in ("checksum", "format_version")} | {
            "format_version": document["format_version"]})  # fmt: skip
    elif entry.file == runs.HISTORY:
        rows = list(csv.reader(io.StringIO(path.read_text())))
        column = rows[0].index(entry.path[1])
        before = rows[entry.path[0]][column]
        rows[entry.path[0]][column] = repr(other(float(before)))
        said = f"{before} -> {rows[entry.path[0]][column]}"
        write_text(path, "\n".join(",".join(row) for row in rows) + "\n")
    elif entry.file == runs.CONFIG:
        document = tomllib.loads(path.read_text())
        said = _change(document, entry.path)
        write_text(path, _toml(document))
    else:
        arrays, meta = _read(path)
        if entry.path[0] == "meta":
            said = _change(meta, entry.path[1:])
        else:
            name, k = entry.path
            arrays[name] = arrays[name].copy()
            before = arrays[name].reshape(-1)[k].item()
            arrays[name].reshape(-1)[k] = other(before)
            said = f"{before!r} -> {arrays[name].reshape(-1)[k].item()!r}"
        _write(path, arrays, meta)
    sign(folder)
    return said


def sign(folder: Path) -> None:
    """Every fingerprint, hash and checksum again, each file after those that it was made from."""
    document = json.loads((folder / runs.SYSTEM).read_text())
    with suppress(InputError, KeyError, TypeError, ValueError):
        document["fingerprint"] = System.from_data(document["system"]).fingerprint
        arrays, meta = _read(folder / runs.OBSERVER)
        _write(folder / runs.OBSERVER, arrays, meta, system=document["fingerprint"])
    document.pop("checksum", None)
    write_json(folder / runs.SYSTEM, document)
    for name in ORIGINS:
        path = folder / name
        if not path.is_file():
            continue
        made = origins(folder, name)
        if name.endswith(".json"):
            document = json.loads(path.read_text())
            if name == runs.CERTIFICATE and document.get("identity"):
                with suppress(InputError):
                    plant = runs.load_plant(folder)
                    document["identity"] = identity(load_observer(folder / runs.OBSERVER, plant), plant)
            kept = {key: value for key, value in document.items() if key not in ("checksum", "hashes", "recipe")}
            write_json(path, kept, **made)
        else:
            arrays, meta = _read(path)
            _write(path, arrays, meta, made)

    _sign_page(folder)


def _sign_page(folder: Path) -> None:
    """The page with the metrics that lie there now; what it says of them elsewhere stays."""
    page = folder / "report.html"
    if page.is_file():
        document = json.loads((folder / runs.METRICS).read_text())
        text = escape(json.dumps({key: value for key, value in document.items() if key != "checksum"}, indent=1))
        old = page.read_text()
        whole = re.sub(r"(?<=metrics.json</summary><pre>).*?(?=</pre>)", lambda _: text, old, flags=re.DOTALL)
        page.write_text(whole if "</pre>" in old else text)


def other(value: Any) -> Any:
    """Another value of the same kind, near by."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * (1 + 1e-3) if value and np.isfinite(value) else 1e-3
    return value + "x" if isinstance(value, str) else 1.0


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list):
        for k, item in enumerate(value):
            yield from _leaves(item, (*path, k))
    else:
        yield path


def _change(document: Any, path: tuple[Any, ...]) -> str:
    for step in path[:-1]:
        document = document[step]
    before = document[path[-1]]
    document[path[-1]] = other(before)
    return f"{before!r} -> {document[path[-1]]!r}"


def _toml(document: dict[str, Any]) -> str:
    def line(key: str, value: Any) -> str:
        return f"{key} = {json.dumps(value) if not isinstance(value, float) else repr(value)}"

    lines = [line(key, value) for key, value in document.items() if not isinstance(value, dict)]
    for table, values in document.items():
        if isinstance(values, dict):
            lines += [f"[{table}]", *(line(key, value) for key, value in values.items())]
    return "\n".join(lines) + "\n"


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(arrays, what lies beside them as JSON) of an npz or safetensors file."""
    if path.name == runs.OBSERVER:
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as archive:
            return {name: archive.get_tensor(name) for name in archive.keys()}, json.loads(archive.metadata()["meta"])
    arrays = read_arrays(path)
    return arrays, json.loads(str(arrays.pop("meta"))) if "meta" in arrays else {}


def _write(
    path: Path, arrays: dict[str, np.ndarray], meta: dict[str, Any], origins: Any = None, system: str = ""
) -> None:
    if path.name == runs.OBSERVER:
        from safetensors import safe_open
        from safetensors.numpy import save

        with safe_open(path, framework="numpy") as archive:
            header = dict(archive.metadata())
        header |= {"meta": json.dumps(meta)} | ({"system": system} if system else {})
        path.write_bytes(save({name: np.ascontiguousarray(value) for name, value in arrays.items()}, metadata=header))
        return
    texts = {"meta": json.dumps(meta)} if meta else {}
    write_arrays(path, **(arrays | texts | ({"origins": json.dumps(origins)} if origins else {})))
