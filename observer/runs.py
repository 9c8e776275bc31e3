"""A run folder as values: what each file holds, and ``load_run``, which gives all of it back.

| file                   | holds                                                          | written by      |
|------------------------|----------------------------------------------------------------|-----------------|
| ``system.json``        | the plant as data, and its discretisation                      | ``save_system`` |
| ``config.toml``        | every option as resolved                                       | the application |
| ``logs.json``          | the logs that the data was read from, and their hashes         | the application |
| ``trajectories.npz``   | simulated or logged data                                       | ``Trajectories``|
| ``observer.safetensors``, ``history.csv``, ``fit.json`` | the observer and how fitting went | ``save_fit``   |
| ``certificate.json``   | what holds for the shipped matrices                            | ``save_certificate`` |
| ``validation.npz``, ``validation_noise.npz`` | trials against the plant                 | ``Validation``  |
| ``starts.npz``         | worst starts found by optimisation, and the convergence map    | ``WorstCaseStudy``  |
| ``fine_tuning.json``   | a fine-tuned run: what it came from, and errors before and after | the application |
| ``metrics.json``       | the numbers                                                    | the application |
"""

import csv
import io
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from observer.storage import (
    file_hash,
    guarded,
    load_observer,
    read_json,
    save_observer,
    write_json,
    write_text,
)
from systems.base.errors import InputError

if TYPE_CHECKING:
    from observer.certification.certificate import Certificate
    from observer.fitting.result import FitResult
    from observer.state_observer import RENObserver
    from observer.validation.validate import Validation
    from observer.validation.worst_cases import WorstCaseStudy
    from systems import DiscreteSystem, System, Trajectories

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
_FIT_NUMBERS = (
    "status",
    "message",
    "solver",
    "one_step_loss",
    "start_loss",
    "seconds",
    "iterations",
    "seed",
    "options",
)


@dataclass(frozen=True)
class Run:
    """All that a run folder holds. Parts whose step has not been done are None.

    path : the folder. system, plant : the System and its DiscreteSystem. config : ``config.toml`` as nested dicts.
    observer, fit, certificate, validation, validation_noise, starts : results, see their classes. metrics : ``metrics.json``.
    logs : ``logs.json``, of a run that learned from logs.
    """

    path: Path
    system: "System"
    plant: "DiscreteSystem"
    config: dict[str, Any] = field(default_factory=dict)
    observer: "RENObserver | None" = None
    fit: "FitResult | None" = None
    certificate: "Certificate | None" = None
    validation: "Validation | None" = None
    validation_noise: "Validation | None" = None
    metrics: dict[str, Any] = field(default_factory=dict)
    logs: dict[str, Any] = field(default_factory=dict)
    starts: "WorstCaseStudy | None" = None

    @property
    def trajectories(self) -> "Trajectories":
        """The simulated data, read when asked for. Raises InputError when the file is missing or damaged."""
        return load_trajectories(self.path)


def load_run(path: "str | Path") -> Run:
    """Read a run folder. It never executes code: the plant comes from the graph stored as data in ``system.json``.

    Raises InputError, which names the file, when the folder is no run, or when a file is damaged, was written by a
    newer version of this program, or does not belong to the others.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{path}: no such run folder; `observer run NAME_OR_FILE --out {path}` makes one")
    if not (path / SYSTEM).is_file():
        raise InputError(
            f"{path}: not a run folder, it has no {SYSTEM}; `observer run NAME_OR_FILE --out RUN` makes one"
        )
    system, plant = load_system_and_plant(path)
    config = load_config(path) if (path / CONFIG).is_file() else {}
    observer = load_observer(path / OBSERVER, plant) if (path / OBSERVER).is_file() else None
    fit = load_fit(path, observer) if observer is not None and (path / FIT).is_file() else None
    certificate = load_certificate(path) if (path / CERTIFICATE).is_file() else None
    checks = [
        load_validation(path / name) if (path / name).is_file() else None for name in (VALIDATION, VALIDATION_NOISE)
    ]
    metrics = read_json(path / METRICS) if (path / METRICS).is_file() else {}
    logs = read_json(path / LOGS) if (path / LOGS).is_file() else {}
    starts = load_starts(path) if (path / STARTS).is_file() else None
    _check_hashes(path, metrics)
    return Run(path, system, plant, config, observer, fit, certificate, checks[0], checks[1], metrics, logs, starts)


def _check_hashes(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Refuse files other than those that ``metrics.json`` was made from; the certificate, which may be newer, has its own checksum."""
    for name, stated in metrics.get("hashes", {}).items():
        path = folder / Path(name).name
        if name != CERTIFICATE and path.is_file() and file_hash(path) != stated:
            raise InputError(
                f"{path}: not the file that {METRICS} was made from, so it is damaged or was changed by hand; "
                "restore it, or make the run again"
            )


def save_system(folder: Path, system: "System", plant: "DiscreteSystem", *, command: str = "") -> None:
    """Write the plant and its discretisation as data."""
    content = {"system": system.to_data(), "plant": plant.to_data(), "fingerprint": system.fingerprint}
    write_json(folder / SYSTEM, content, command=command)


def load_system_and_plant(folder: Path) -> "tuple[System, DiscreteSystem]":
    """Rebuild the System and the DiscreteSystem of a run from their stored graph."""
    from systems import System, discretize

    path = folder / SYSTEM
    document = read_json(path)
    system = guarded(path, lambda: System.from_data(document["system"]))
    if system.fingerprint != document.get("fingerprint"):
        raise InputError(
            f"{path}: its content does not match its fingerprint; the file was changed by hand, so make the run again"
        )
    stored = guarded(path, lambda: {name: document["plant"][name] for name in ("dt", "method", "substeps")})
    return system, guarded(path, lambda: discretize(system, **stored))


def load_config(folder: Path) -> dict[str, Any]:
    """``config.toml`` as nested dicts."""
    path = folder / CONFIG
    return guarded(path, lambda: tomllib.loads(path.read_text(encoding="utf-8")))


def load_trajectories(folder: Path) -> "Trajectories":
    """The simulated data of a run."""
    from systems import Trajectories

    path = folder / TRAJECTORIES
    return guarded(path, lambda: Trajectories.load(path))


def save_trajectories(folder: Path, data: "Trajectories") -> None:
    """Write the simulated data in one step."""
    data.save(folder / TRAJECTORIES)


def save_fit(folder: Path, fit: "FitResult", *, command: str = "") -> None:
    """Write the observer, the history and, last, ``fit.json``: its presence says that the other two are whole."""
    save_observer(folder / OBSERVER, fit.observer, command=command)
    write_text(folder / HISTORY, _history_to_csv(fit.history))
    content = {name: getattr(fit, name) for name in _FIT_NUMBERS}
    content |= {"one_step_rms": fit.one_step_rms, "region": fit.region, "warnings": list(fit.warnings)}
    content["search"] = {item.name: getattr(fit.search, item.name) for item in fields(fit.search)}
    if fit.search.trade_off is not None:
        content["search"]["trade_off"] = dict(vars(fit.search.trade_off))
    write_json(folder / FIT, content, command=command, hashes=hashes(folder, SYSTEM, TRAJECTORIES, OBSERVER, HISTORY))


def load_fit(folder: Path, observer: "RENObserver") -> "FitResult":
    """Rebuild the FitResult of a run around its observer."""
    from observer.fitting.result import FitResult
    from systems.detectability import MetricSearch, TradeOff

    path = folder / FIT
    document = read_json(path)
    for name in (OBSERVER, HISTORY):
        stated = document.get("hashes", {}).get(name)
        if not (folder / name).is_file() or file_hash(folder / name) != stated:
            raise InputError(f"{folder / name}: not the file that {FIT} was written with; restore it, or fit again")
    history = guarded(folder / HISTORY, lambda: _history_from_csv((folder / HISTORY).read_text(encoding="utf-8")))

    def build() -> FitResult:
        search = {name: _number_or_array(value) for name, value in document["search"].items()}
        if search.get("trade_off") is not None:
            curve = {name: _number_or_array(value) for name, value in search["trade_off"].items()}
            for name in ("settling_time", "gain", "noise"):  # JSON has no infinity: an observer that does not exist
                curve[name] = np.where(np.isnan(curve[name]), np.inf, curve[name])
            search["trade_off"] = TradeOff(**curve)
        values = {name: document[name] for name in _FIT_NUMBERS}
        for name in ("one_step_loss", "start_loss", "seconds"):
            values[name] = _float(values[name])
        return FitResult(
            observer=observer,
            history=history,
            one_step_rms=np.array(document["one_step_rms"], dtype=float),
            region=np.array(document["region"], dtype=float),
            warnings=tuple(document["warnings"]),
            search=MetricSearch(**search),
            **values,
        )

    return guarded(path, build)


def save_certificate(folder: Path, certificate: "Certificate", *, command: str = "") -> None:
    """Write the certificate beside the hash of the weights it speaks of."""
    write_json(folder / CERTIFICATE, certificate.to_data(), command=command, hashes=hashes(folder, SYSTEM, OBSERVER))


def load_certificate(folder: Path) -> "Certificate":
    """The certificate of a run."""
    from observer.certification.certificate import Certificate

    path = folder / CERTIFICATE
    document = read_json(path)
    for name in ("format_version", "package_version", "command", "hashes"):
        document.pop(name, None)
    return guarded(path, lambda: Certificate.from_data(document))


def save_validation(path: Path, validation: "Validation") -> None:
    """Write the trials of a validation in one step."""
    validation.save(path)


def load_validation(path: Path) -> "Validation":
    """The trials of a validation."""
    from observer.validation.validate import Validation

    return guarded(path, lambda: Validation.load(path))


def load_starts(path: Path) -> "WorstCaseStudy":
    """The worst starts and the convergence map of a run folder."""
    from observer.validation.worst_cases import WorstCaseStudy

    return guarded(path / STARTS, lambda: WorstCaseStudy.load(path / STARTS))


def hashes(folder: Path, *names: str) -> dict[str, str]:
    """SHA-256 of those of the named files that are there."""
    return {name: file_hash(folder / name) for name in names if (folder / name).is_file()}


def _history_to_csv(history: Mapping[str, Any]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(history)
    for row in zip(*(np.asarray(column).tolist() for column in history.values()), strict=True):
        writer.writerow([repr(item) if isinstance(item, float) else item for item in row])
    return stream.getvalue()


def _history_from_csv(text: str) -> dict[str, np.ndarray]:
    rows = list(csv.reader(io.StringIO(text)))
    columns = list(zip(*rows[1:], strict=True)) if len(rows) > 1 else [()] * len(rows[0])
    return {name: _column(column) for name, column in zip(rows[0], columns, strict=True)}


def _column(items: tuple[str, ...]) -> np.ndarray:
    """Whole numbers, numbers or texts: the narrowest of the three that holds every item."""
    for kind in (int, float):
        try:
            return np.array([kind(item) for item in items], dtype=kind)
        except ValueError:
            continue
    return np.array(items, dtype=str)


def _float(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _number_or_array(value: Any) -> Any:
    return np.array(value, dtype=float) if isinstance(value, list) else value
