"""Summaries -> what the report draws: one section per protocol, its table, its remarks and the panels of its figure."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.named.box import published as published_box
from experiments.named.published_tables import box_rows
from experiments.named.published_tables.catalogue import GROUPS
from experiments.named.published_tables.rows import FAIL, MEDIAN, OPEN, PASS, EntrySummary, Summary
from experiments.named.published_tables.run import Tables
from experiments.runner import Page
from reports.published import Level, Line, Panel, PublishedRow, PublishedSection, write_published_report
from reports.quantities import Number, number_text

INTRODUCTIONS = {
    "box": "50 initial states U[-0.2, 0.2]^2, no force, initial estimate zero, 20 s. The first row is the published model (explicit Euler, "
    "0.01 s), on itself; the second is fitted to the Runge-Kutta model and judged against the true ODE (no value is published). "
    "The loss is the held-out one-step loss; the published one is that of the published recipe trained again.",
    "pde": "51 nodes, four Euler steps a sample and the sensor at node 24, as the published code has it; from the profile 0.5 and the "
    "estimate 0 over 2000 samples; medians over five draws of the boundary. The third entry is the held-out loss 10 s into the fit; "
    "beside it what the JAX package reaches in 350 s.",
    "hyperkkl": "The plant is one classical Runge-Kutta step a sample with the input held over it; 100 Latin-hypercube initial states "
    "in the published box, initial estimate zero, elementwise mean of 200 |x - x_hat| / (|x| + |x_hat| + 1e-8) over trials, samples (the "
    "first included) and states. The projection observer knows the exact model: its score is what the initial estimate and the transient "
    "cost by themselves at the same metric.",
    "lorenz": "The protocol of the table above with dt 0.01 s and initial states in the box of Rössler; no value is published.",
    "defaults": "All defaults, as by `observer run NAME --budget 20s`: 100 trajectories, the "
    "default network, a rate chosen by the program, 200 trials from random initial states against the true ODE. A row passes when its "
    "verdict does: at least 99 % of the trials within 2 % of every range over the second half, none diverged, the certificate holds.",
    "refused": "No constant metric makes an observer of these plants contract. The application must refuse them before training, with the "
    "fastest rate, the undetectable direction and the place.",
}
SCORES = {
    "box": "velocity error [m/s]", "pde": "RMS error over all nodes", "hyperkkl": "SMAPE [%]", "lorenz": "SMAPE [%]",
    "defaults": "largest error / range",
}  # fmt: skip


def page(result: Tables) -> Page:
    """One section per protocol."""
    groups: dict[str, list[Summary]] = {}
    for s in result.summaries:
        groups.setdefault(s.row.group, []).append(s)
    sections = [section(group, GROUPS[group], groups[group]) for group in GROUPS if group in groups]
    mine = [s for s in result.summaries if s.row.name in result.chosen]
    width = max(len(s.row.name) for s in mine)
    lines = []
    for s in mine:
        numbers = ", ".join(f"{o.entry.label} {o.median:.3g} (worst {o.worst:.3g})" for o in s.outcomes)
        lines.append(f"{s.row.name:<{width}}  {s.status:<11}  {numbers}")
    content = {"sections": sections, "size": result.size.name}
    return Page(all(s.status == PASS for s in mine), _metrics(result), write_published_report, content, lines)


def _metrics(result: Tables) -> dict[str, Any]:
    counted = {status: sum(s.status == status for s in result.summaries) for status in (PASS, MEDIAN, FAIL, OPEN)}
    rows = {}
    for s in result.summaries:
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
    return {"size": result.size.name, "seeds": list(result.seeds), "counts": counted, "rows": rows}


def section(group: str, title: str, summaries: Sequence[Summary]) -> PublishedSection:
    """The section of one protocol."""
    extra = {"hyperkkl": ("projection observer", "rate ᾱ"), "lorenz": ("projection observer", "rate ᾱ")}.get(group, ())
    rows = tuple(_published_row(s, o, extra) for s in summaries for o in s.outcomes)
    notes = tuple(f"{s.row.name}: {s.reason}" for s in summaries if s.reason)
    recipes = tuple(
        f"{s.row.name}: {', '.join(f'{key} {value}' for key, value in s.row.recipe.items())}, budget {s.row.budget:g} s"
        for s in summaries
        if s.row.budget is not None and group != "defaults"
    )
    intro = " ".join(INTRODUCTIONS[group].split())
    return PublishedSection(group, title, intro, rows, extra, notes, recipes, _panels(group, summaries))


def _published_row(s: Summary, o: EntrySummary, extra: Sequence[str]) -> PublishedRow:
    e = o.entry
    cells = (_extra(s, o), _rate(s)) if extra else ()
    return PublishedRow(
        f"{s.row.name}: {e.label}", e.unit, o.median, o.worst, e.published, e.bar, e.strict, _status(s, o),
        s.seconds, s.processor_seconds, len(s.measurements), cells,
    )  # fmt: skip


def _status(s: Summary, o: EntrySummary) -> str:
    """The entry's own status; where what must hold besides does not, the row fails as a whole."""
    if s.measurements and not all(m.holds for m in s.measurements.values()):
        return "fail"
    return o.status


def _extra(s: Summary, o: EntrySummary) -> Any:
    key = o.entry.key.replace("smape", "projection")
    values = sorted(m.values[key] for m in s.measurements.values() if key in m.values)
    return Number(values[len(values) // 2], o.entry.unit, 3) if values else Number(None)


def _rate(s: Summary) -> Any:
    facts: Mapping[str, Any] = next(iter(s.measurements.values())).facts if s.measurements else {}
    return Number(facts.get("rate bound"), "", 4)


def _panels(group: str, summaries: Sequence[Summary]) -> tuple[Panel, ...]:
    """The curves of the lowest seed, panel by panel, with the published values and the bars as horizontal lines."""
    panels: dict[str, list[Line]] = {}
    levels: dict[str, list[Level]] = {}
    for s in summaries:
        if not s.measurements:
            continue
        for curve in s.measurements[min(s.measurements)].curves:
            panels.setdefault(curve.panel, []).append(Line(curve.label, tuple(curve.x), tuple(curve.y)))
            levels.setdefault(curve.panel, _levels(group, s))
    extra = {}
    if group == "box":
        points = Line(
            "published figure, largest", published_box.FIGURE_TIME, published_box.FIGURE_VELOCITY, points=True
        )
        extra = {"box": [points]}
    return tuple(
        Panel(name.replace("_", " "), SCORES[group], tuple([*lines, *extra.get(name, [])]), tuple(levels[name]))
        for name, lines in panels.items()
    )


def _levels(group: str, s: Summary) -> list[Level]:
    if group == "defaults":
        return [Level("2 % of the range", 0.02, "bar")]
    if group == "box":
        return [
            Level(f"published RMS, 10-20 s ({number_text(published_box.RMS_VELOCITY, 3)})", published_box.RMS_VELOCITY, "published"),
            Level("bar of the RMS", box_rows.RMS_BAR, "bar"),
        ]  # fmt: skip
    entries = {"pde": [e for e in s.row.entries if e.key == "rmse"]}.get(group, list(s.row.entries))
    published = [
        Level(f"published, {e.label} ({e.published:g})", e.published, "published") for e in entries if e.published
    ]
    bars = {e.bar for e in entries if e.bar is not None and not e.strict}
    return [*published, *(Level(f"bar ({bar:g})", bar, "bar") for bar in sorted(bars))]
