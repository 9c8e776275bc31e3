"""The certificate of a run, found and proved again from the shipped matrices."""

from collections.abc import Iterator
from dataclasses import fields

from experiments.pipeline.verification.agreement import compared
from experiments.pipeline.verification.findings import AGREES, DIFFERS, UNCONFIRMED, UNEXAMINED, Finding
from observer import runs
from observer.runs import Run
from observer.storage import load_observer
from systems.base.records import to_plain


def certificate_findings(run: Run, *, fast: bool, budget: float) -> Iterator[Finding]:
    """Every number of the stored certificate; its bounds only by a search, which ``fast`` leaves out."""
    from observer import Certificate, certify
    from observer.certification.identity import changed
    from observer.certification.verification import verify_bounds

    stored, part = run.certificate, runs.CERTIFICATE
    if stored is None or not (run.path / runs.OBSERVER).is_file():
        yield Finding(DIFFERS, runs.OBSERVER, "missing")
        return
    observer = load_observer(run.path / runs.OBSERVER, run.plant)
    anew = certify(observer, run.plant, residual=False)
    names = [item.name for item in fields(Certificate) if item.name not in ("reason", "bounds", "identity")]
    one, two = ({name: to_plain(getattr(each, name)) for name in names} for each in (stored, anew))
    yield from compared(part, one, two, what="rate, metric and gains", near={"lmi_margin": 1e-6}, roundings=1e9)
    others = changed(stored.identity, anew.identity)
    for name in others:
        what = "the plant and its discretisation are" if name == "plant" else f"{name} is"
        yield Finding(DIFFERS, part, f"{what} not what was certified (its fingerprint differs)")
    if stored.identity and not others:
        yield Finding(AGREES, part, "identity of the matrices and of the plant")
    if stored.bounds is None:
        return
    if others:
        yield Finding(
            DIFFERS, part, "its bounds are those of another observer or plant, so they were not searched again"
        )
    elif fast:
        yield Finding(UNEXAMINED, part, "its bounds; without --fast they are proved again")
    else:
        for holds, text in verify_bounds(stored.bounds, observer, run.plant, budget=budget):
            yield Finding(AGREES if holds else UNCONFIRMED if "not confirmed" in text else DIFFERS, part, text)
