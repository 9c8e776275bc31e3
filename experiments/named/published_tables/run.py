"""``observer experiment published_tables``: every chosen (row, seed) that is not there yet, then the tables.

Each measurement is kept as soon as it is finished: Ctrl-C loses the one that is running, and the same command goes on.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments.named.published_tables.catalogue import GROUPS, all_rows, choose, parse_seeds
from experiments.named.published_tables.rows import FULL, OPEN, PASS, Measurement, Row, Size, Summary, summarise
from experiments.named.published_tables.store import Store
from experiments.pipeline.console import DONE, FAILED, Interrupted
from observer.storage import write_json
from systems.base.errors import InputError, NotDetectable

OPTIONS = ("rows", "seeds", "fresh", "size")


def run(
    out: Path,
    *,
    full: bool = False,
    seed: int = 0,
    quiet: bool = False,
    report: Callable[[str], None] = print,
    **options: Any,
) -> int:
    """Measure what is missing into ``out`` and write ``metrics.json`` and ``report.html``; 0 when every chosen row passes.

    ``options``: rows (names or groups, comma-separated; all), seeds (``0-4``), fresh (measure again), size (FULL). Recipes,
    protocols and budgets are part of the table and no options; ``full`` and ``seed`` change nothing.
    """
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise InputError(
            f"published_tables has fixed recipes and takes no {', '.join(unknown)}; choose rows with --rows and seeds with --seeds"
        )
    rows, seeds = choose(options.get("rows")), parse_seeds(options.get("seeds"))
    size: Size = options.get("size") or FULL
    store = Store(Path(out), size)
    store.folder.mkdir(parents=True, exist_ok=True)
    pending = _pending(store, rows, seeds, bool(options.get("fresh")))
    total = sum(1 if not row.seeded else len(seeds) for row in rows)
    if total > len(pending):
        report(f"{total - len(pending)} of {total} measurements are in {out} already")
    try:
        for number, (row, n) in enumerate(pending, 1):
            start = time.perf_counter()
            try:
                measurement = row.measure(n, size)
            except NotDetectable as refusal:  # an answer of the application, and a result of the row
                measurement = Measurement({}, False, str(refusal), time.perf_counter() - start)
            store.save(row, n, measurement)
            report(f"[{number}/{len(pending)}] {_line(row, n, measurement)}  ({time.perf_counter() - start:.0f} s)")
    except KeyboardInterrupt:
        write_tables(store, rows, seeds, report)
        raise Interrupted(f"stopped; what was finished is in {out}. The same command goes on from there") from None
    summaries = write_tables(store, rows, seeds, report)
    return DONE if all(s.status == PASS for s in summaries) else FAILED


def _pending(store: Store, rows: Sequence[Row], seeds: Sequence[int], fresh: bool) -> list[tuple[Row, int]]:
    """What is to be measured, seed by seed, so that an interrupted run has every row before it has every seed."""
    jobs = [(row, seed) for seed in seeds for row in rows if row.seeded or seed == seeds[0]]
    if fresh:
        for row, seed in jobs:
            store.path(row, seed).unlink(missing_ok=True)
    return [(row, seed) for row, seed in jobs if store.load(row, seed) is None]


def write_tables(
    store: Store, rows: Sequence[Row], seeds: Sequence[int], report: Callable[[str], None]
) -> list[Summary]:
    """``metrics.json`` and ``report.html`` of all that is measured in the folder; the summaries of the chosen rows.

    Rows that were measured by an earlier command stay in the report.
    """
    from reports.published import write_published_report

    chosen = {row.name for row in rows}
    summaries = []
    for row in all_rows():
        measured = store.measured(row, seeds) if row.name in chosen else store.measured(row)
        if measured or row.name in chosen:
            summaries.append(summarise(row, measured))
    command = f"observer experiment published_tables --out {store.folder}"
    write_json(store.folder / "metrics.json", _metrics(summaries, seeds, store.size), command=command)
    page = write_published_report(store.folder, sections=_sections(summaries), command=command, size=store.size.name)
    mine = [s for s in summaries if s.row.name in chosen]
    width = max(len(s.row.name) for s in mine)
    for s in mine:
        numbers = ", ".join(f"{o.entry.label} {o.median:.3g} (worst {o.worst:.3g})" for o in s.outcomes)
        report(f"{s.row.name:<{width}}  {s.status:<11}  {numbers}")
    report(f"report: {page}")
    return mine


def _line(row: Row, seed: int, m: Measurement) -> str:
    numbers = ", ".join(f"{e.label} {m.values.get(e.key, float('nan')):.3g}" for e in row.entries)
    return f"{row.name} seed {seed}: {numbers}" + ("" if m.holds else f"; {m.reason}")


def _metrics(summaries: Sequence[Summary], seeds: Sequence[int], size: Size) -> dict[str, Any]:
    counted = {status: sum(s.status == status for s in summaries) for status in (PASS, "median only", "fail", OPEN)}
    rows = {}
    for s in summaries:
        rows[s.row.name] = {
            "title": s.row.title, "status": s.status, "reason": s.reason, "seeds": sorted(s.measurements),
            "budget": s.row.budget, "seconds": s.seconds, "processor_seconds": s.processor_seconds, "recipe": dict(s.row.recipe),
            "entries": {
                o.entry.key: {
                    "label": o.entry.label, "unit": o.entry.unit, "median": o.median, "worst": o.worst,
                    "published": o.entry.published, "bar": o.entry.bar, "strict": o.entry.strict, "status": o.status,
                }
                for o in s.outcomes
            },
            "per_seed": {
                str(seed): {
                    "values": dict(m.values), "holds": m.holds, "reason": m.reason, "seconds": m.seconds,
                    "processor_seconds": m.processor_seconds, "facts": dict(m.facts),
                }
                for seed, m in s.measurements.items()
            },
        }  # fmt: skip
    return {"experiment": "published_tables", "size": size.name, "seeds": list(seeds), "counts": counted, "rows": rows}


def _sections(summaries: Sequence[Summary]) -> list[Any]:
    """Summaries in the words of the report: one section per protocol."""
    from experiments.named.published_tables.page import section

    groups: dict[str, list[Summary]] = {}
    for s in summaries:
        groups.setdefault(s.row.group, []).append(s)
    return [section(group, GROUPS[group], groups[group]) for group in GROUPS if group in groups]
