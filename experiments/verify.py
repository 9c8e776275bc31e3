"""Check a run folder that someone hands over: hashes of its files, and the certificate anew from its matrices."""

from pathlib import Path

import numpy as np

from observer import runs
from observer.runs import load_run
from observer.storage import file_hash, read_json
from systems.errors import InputError

TOLERANCE = 1e-6  # relative; another BLAS changes the last digits of an eigenvalue, never the sixth


def verify(folder: Path) -> tuple[list[str], list[str]]:
    """(what agrees, what differs), each a sentence. Raises InputError when the folder holds no certified run."""
    if not (folder / runs.METRICS).is_file() or not (folder / runs.CERTIFICATE).is_file():
        if not (folder / runs.SYSTEM).is_file():
            load_run(folder)  # says what is wrong with the folder
        raise InputError(
            f"{folder}: not certified yet, so there is nothing to verify; `observer certify {folder}` does it"
        )
    agrees, differs = _hashes(folder)
    try:
        run = load_run(folder)
    except InputError as error:
        return agrees, [*differs, str(error)]
    if run.observer is None or run.certificate is None:
        return agrees, [*differs, f"{runs.OBSERVER}: missing"]
    from observer import certify

    stored, anew = run.certificate.to_data(), certify(run.observer, run.plant).to_data()
    for name in [name for name in anew if name != "reason"]:
        value = anew[name]
        if same(name, stored.get(name), value):
            agrees.append(f"certificate {name}")
        else:
            differs.append(
                f"{runs.CERTIFICATE}: {name} is {stored.get(name)!r} there and {value!r} from the shipped matrices"
            )
    return agrees, differs


def _hashes(folder: Path) -> tuple[list[str], list[str]]:
    agrees, differs = [], []
    for name, stated in read_json(folder / runs.METRICS).get("hashes", {}).items():
        path = folder / Path(name).name
        if not path.is_file():
            differs.append(f"{name}: missing")
        elif file_hash(path) != stated:
            differs.append(f"{name}: its content is not the one that metrics.json was made from")
        else:
            agrees.append(f"hash of {name}")
    return agrees, differs


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
