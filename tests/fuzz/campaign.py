"""Many inputs of one entry point: each made, run and judged, and what came of them counted."""

import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.fuzz import equations, importers, logs, options, python_plants, recipes, run_folders, toml_plants
from tests.fuzz.case import Case, Dice
from tests.fuzz.judge import Fault, case_of, faults
from tests.fuzz.server import Outcome, Server

#: entry point -> its generator. To add one: a file with ``make``, a line here.
ENTRIES: dict[str, Callable[[Dice], Case]] = {
    module.__name__.rpartition(".")[2]: module.make
    for module in (equations, toml_plants, python_plants, logs, recipes, run_folders, importers, options)
}


@dataclass
class Tally:
    """What came of the inputs of one entry point."""

    entry: str
    inputs: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    findings: list[dict[str, Any]] = field(default_factory=list)
    slowest: float = 0.0
    largest: int = 0
    seconds: float = 0.0
    processor: float = 0.0

    def line(self) -> str:
        """For a person."""
        kinds = Counter(item["kind"] for item in self.findings)
        found = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "no findings"
        most = f"slowest {self.slowest:.1f} s, largest {self.largest / 2**20:.0f} MB"
        cost = f"all {self.seconds:.0f} s, {self.processor:.0f} s of a processor"
        return f"{self.entry:<14} {self.inputs:>6} inputs  {self.row()['codes']}  {found}  {most}, {cost}"

    def row(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self) | {"codes": dict(sorted(self.codes.items()))}


def again(entry: str, seed: int, index: int) -> str:
    """The command that repeats one input and keeps its folder."""
    return f"python -m tests.fuzz {entry} --seed {seed} --index {index} --keep"


def run(server: Server, entry: str, seed: int, indices: Iterable[int], *, keep: bool = False) -> Tally:
    """Run the inputs of one entry point one after the other."""
    tally, began = Tally(entry), time.perf_counter()
    for index in indices:
        outcome = server.run(ENTRIES[entry], entry, seed, index)
        wrong = faults(outcome)
        case = case_of(outcome)
        tally.inputs += 1
        tally.processor += outcome.processor
        tally.codes[("at work" if case.get("much") else "hang") if outcome.hung else str(outcome.code)] += 1
        tally.slowest, tally.largest = max(tally.slowest, outcome.seconds), max(tally.largest, outcome.memory)
        if wrong:
            place = _where(server, entry, seed, index, outcome)
            for fault in wrong:
                tally.findings.append(_finding(fault, case, place, outcome, again(entry, seed, index)))
        if not keep:
            shutil.rmtree(outcome.place, ignore_errors=True)
    tally.seconds = time.perf_counter() - began
    return tally


def grouped(findings: list[dict[str, Any]]) -> list[str]:
    """One line for each kind of finding, the most frequent first: how often, where, and how to repeat one of them."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for item in findings:
        groups.setdefault((item["kind"], item["place"], re.sub(r"[\W\d_]+", " ", item["seen"])[:60]), []).append(item)
    lines = []
    for (kind, place, _), items in sorted(groups.items(), key=lambda group: -len(group[1])):
        first = items[0]
        words = " ".join(str(word)[:40] for word in first["words"] or ())
        lines.append(f"  {len(items)} x {kind} {place}: {first['seen'][:240]!r}")
        lines += [f"      {words[:160]!r} | {first['note'][:160]}", f"      {first['repeat']}"]
    return lines


def _finding(fault: Fault, case: dict[str, Any], place: str, outcome: Outcome, repeat: str) -> dict[str, Any]:
    return {
        "kind": fault.kind, "seen": fault.seen[:400], "words": case.get("words"), "note": str(case.get("note"))[:400], "place": place,
        "seconds": round(outcome.seconds, 2), "repeat": repeat,
    }  # fmt: skip


def _where(server: Server, entry: str, seed: int, index: int, outcome: Outcome) -> str:
    """The last line of the product in the traceback of a fault, which is run once more for it where it was caught."""
    stderr = (outcome.place / "stderr").read_bytes().decode("utf-8", "replace")
    if outcome.code == 3:
        again = server.run(ENTRIES[entry], entry, seed, index, debug=True)
        stderr = (again.place / "stderr").read_bytes().decode("utf-8", "replace")
    found = re.findall(r'File "[^"]*?/((?:systems|observer|reports|experiments)/[^"]+)", line (\d+), in (\S+)', stderr)
    return ":".join(found[-1]) if found else ""
