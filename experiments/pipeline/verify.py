"""Check a run folder that someone hands over: hashes of its files, and the certificate anew from its matrices."""

from dataclasses import dataclass
from pathlib import Path

from experiments.pipeline.logs import compared_logs
from observer import runs
from observer.runs import load_run
from observer.storage import file_hash, guarded, load_observer, read_json
from systems.base.errors import InputError

BUDGET = 60.0  # seconds to prove the bounds again; seldom needed


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
    from observer import Certificate
    from observer.certification.verification import AGREES, verify_certificate

    plant = runs.load_plant(folder)
    if not (folder / runs.OBSERVER).is_file():
        differs.append(f"{runs.OBSERVER}: missing")
        return
    path = folder / runs.CERTIFICATE
    stored = guarded(path, lambda: Certificate.from_data(read_json(path, changed=True)))
    for finding in verify_certificate(stored, load_observer(folder / runs.OBSERVER, plant), plant, budget=BUDGET):
        if finding.answer == AGREES:
            agrees.append(f"certificate {finding.text}")
        else:
            differs.append(f"{runs.CERTIFICATE}: {finding.text}")


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
