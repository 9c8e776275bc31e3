"""The certificate of a run, derived again from the shipped matrices and the plant."""

from collections.abc import Iterator
from dataclasses import replace

from experiments.pipeline.verification.findings import AGREES, DIFFERS, UNEXAMINED, Finding
from observer import runs
from observer.runs import Run
from observer.storage import load_observer


def certificate_findings(run: Run, *, fast: bool, budget: float) -> Iterator[Finding]:
    """Every entry of the stored certificate; ``fast`` leaves out its bounds, which take a search."""
    from observer.certification.identity import changed, identity
    from observer.certification.verification import verify_certificate

    stored, part = run.certificate, runs.CERTIFICATE
    if stored is None or not (run.path / runs.OBSERVER).is_file():
        yield Finding(DIFFERS, runs.OBSERVER, "missing")
        return
    observer = load_observer(run.path / runs.OBSERVER, run.plant)
    if fast and stored.bounds is not None:
        if "found" in stored.identity:  # of what its searches found; earlier versions do not have it
            others = changed(stored.identity, identity(observer, run.plant, stored.bounds))
            text = "what its bounds were derived from" + (
                f" is not what was certified ({', '.join(others)})" if others else ""
            )
            yield Finding(DIFFERS if others else AGREES, part, text)
        yield Finding(UNEXAMINED, part, "its bounds; without --fast they are derived again")
        kept = {name: value for name, value in stored.identity.items() if name not in ("options", "found")}
        stored = replace(stored, bounds=None, identity=kept)
    for found in verify_certificate(stored, observer, run.plant, budget=budget):
        yield Finding(found.answer, part, found.text)
