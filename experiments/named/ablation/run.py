"""``observer experiment ablation``: fits one factor at a time under one time budget, and writes tables and figures.

Each fit is kept as soon as it is done: Ctrl-C loses the one that is running, and the same command goes on.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from experiments.named.ablation.measure import FULL, Outcome, Size, measure
from experiments.named.ablation.variants import DEFAULT, DEFAULT_NAMES, FACTORS, VARIANTS, Case, cases
from experiments.pipeline.console import DONE, Interrupted
from observer.storage import read_json, write_json
from systems.base.errors import InputError

SEEDS, FULL_SEEDS = 3, 5


def run(
    out: Path,
    *,
    full: bool = False,
    seed: int = 0,
    quiet: bool = False,
    report: Callable[[str], None] = print,
    **options: Any,
) -> int:
    """Fit every variant of every plant for seeds ``seed`` to ``seed + 2`` (``full``: + 4) into ``out``.

    ``options``: budget (seconds a fit, 10), fresh. An ablation passes when it is complete: its numbers are the result.
    """
    unknown = sorted(set(options) - {"budget", "fresh", "size"})
    if unknown:
        raise InputError(
            f"the ablation varies {', '.join(unknown)} itself; it takes --budget, --seed, --full and --fresh"
        )
    size: Size = options.get("size") or FULL
    if options.get("budget"):
        size = Size("full", float(options["budget"]))
    seeds = range(seed, seed + (FULL_SEEDS if full else SEEDS)) if size.name == "full" else range(seed, seed + 1)
    out = Path(out)
    jobs = [(case, variant, s) for s in seeds for case in cases() for variant in VARIANTS]
    found: dict[tuple[str, str, int], Outcome] = {}
    try:
        for number, (case, variant, s) in enumerate(jobs, 1):
            path = out / "fits" / case.name / variant.key / f"seed-{s}.json"
            key = {"case": dict(case.options), "variant": dict(variant.options), "size": vars(size), "seed": s}
            stored = read_json(path) if path.is_file() and not options.get("fresh") else None
            if stored is not None and stored.get("key") == key:
                found[case.name, variant.key, s] = Outcome.from_data(stored["outcome"])
                continue
            outcome = measure(case, variant, s, size)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, {"key": key, "outcome": outcome.to_data()})
            found[case.name, variant.key, s] = outcome
            report(
                f"[{number}/{len(jobs)}] {case.name}, {variant.factor}: {variant.name}, seed {s}: held-out loss {outcome.loss:.2e} "
                f"after {outcome.fit_seconds:.1f} s ({outcome.status})"
            )
    except KeyboardInterrupt:
        raise Interrupted(f"stopped; the fits done so far are in {out}. The same command goes on from there") from None
    summaries = {case.name: _summaries(case, found, list(seeds)) for case in cases()}
    write_json(
        out / "metrics.json",
        {"experiment": "ablation", "budget": size.budget, "seeds": list(seeds), "cases": summaries},
    )
    _write_page(out, summaries, found, list(seeds), size, report)
    return DONE


def _summaries(case: Case, found: dict[tuple[str, str, int], Outcome], seeds: list[int]) -> dict[str, dict[str, Any]]:
    """Per variant: median and worst over the seeds, and the factor by which the median loss is above the default's."""
    rows = {}
    reference = float(np.median([found[case.name, DEFAULT.key, s].loss for s in seeds]))
    for variant in VARIANTS:
        outcomes = [found[case.name, variant.key, s] for s in seeds]
        losses = [o.loss for o in outcomes]
        rows[variant.key] = {
            "factor": variant.factor, "name": variant.name, "rate": outcomes[0].rate,
            "loss": {"median": float(np.median(losses)), "worst": max(losses)},
            "supremum": {"median": float(np.median([o.supremum for o in outcomes])), "worst": max(o.supremum for o in outcomes)},
            "times_the_default": float(np.median(losses)) / reference if reference > 0 else float("nan"),
            "seconds_to_a_hundredth_of_the_start": float(np.median([o.time_to(o.start_loss / 100) for o in outcomes])),
            "iterations": float(np.median([o.iterations for o in outcomes])),
            "status": sorted({o.status for o in outcomes}),
        }  # fmt: skip
    return rows


def _write_page(
    out: Path,
    summaries: dict[str, dict[str, dict[str, Any]]],
    found: dict[tuple[str, str, int], Outcome],
    seeds: list[int],
    size: Size,
    report: Callable[[str], None],
) -> None:
    from reports.ablation import Course, FactorTable, write_ablation_report

    tables, courses = [], {}
    for case, rows in summaries.items():
        tables.append(FactorTable(case, [{**row, "factor": _title(row["factor"])} for row in rows.values()]))
        panels: dict[str, list[Course]] = {}
        for factor, title in FACTORS.items():
            lines = [
                (DEFAULT, f"{DEFAULT_NAMES[factor]} (default)"),
                *((v, v.name) for v in VARIANTS if v.factor == factor),
            ]
            panels[title] = [
                Course(name, [(o.seconds, o.course) for o in (found[case, v.key, s] for s in seeds)])
                for v, name in lines
            ]
        courses[case] = panels
    page = write_ablation_report(
        out, tables=tables, courses=courses, budget=size.budget, seeds=seeds,
        command=f"observer experiment ablation --seed {seeds[0]}" + (" --full" if len(seeds) == FULL_SEEDS else "") + f" --out {out}",
    )  # fmt: skip
    report(f"report: {page}")


def _title(factor: str) -> str:
    return FACTORS.get(factor, factor)
