"""What sums a run up, derived again: ``metrics.json`` as a whole, the headers of all files, the report and its figures."""

import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

from experiments.pipeline.job import FIGURES, REPORT
from experiments.pipeline.metrics import metrics_of
from experiments.pipeline.options import OPTIONS, command_for
from experiments.pipeline.recipe import Recipe
from experiments.pipeline.verification.agreement import apart, compared
from experiments.pipeline.verification.data import error_rounding
from experiments.pipeline.verification.findings import AGREES, DIFFERS, UNCONFIRMED, UNEXAMINED, Finding
from observer import runs
from observer.runs import Run
from observer.storage import FORMAT_VERSION, package_version, read_json

TIMES = ("fit.seconds", "certificate.residual_seconds")  # of the wall clock: stated, and not compared
#: Which options the command of a file repeats: those of its step and of the steps before it.
_GROUPS = {runs.SYSTEM: ("plant", "seed", "data"), runs.LOGS: ("plant", "seed", "data")}
_GROUPS |= {runs.FIT: ("plant", "seed", "data", "fit"), runs.CERTIFICATE: ("plant", "seed", "data", "fit")}
_NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:e[-+]?\d+)?")
_PICTURE = re.compile(r"data:image/[^\"]*")


def metrics_findings(run: Run) -> Iterator[Finding]:
    """``metrics.json`` against what the parts give: every entry, but for stated times."""
    path = run.path / runs.METRICS
    stored = read_json(path, changed=True)
    anew = metrics_of(run, str(stored.get("command", "")))
    condition = run.certificate.metric_condition if run.certificate is not None else 1.0
    old = {"package_version": stored.get("package_version")}  # judged with those of the other files
    hashes = {
        name: anew["hashes"].get(name) for name in stored.get("hashes", {})
    }  # of those that were there when it was written
    near = {
        f"discretization.error.{name}": value
        for name, value in zip(run.system.state_names, error_rounding(run), strict=True)
    }
    yield from compared(
        runs.METRICS, stored, anew | old | {"hashes": hashes}, what="every number, from the parts", exempt=TIMES, near=near,
        roundings=1e4 * condition,
    )  # fmt: skip


def header_findings(run: Run, recipe: Recipe) -> Iterator[Finding]:
    """Format, version and command of every JSON file."""
    for path in sorted(run.path.glob("*.json")):
        document = read_json(path, changed=True)
        if document["format_version"] != FORMAT_VERSION and document["format_version"] not in range(1, FORMAT_VERSION):
            yield Finding(DIFFERS, path.name, f"format_version is {apart(document['format_version'], FORMAT_VERSION)}")
        version = document.get("package_version")
        if version != package_version():
            text = f"written by version {version!r}, and this is {package_version()!r}: whether that one wrote it nothing can show"
            yield Finding(UNEXAMINED, path.name, text)
        command = str(document.get("command", ""))
        fault = _foreign(command, recipe, run.path, _GROUPS.get(path.name)) if command else ""
        if fault:
            yield Finding(DIFFERS, path.name, f"its command is {fault}")


def _foreign(command: str, recipe: Recipe, folder: Path, groups: tuple[str, ...] | None) -> str:
    """How a command differs from the one that the recipe gives; empty where it does not. ``groups``: of its options, None for all.

    The folder may have been moved, and an observer may have been certified anew.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return f"{command!r}, which no shell reads"
    if words[:2] == ["observer", "certify"]:
        return ""
    out = words[words.index("--out") + 1] if "--out" in words[:-1] else str(folder)
    expected = shlex.split(command_for(recipe, Path(out)))
    if groups is None:
        return "" if words == expected else apart(command, shlex.join(expected))
    later = {option.flag for option in OPTIONS if option.group not in groups}
    same = _without(words, later) == _without(expected, later) or "--config" in words + expected
    return "" if same else apart(command, shlex.join(expected))


def _without(words: list[str], flags: set[str]) -> list[str]:
    """A command line without some options and their values."""
    found, skip = [], False
    for word in words:
        skip = word in flags or (skip and not word.startswith("--"))
        found += [] if skip else [word]
        skip = word in flags
    return found


def report_findings(run: Run, *, fast: bool, end: float) -> Iterator[Finding]:
    """The page and its figures: drawn again, and compared text by text and byte by byte."""
    import reports

    path = run.path / REPORT
    if not path.is_file():
        return
    stored = path.read_text(encoding="utf-8")
    metrics = reports.metrics_text(run)
    if metrics not in stored:
        text = f"made from another {runs.METRICS} than the one that is here; `observer report {run.path}` makes it anew"
        yield Finding(DIFFERS, REPORT, text)
        return
    yield Finding(AGREES, REPORT, f"holds {runs.METRICS}")
    if fast or time.monotonic() > end:
        why = "without --fast they are" if fast else "the time given was used up"
        yield Finding(UNEXAMINED if fast else UNCONFIRMED, REPORT, f"text and figures were not drawn again; {why}")
        return
    page, files = reports.drawn(run)
    fault = _text_fault(_PICTURE.sub("", stored), _PICTURE.sub("", page))
    if fault:
        yield Finding(DIFFERS, REPORT, fault)
    else:
        yield Finding(AGREES, REPORT, "its text")
    pictures = {
        name: content == (run.path / FIGURES / name).read_bytes() for name, content in files.items() if _here(run, name)
    }
    pictures["the pictures in the page"] = _PICTURE.findall(stored) == _PICTURE.findall(page)
    for name in files:
        if not _here(run, name):
            yield Finding(DIFFERS, f"{FIGURES}/{name}", "missing")
    other = reports.drawn_elsewhere(stored)
    for name, same in pictures.items():
        part = REPORT if " " in name else f"{FIGURES}/{name}"
        if same:
            yield Finding(AGREES, part, "the picture, drawn again" if part != REPORT else name)
        elif other:
            yield Finding(
                UNCONFIRMED, part, f"drawn by other versions ({other}) than those that are here, so not compared"
            )
        else:
            yield Finding(DIFFERS, part, "not the picture that the run gives; `observer report` draws it anew")


def _here(run: Run, name: str) -> bool:
    return (run.path / FIGURES / name).is_file()


def _text_fault(stored: str, anew: str) -> str:
    """The first place where two pages differ by more than the rounding of a number; empty where they do not."""
    one, two = stored.splitlines(), anew.splitlines()
    for old, new in zip(one, two, strict=False):
        if old != new and not _same_line(old, new):
            return f"a line is {apart(old.strip(), new.strip())}"
    return "" if len(one) == len(two) else f"has {len(one)} lines, and {len(two)} when it is made again"


def _same_line(one: str, two: str) -> bool:
    """The same words, and numbers that are the same to what they are rounded to."""
    if _NUMBER.sub("#", one) != _NUMBER.sub("#", two):
        return False
    numbers = zip(_NUMBER.findall(one), _NUMBER.findall(two), strict=True)
    return all(
        a == b or ("." in a and len(a) > 12 and abs(float(a) - float(b)) <= 1e-9 * abs(float(b))) for a, b in numbers
    )
