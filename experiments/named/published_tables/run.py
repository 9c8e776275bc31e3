"""``observer experiment published_tables``: every chosen (row, seed) that is not there yet, then the tables."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.named.published_tables.catalogue import all_rows, choose, parse_seeds
from experiments.named.published_tables.rows import FULL, TOY, Measurement, ProtocolSize, Row, Summary, summarise
from experiments.runner import Parts
from systems.base.errors import NotDetectable

__all__ = ["FULL", "TOY", "Tables", "measure"]


@dataclass(frozen=True)
class Tables:
    """Summaries of all rows that are measured in the folder; ``chosen``: names of those that this command asked for."""

    size: ProtocolSize
    seeds: Sequence[int]
    chosen: Sequence[str]
    summaries: Sequence[Summary]
    stopped: bool


def measure(size: ProtocolSize, seed: int, parts: Parts, rows: str | None = None, seeds: str | None = None) -> Tables:
    """Measure what is missing; it passes when every chosen row does. After Ctrl-C the tables show what is there.

    rows : names or groups, comma-separated; all when left out. seeds : ``0-4``, ``0,2``; ``seed`` changes nothing. Recipes,
    protocols and budgets are part of the table and no options.
    """
    wanted, numbers, stopped = choose(rows), parse_seeds(seeds), False
    # Seed by seed, so that an interrupted run has every row before it has every seed.
    jobs = [(row, n) for n in numbers for row in wanted if row.seeded or n == numbers[0]]
    pending = [(row, n) for row, n in jobs if parts.fresh or stored(parts, row, n, size) is None]
    if len(jobs) > len(pending):
        parts.say(f"{len(jobs) - len(pending)} of {len(jobs)} measurements are in {parts.out} already")
    try:
        for number, (row, n) in enumerate(pending, 1):
            begin = time.perf_counter()
            found = parts.keep(part(row, n), fingerprint(row, size), measure_row, row, n, size)
            line = _line(row, n, Measurement.from_data(found))
            parts.say(f"[{number}/{len(pending)}] {line}  ({time.perf_counter() - begin:.0f} s)")
    except KeyboardInterrupt:
        stopped = True
    chosen = [row.name for row in wanted]
    summaries = []
    for row in all_rows():  # rows that were measured by an earlier command stay in the tables
        measured = {n: stored(parts, row, n, size) for n in (numbers if row.name in chosen else _seeds(parts, row))}
        measured = {n: measurement for n, measurement in measured.items() if measurement is not None}
        if measured or row.name in chosen:
            summaries.append(summarise(row, measured))
    return Tables(size, numbers, chosen, summaries, stopped)


def measure_row(row: Row, seed: int, size: ProtocolSize) -> dict[str, Any]:
    """One measurement as plain data; a refusal of the plant is an answer of the application, and a result of the row."""
    begin = time.perf_counter()
    try:
        return row.measure(seed, size).to_data()
    except NotDetectable as refusal:
        return Measurement({}, False, str(refusal), time.perf_counter() - begin).to_data()


def fingerprint(row: Row, size: ProtocolSize) -> str:
    """Hash of all that defines a measurement besides its seed and the code: a table never mixes two recipes."""
    from systems.base.records import to_plain

    content = {"row": row.name, "recipe": dict(row.recipe), "budget": row.budget, "size": size.to_data()}
    return hashlib.sha256(json.dumps(to_plain(content), sort_keys=True).encode()).hexdigest()[:16]


def part(row: Row, seed: int) -> str:
    """The name of a measurement among the parts."""
    return f"rows/{row.name}/seed-{seed}"


def stored(parts: Parts, row: Row, seed: int, size: ProtocolSize) -> Measurement | None:
    """A finished measurement, or None where there is none of this configuration."""
    found = parts.stored(part(row, seed), fingerprint(row, size))
    return None if found is None else Measurement.from_data(found)


def _seeds(parts: Parts, row: Row) -> list[int]:
    numbers = [path.stem.removeprefix("seed-") for path in (parts.out / "rows" / row.name).glob("seed-*.json")]
    return sorted(int(number) for number in numbers if number.isdigit())


def _line(row: Row, seed: int, m: Measurement) -> str:
    numbers = ", ".join(f"{e.label} {m.values.get(e.key, float('nan')):.3g}" for e in row.entries)
    return f"{row.name} seed {seed}: {numbers}" + ("" if m.holds else f"; {m.reason}")
