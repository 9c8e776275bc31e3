"""Check a run folder that someone hands over: every part derived again from the parts before it, and compared as a whole.

What may differ by rounding, threads or another processor agrees; what a person changed differs, whatever was signed anew; what takes longer
than the time given is not confirmed. Nothing is written.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from experiments.pipeline.job import REPORT
from experiments.pipeline.recipe import read_recipe
from experiments.pipeline.verification.certificate import certificate_findings
from experiments.pipeline.verification.data import data_findings, log_findings, plant_findings
from experiments.pipeline.verification.findings import AGREES, DIFFERS, UNCONFIRMED, Finding, Findings
from experiments.pipeline.verification.fit import algebra_findings, fit_findings
from experiments.pipeline.verification.pages import header_findings, metrics_findings, report_findings
from experiments.pipeline.verification.trials import trial_findings, worst_findings
from observer import runs
from observer.run_chain import ORIGINS, foreign_parts, hashes, stored_origins
from observer.runs import Run, load_run
from observer.storage import package_version, read_json
from systems.base.errors import InputError

BUDGET = 120.0  # seconds for all that is searched and trained again
CERTIFIED = 0.5  # share of them that the certificate may take


def verify(folder: Path, *, budget: float = BUDGET, fast: bool = False) -> Findings:
    """Compare a run with its own statements.

    Parameters
    ----------
    folder
        A run that was certified at least.
    budget
        Seconds for the bounds of the certificate, the search for the worst initial states and the training, all done again.
    fast
        Only what takes seconds: hashes, algebra, derived numbers, and samples of the trials. What is left out is ``unexamined``.

    Raises
    ------
    InputError
        When the folder holds no certified run.
    """
    if not (folder / runs.METRICS).is_file() or not (folder / runs.CERTIFICATE).is_file():
        if not (folder / runs.SYSTEM).is_file():
            load_run(folder)  # says what is wrong with the folder
        raise InputError(
            f"{folder}: not certified yet, so there is nothing to verify; `observer certify {folder}` does it"
        )
    found = list(_whole(folder))
    try:
        run = load_run(folder, strict=False)  # what its checksums and hashes say is told already
    except InputError as error:  # too damaged to be looked into
        return Findings.of([*found, Finding(DIFFERS, _part(folder, error), _text(folder, error))])
    return Findings.of([*found, *_examined(run, budget, fast)])


def _whole(folder: Path) -> Iterator[Finding]:
    """The checksum of every JSON file, and what each part says that it was made from."""
    for path in sorted(folder.glob("*.json")):
        try:
            read_json(path)
            yield Finding(AGREES, path.name, "checksum")
        except InputError as error:
            yield Finding(DIFFERS, path.name, _text(folder, error))
    for name in ORIGINS:
        try:
            stated = stored_origins(folder / name) if (folder / name).is_file() else {}
        except InputError as error:
            yield Finding(DIFFERS, name, _text(folder, error))
            continue
        for other in stated.get("hashes", {}):
            if not (folder / Path(other).name).is_file():
                yield Finding(DIFFERS, Path(other).name, f"missing; {name} was made from it")
            elif hashes(folder, Path(other).name)[Path(other).name] == stated["hashes"][other]:
                yield Finding(AGREES, name, f"hash of {other}")
    for name, text in foreign_parts(folder):
        yield Finding(DIFFERS, name, text)


def _examined(run: Run, budget: float, fast: bool) -> Iterator[Finding]:
    """Every part of a run that can be read."""
    end = time.monotonic() + budget
    recipe = read_recipe(run.path / runs.CONFIG) if (run.path / runs.CONFIG).is_file() else None
    yield from log_findings(run)
    yield from _tried(runs.METRICS, lambda: metrics_findings(run), run)
    if recipe is not None:
        yield from _tried(runs.CONFIG, lambda: header_findings(run, recipe))
        yield from _tried(runs.SYSTEM, lambda: plant_findings(run, recipe), run)
        yield from _tried(runs.TRAJECTORIES, lambda: data_findings(run, recipe))
    if run.observer is not None and run.observer.direct:
        yield from _tried(runs.OBSERVER, lambda: algebra_findings(run))
    if recipe is not None and run.fit is not None and run.validation is not None:
        yield from _tried(runs.VALIDATION, lambda: trial_findings(run, recipe, fast=fast))
    yield from _tried(runs.CERTIFICATE, lambda: certificate_findings(run, fast=fast, budget=CERTIFIED * budget))
    if recipe is not None and run.fit is not None:
        yield from _tried(runs.STARTS, lambda: worst_findings(run, recipe, fast=fast, end=end))
        yield from _tried(runs.FIT, lambda: fit_findings(run, recipe, fast=fast, end=end), run)
        yield from _tried(REPORT, lambda: report_findings(run, fast=fast, end=end), run)


def _tried(part: str, examine: Callable[[], Iterable[Finding]], run: Run | None = None) -> Iterator[Finding]:
    """What an examination finds; a part that cannot even be looked into is not what the program wrote.

    ``run``: where the finding rests on a choice or a word of the program. An earlier version may have made another one, so that a
    difference from what this version gives refutes nothing.
    """
    earlier = run is not None and _earlier(run)
    try:
        for finding in examine():
            if earlier and finding.answer == DIFFERS:
                finding = Finding(UNCONFIRMED, finding.part, f"{finding.text} (it was written by an earlier version)")
            yield finding
    except (InputError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError) as error:
        yield Finding(
            DIFFERS, part, f"cannot be derived again ({' '.join(str(error).split()) or type(error).__name__})"
        )


def _earlier(run: Run) -> bool:
    """Whether another version of this program fitted the observer: its ``fit.json`` says so, or does not say by which recipe."""
    if run.fit is None:
        return False
    stated = read_json(run.path / runs.FIT, changed=True)
    return stated.get("package_version") != package_version() or "recipe" not in stated


def _part(folder: Path, error: Exception) -> str:
    return str(error).partition(":")[0].removeprefix(f"{folder}/")


def _text(folder: Path, error: Exception) -> str:
    """A message without the file in front of it."""
    return str(error).partition(": ")[2] or str(error)
