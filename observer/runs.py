"""A run folder as values: what each file holds, and ``load_run``, which gives all of it back.

| file                   | holds                                                          | written by      |
|------------------------|----------------------------------------------------------------|-----------------|
| ``system.json``        | the plant as data, and its discretisation                      | ``save_plant``  |
| ``config.toml``        | every option as resolved                                       | the application |
| ``logs.json``          | the logs that the data was read from, and their hashes         | the application |
| ``trajectories.npz``   | simulated or logged data                                       | ``Trajectories``|
| ``observer.safetensors``, ``history.csv``, ``fit.json`` | the observer and how fitting went | ``save_fit``   |
| ``certificate.json``   | what is proved of the shipped matrices                          | ``save_certificate`` |
| ``validation.npz``, ``validation_noise.npz`` | trials against the plant                 | ``Validation``  |
| ``starts.npz``         | worst initial states found by search, and the convergence map    | ``WorstCaseStudy``  |
| ``fine_tuning.json``   | a fine-tuned run: what it came from, and errors before and after | the application |
| ``metrics.json``       | the numbers                                                    | the application |

Parts that do not belong together, of two processes in one folder say, are refused by ``load_run`` (``observer.run_chain``).
"""

import csv
import io
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from observer.run_chain import (
    CERTIFICATE,
    CONFIG,
    FINE_TUNING,
    FIT,
    HISTORY,
    LOGS,
    METRICS,
    OBSERVER,
    STARTS,
    SYSTEM,
    TRAJECTORIES,
    VALIDATION,
    VALIDATION_NOISE,
    foreign_parts,
    load_config,
    origins,
)
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
from systems.base.records import from_plain

if TYPE_CHECKING:
    from observer.certification.certificate import Certificate
    from observer.fitting.result import FitResult
    from observer.state_observer import RENObserver
    from observer.validation.result import Validation
    from observer.validation.worst_cases import WorstCaseStudy
    from systems import DiscreteSystem, System, Trajectories

_ELSEWHERE = ("observer", "history")  # parts of a FitResult that have files of their own


@dataclass(frozen=True)
class Run:
    """A plant, its observer and what is known of both: all that a run folder holds, and all that a report shows.

    Parameters
    ----------
    path
        The folder.
    plant
        The discretised plant; ``system`` is its System.
    fit
        How the observer was fitted; ``observer`` is its observer. None before the fit, as every part before its step.
    certificate, validation, validation_noise, worst_cases
        Results, see their classes; ``validation_noise`` are the trials with measurement noise.
    config, logs, fine_tuning, metrics
        The content of ``config.toml``, ``logs.json`` (a run that learned from logs), ``fine_tuning.json`` (a fine-tuned run)
        and ``metrics.json``.
    """

    path: Path
    plant: "DiscreteSystem"
    fit: "FitResult | None" = None
    certificate: "Certificate | None" = None
    validation: "Validation | None" = None
    validation_noise: "Validation | None" = None
    worst_cases: "WorstCaseStudy | None" = None
    config: dict[str, Any] = field(default_factory=dict)
    logs: dict[str, Any] = field(default_factory=dict)
    fine_tuning: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def system(self) -> "System":
        """The plant before its discretisation."""
        return self.plant.system

    @property
    def observer(self) -> "RENObserver | None":
        """The fitted observer; None before the fit."""
        return None if self.fit is None else self.fit.observer

    @property
    def trajectories(self) -> "Trajectories":
        """The data of the fit, read when asked for. Raises InputError when the file is missing or damaged."""
        return load_trajectories(self.path)


def load_run(path: "str | Path", *, without: Collection[str] = (), strict: bool = True) -> Run:
    """Read a run folder. It never executes code: the plant comes from the graph stored as data in ``system.json``.

    Parameters
    ----------
    path
        The folder.
    without
        Names of files that are not looked at, because they are about to be made anew.
    strict
        Refuse what does not match its checksum, or was not made from the other files that are here.

    Raises
    ------
    InputError
        Names the file, when the folder is no run, or when a file is damaged, was written by a newer version of this
        program, or does not belong to the others.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{path}: no such run folder; `observer run NAME_OR_FILE --out {path}` makes one")
    if not (path / SYSTEM).is_file():
        raise InputError(
            f"{path}: not a run folder, it has no {SYSTEM}; `observer run NAME_OR_FILE --out RUN` makes one"
        )

    def part(name: str, load: Callable[[Path], Any], absent: Any = None) -> Any:
        return load(path / name) if name not in without and (path / name).is_file() else absent

    def document(file: Path) -> dict[str, Any]:
        return read_json(file, changed=not strict)

    plant = load_plant(path, strict=strict)
    fit = part(FIT, lambda file: load_fit(path, plant, strict=strict)) if (path / OBSERVER).is_file() else None
    run = Run(
        path,
        plant,
        fit,
        certificate=part(CERTIFICATE, lambda file: load_certificate(file, strict=strict)),
        validation=part(VALIDATION, load_validation),
        validation_noise=part(VALIDATION_NOISE, load_validation),
        worst_cases=part(STARTS, load_worst_cases),
        config=part(CONFIG, load_config, {}),
        logs=part(LOGS, document, {}),
        fine_tuning=part(FINE_TUNING, document, {}),
        metrics=part(METRICS, document, {}),
    )
    for name, text in foreign_parts(path, without) if strict else ():
        raise InputError(f"{path / name}: {text}")
    return run


def save_plant(folder: Path, plant: "DiscreteSystem", *, command: str = "") -> None:
    """Write the plant and its discretisation as data."""
    system = plant.system
    content = {"system": system.to_data(), "plant": plant.to_data(), "fingerprint": system.fingerprint}
    write_json(folder / SYSTEM, content, command=command)


def load_plant(folder: Path, *, strict: bool = True) -> "DiscreteSystem":
    """Rebuild the plant of a run from its stored graph."""
    from systems import System, discretize

    path = folder / SYSTEM
    document = read_json(path, changed=not strict)
    system = guarded(path, lambda: System.from_data(document["system"]))
    if system.fingerprint != document.get("fingerprint"):
        raise InputError(
            f"{path}: its content does not match its fingerprint; the file was changed by hand, so make the run again"
        )
    stored = guarded(path, lambda: {name: document["plant"][name] for name in ("dt", "method", "substeps")})
    return guarded(path, lambda: discretize(system, **stored))


def load_trajectories(folder: Path) -> "Trajectories":
    """The simulated data of a run."""
    from systems import Trajectories

    path = folder / TRAJECTORIES
    return guarded(path, lambda: Trajectories.load(path))


def save_trajectories(folder: Path, data: "Trajectories") -> None:
    """Write the simulated data in one step."""
    data.save(folder / TRAJECTORIES, origins=origins(folder, TRAJECTORIES))


def save_fit(folder: Path, fit: "FitResult", *, command: str = "") -> None:
    """Write the observer, the history and, last, ``fit.json``: its presence says that the other two are whole."""
    save_observer(folder / OBSERVER, fit.observer, command=command)
    write_text(folder / HISTORY, _history_to_csv(fit.history))
    content = {item.name: getattr(fit, item.name) for item in fields(fit) if item.name not in _ELSEWHERE}
    write_json(folder / FIT, content, command=command, **origins(folder, FIT))


def load_fit(folder: Path, plant: "DiscreteSystem", *, strict: bool = True) -> "FitResult":
    """Rebuild the FitResult of a run with its observer."""
    from observer.fitting.result import FitResult
    from systems.detectability import TradeOff

    path = folder / FIT
    observer = load_observer(folder / OBSERVER, plant)
    document = read_json(path, changed=not strict)
    for name in (OBSERVER, HISTORY) if strict else ():
        stated = document.get("hashes", {}).get(name)
        if not (folder / name).is_file() or file_hash(folder / name) != stated:
            raise InputError(f"{folder / name}: not the file that {FIT} was written with; restore it, or fit again")
    history = guarded(folder / HISTORY, lambda: _history_from_csv((folder / HISTORY).read_text(encoding="utf-8")))
    types = {"TradeOff": TradeOff}
    stored = guarded(path, lambda: from_plain(_fit_record(), document, name="fit", types=types))
    curve = stored.search.trade_off
    for name in ("settling_time", "gain", "noise") if curve is not None else ():
        values = getattr(curve, name)  # JSON has no infinity: an observer that does not exist
        values[np.isnan(values)] = np.inf
    return FitResult(observer=observer, history=history, **vars(stored))


@cache
def _fit_record() -> type:
    """What ``fit.json`` holds of a FitResult."""
    from observer.fitting.result import FitResult

    kept = [item for item in fields(FitResult) if item.name not in _ELSEWHERE]
    return make_dataclass("FitRecord", [(item.name, item.type, field(default=item.default)) for item in kept])


def save_certificate(folder: Path, certificate: "Certificate", *, command: str = "") -> None:
    """Write the certificate and the hash of the weights that it belongs to."""
    write_json(folder / CERTIFICATE, certificate.to_data(), command=command, **origins(folder, CERTIFICATE))


def load_certificate(path: Path, *, strict: bool = True) -> "Certificate":
    """The certificate of a run."""
    from observer.certification.certificate import Certificate

    document = read_json(path, changed=not strict)
    return guarded(path, lambda: Certificate.from_data(document))


def save_validation(path: Path, validation: "Validation") -> None:
    """Write the trials of a validation in one step."""
    validation.save(path, origins=origins(path.parent, path.name))


def load_validation(path: Path) -> "Validation":
    """The trials of a validation."""
    from observer.validation.result import Validation

    return guarded(path, lambda: Validation.load(path))


def save_worst_cases(folder: Path, found: "WorstCaseStudy") -> None:
    """Write the worst initial states and the convergence map in one step."""
    found.save(folder / STARTS, origins=origins(folder, STARTS))


def load_worst_cases(path: Path) -> "WorstCaseStudy":
    """The worst initial states and the convergence map of a run."""
    from observer.validation.worst_cases import WorstCaseStudy

    return guarded(path, lambda: WorstCaseStudy.load(path))


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
