"""Check a run folder that someone hands over: hashes of its files, and the certificate anew from its matrices."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.pipeline.logs import compared_logs
from observer import runs
from observer.runs import load_run
from observer.storage import file_hash, guarded, load_observer, read_json
from systems.base.errors import InputError
from systems.base.records import to_plain

if TYPE_CHECKING:
    from observer.certification.bounds import Bounds
    from observer.state_observer import RENObserver
    from systems.discretization import DiscreteSystem

BUDGET = 60.0  # seconds to prove the bounds again; seldom needed
TOLERANCE = 1e-6  # relative; another BLAS changes the last digits of an eigenvalue, never the sixth


@dataclass(frozen=True)
class Findings:
    """Sentences: what agrees, what differs, and what is missing and so could not be compared."""

    agrees: list[str]
    differs: list[str]
    absent: list[str]


def verify(folder: Path) -> Findings:
    """Compare a run with its own statements. Raises InputError when the folder holds no certified run."""
    if not (folder / runs.METRICS).is_file() or not (folder / runs.CERTIFICATE).is_file():
        if not (folder / runs.SYSTEM).is_file():
            load_run(folder)  # says what is wrong with the folder
        raise InputError(
            f"{folder}: not certified yet, so there is nothing to verify; `observer certify {folder}` does it"
        )
    agrees, differs = _hashes(folder)
    for check in (load_run, lambda folder: _certificate(folder, agrees, differs)):
        try:
            check(folder)
        except InputError as error:  # too damaged to be looked into
            if not any(str(error).startswith(f"{folder / text.partition(':')[0]}:") for text in differs):
                differs.append(str(error))
    return Findings(agrees, differs, _logs(folder, agrees, differs))


def _certificate(folder: Path, agrees: list[str], differs: list[str]) -> None:
    """Each number of the stored certificate against the one that the shipped matrices give."""
    from observer import Certificate, certify
    from observer.certification.identity import changed

    plant = runs.load_plant(folder)
    if not (folder / runs.OBSERVER).is_file():
        differs.append(f"{runs.OBSERVER}: missing")
        return
    path = folder / runs.CERTIFICATE
    stored = guarded(path, lambda: Certificate.from_data(read_json(path, changed=True)))
    observer = load_observer(folder / runs.OBSERVER, plant)
    anew = certify(observer, plant, residual=False)
    for name in [item.name for item in fields(Certificate) if item.name not in ("reason", "bounds", "identity")]:
        said, found = to_plain(getattr(stored, name)), to_plain(getattr(anew, name))
        if same(name, said, found):
            agrees.append(f"certificate {name}")
        else:
            differs.append(f"{runs.CERTIFICATE}: {name} is {said!r} there and {found!r} from the shipped matrices")
    others = changed(stored.identity, anew.identity)
    for name in others:
        what = "the plant and its discretisation are" if name == "plant" else f"{name} is"
        differs.append(f"{runs.CERTIFICATE}: {what} not what was certified (its fingerprint differs)")
    if stored.identity and not others:
        agrees.append("identity of the matrices and of the plant")
    if stored.bounds and others:
        differs.append(
            f"{runs.CERTIFICATE}: its bounds are those of another observer or plant, so they were not searched again"
        )
    elif stored.bounds:
        _bounds(stored.bounds, observer, plant, agrees, differs)


def _bounds(
    bounds: "Bounds", observer: "RENObserver", plant: "DiscreteSystem", agrees: list[str], differs: list[str]
) -> None:
    """The stated region and accuracy, found and proved anew."""
    from observer.certification.verification import verify_bounds

    for holds, text in verify_bounds(bounds, observer, plant, budget=BUDGET):
        if holds:
            agrees.append(f"certificate {text}")
        else:
            differs.append(f"{runs.CERTIFICATE}: {text}")


def _hashes(folder: Path) -> tuple[list[str], list[str]]:
    agrees, differs = [], []
    for name, stated in read_json(folder / runs.METRICS, changed=True).get("hashes", {}).items():
        path = folder / Path(name).name
        if not path.is_file():
            differs.append(f"{name}: missing")
        elif file_hash(path) != stated:
            differs.append(f"{name}: its content is not the one that metrics.json was made from")
        else:
            agrees.append(f"hash of {name}")
    return agrees, differs


def _logs(folder: Path, agrees: list[str], differs: list[str]) -> list[str]:
    """The logs that the run learned from; returns those that are not here."""
    absent = []
    for log, found in compared_logs(folder):
        if found is None:
            absent.append(f"log {log}: no longer there, so not compared")
        elif found:
            agrees.append(f"log {log}")
        else:
            differs.append(f"log {log}: changed since the run learned from it")
    return absent


def same(name: str, stored: object, anew: object) -> bool:
    """True when two values of a certificate agree: numbers to ``TOLERANCE`` of the largest entry, all else exactly.

    The margin, an eigenvalue of a form of unit diagonal, is about zero at the proved rate: it is compared as such.
    """
    try:
        one, two = np.asarray(stored, dtype=float), np.asarray(anew, dtype=float)
    except (TypeError, ValueError):
        return stored == anew
    if one.shape != two.shape:
        return False
    scale = 1.0 if name == "lmi_margin" else np.nanmax(np.abs(two), initial=0.0)
    return bool(np.allclose(one, two, rtol=TOLERANCE, atol=TOLERANCE * scale, equal_nan=True))
