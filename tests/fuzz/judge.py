"""What was wrong with how a child ended. A fault has a kind, by which faults are counted, and what was seen."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fuzz.child import CACHES, MEMORY, NO_INPUT, digest
from tests.fuzz.server import Outcome
from tests.fuzz.values import CANARY, PAYLOADS

_LONGEST = 4_000  # characters of a refusal
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_FOREIGN = (
    ( "a traceback", re.compile(
    r"Traceback \(most recent call last\)|^Exception ignored|^Fatal Python error|HDF5-DIAG|Segmentation fault", re.M, ), ),
    ("a warning of a library", re.compile(r"^\S+\.py:\d+: \w*Warning|LLVM ERROR", re.M)),
    ("advice to allow pickles", re.compile(r"allow_pickle|allow pickle", re.I)),
    ("memory not foreseen", re.compile(r"not enough memory \(|Unable to allocate|std::bad_alloc")),
)  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """``kind`` is one of few; ``seen`` is what to show a person."""

    kind: str
    seen: str


def case_of(outcome: Outcome) -> dict[str, Any]:
    """The input as its child described it."""
    path = outcome.place / "case.json"
    return json.loads(path.read_text(encoding="utf-8", errors="surrogatepass")) if path.is_file() else {}


def faults(outcome: Outcome) -> list[Fault]:
    """Everything that must not be."""
    case, place = case_of(outcome), outcome.place
    out, said = (place / name for name in ("stdout", "stderr"))
    text, errors = (_text(path) for path in (out, said))
    found: list[Fault] = []
    if not case or outcome.code == NO_INPUT:
        return [Fault("no input", errors[-500:])]
    theirs, lost = case["theirs"], bool(case["streams"] or case["limits"])
    if outcome.hung and case["much"]:
        pass  # it works on
    elif outcome.hung:
        found.append(Fault("a hang", f"{outcome.seconds:.0f} s, {outcome.processor:.0f} s of a processor"))
    elif outcome.code not in (0, 1, 2, *((129, 130, 143, -15) if case["signals"] else ())) and not theirs:
        found.append(Fault(f"exit {outcome.code}", _last(errors)))
    if not theirs:
        for kind, pattern in _FOREIGN:
            match = pattern.search(errors) or pattern.search(text)
            if match:
                found.append(Fault(kind, _around(errors + text, match.group())))
        for name, content in (("stdout", text), ("stderr", errors)):
            match = _CONTROL.search(content)
            if match:
                found.append(Fault("a control character", f"{name}: {_around(content, match.group())!r}"))
        if outcome.code == 2 and not lost:
            found += _refusal(errors)
    if outcome.memory > MEMORY:
        found.append(Fault("memory", f"{outcome.memory / 2**30:.1f} GB"))
    if case["forged"] and case["words"][:1] == ["verify"] and outcome.code == 0:
        found.append(Fault("forged, and called certified", case["note"]))
    found += _disk(case, place, outcome)
    return found + _pages(place / "work")


def _text(path: Path) -> str:
    return path.read_bytes()[:3_000_000].decode("utf-8", "backslashreplace")


def _last(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][-300:]


def _around(text: str, part: str) -> str:
    where = text.find(part)
    return text[max(0, where - 80) : where + 160]


def _refusal(errors: str) -> list[Fault]:
    """A refusal says what is wrong in few words."""
    if not errors.strip():
        return [Fault("refused without a word", "")]
    if len(errors) > _LONGEST:
        return [Fault("a message too long", f"{len(errors)} characters: {errors[:100]!r}")]
    return []


def _disk(case: dict[str, Any], place: Path, outcome: Outcome) -> list[Fault]:
    """Files that were touched and should not have been, or were left half-written; what ran."""
    found = []
    for line in _text(place / "log").splitlines():
        kind, what = json.loads(line)
        if not case["theirs"]:
            found.append(Fault({"writes": "a file outside", "runs": "code run", "flush": "exit 120"}[kind], what))
    after = digest(place / "outside")
    if after != case["outside"]:
        canary = any(CANARY in name for name in after)
        found.append(
            Fault(
                "code run" if canary else "a file outside",
                f"{sorted(set(after.items()) ^ set(case['outside'].items()))[:3]}",
            )
        )
    home = [str(path.relative_to(place / "home")) for path in (place / "home").rglob("*") if path.is_file()]
    home = [name for name in home if not name.startswith(CACHES)]
    if home:
        found.append(Fault("a file outside", f"home: {home[:5]}"))
    work = place / "work"
    lost = [name for name, content in case["inputs"].items() if digest(work, (name,)).get(name) != content]
    if lost:
        found.append(Fault("an input overwritten", ", ".join(lost)))
    killed = outcome.hung or outcome.code < 0
    partial = [path.name for path in work.rglob("*.partial*") if path.name not in case["partial"]]
    if partial and not killed and not case["theirs"]:
        found.append(Fault("a half-written file", ", ".join(partial[:3])))
    if outcome.code in (0, 1) and case["words"][:1] == ["run"]:
        found += _unfinished(case, work)
    return found


def _pages(work: Path) -> list[Fault]:
    """Texts of a plant stand on a page as texts."""
    for path in work.rglob("*.html"):
        content = _text(path) if path.is_file() and not path.is_symlink() else ""
        raw = [item for item in PAYLOADS if item.startswith(("<", '"><')) and item in content]
        if raw or "49{{" in content:
            return [Fault("a page that acts", f"{path.name}: {raw[:1]}")]
    return []


def _unfinished(case: dict[str, Any], work: Path) -> list[Fault]:
    """A run that ends well has its report, or said that there is no such observer."""
    words = case["words"]
    if "--help" in words or "--out" not in words or "refused:" in _text(work.parent / "stderr"):
        return []
    report = work / words[words.index("--out") + 1] / "report.html"
    return [] if report.is_file() or case["theirs"] else [Fault("exit 0 of an unfinished run", " ".join(words)[:200])]
