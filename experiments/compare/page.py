"""A comparison -> its numbers and page: sentences, the overview, and one table and figure per scenario."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.compare import words
from experiments.compare.learned import NOISE
from experiments.compare.result import Comparison
from observer.storage import write_json
from reports.estimators import Bar, EstimatorRow, EstimatorSection, write_estimators_report
from reports.figures.estimator_choice import ChoicePoint
from reports.figures.scorecard import Need
from reports.published import Line
from reports.quantities import Number, percent
from reports.tables import Table

METRICS = "metrics.json"


def write(folder: Path, found: Comparison, command: str) -> Path:
    """Write ``metrics.json``, ``report.html`` and its figures; returns the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / METRICS, found.to_data(), command=command)
    return write_estimators_report(
        folder,
        title=f"Estimators of {found.plant.system.name} side by side",
        sections=[_section(found, name) for name in found.table],
        states=[(s.name, s.unit) for s in found.plant.system.states],
        scores={found.titles[c]: {found.names[n]: r.score if not r.diverged else np.inf for n, r in results.items()}
                for c, results in found.table.items()},
        advice=found.advice,
        strengths=[(found.names[n], words.of_estimator(n, found.table, found.titles)) for n in found.names],
        missing=[f"{name}: {reason}" for name, reason in found.refused.items()],
        needs=_needs(found), choice=_choice(found),
        constant_gains=[(float(np.max(r.settling)), float(r.score)) for r in found.constant_gains if not r.diverged],
        tables=_tables(found),
        facts=_facts(found),
        command=command,
    )  # fmt: skip


#: Columns of the scorecard: a title, and the scenarios of which the worst counts.
NEEDS = (
    ("noise:\nerror, × best", ("noise",)),
    (
        "poor sensors:\nerror, × best",
        ("louder_noise", "bias", "outliers", "quantisation", "dropouts", "delay", "slow_sensor"),
    ),
    ("wrong model:\nerror, × best", ("parameters", "parameters_30", "constant_disturbance", "sine_disturbance")),
    ("other inputs:\nerror, × best", ("other_input",)),
)


def _needs(found: Comparison) -> list[Need]:
    """What the scorecard shows: ratios to the smallest error, speed, lost runs, cost and proof."""
    needs = []
    for title, scenarios in NEEDS:
        here = [found.table[c] for c in scenarios if c in found.table]
        if here:
            ratios = {
                n: max(words.factor(results, n) if not results[n].diverged else np.inf for results in here)
                for n in found.names
            }
            needs.append(Need(title, {found.names[n]: float(v) for n, v in ratios.items()}))
    nominal = found.table.get("noise")
    if nominal:
        settling = {found.names[n]: float(np.max(r.settling)) for n, r in nominal.items()}
        needs.append(Need(f"settles\n[{found.plant.system.time_unit}]", settling, "plain"))
    if found.table:
        lost = {found.names[n]: float(sum(r[n].diverged for r in found.table.values())) for n in found.names}
        trials = found.settings.trials * len(found.table)
        needs.append(Need(f"lost runs\nof {trials}", lost, "count"))
        needs.append(Need("µs per\nstep", {found.names[n]: v for n, v in found.speed.items()}, "plain"))
        needs.append(
            Need("conver-\ngence\nproved", {found.names[n]: float(n in found.proved) for n in found.names}, "flag")
        )
    return needs


def _choice(found: Comparison) -> list[ChoicePoint]:
    results = found.table.get("noise", {})
    lost = {n for r in found.table.values() for n, result in r.items() if result.diverged}
    return [
        ChoicePoint(
            found.names[n], float(r.score), float(r.score_interval[0]), float(r.score_interval[1]), found.speed[n],
            float(np.max(r.settling)), n in found.proved, n in lost,
        )
        for n, r in results.items()
    ]  # fmt: skip


def _tables(found: Comparison) -> list[Table]:
    tables = [_speed(found), _tuning(found)]
    return [*([_gaps(found)] if found.gaps else []), *tables, *([_consistency(found)] if found.consistency else [])]


def _gaps(found: Comparison) -> Table:
    rows = tuple(
        (found.titles[c], found.names[best], Number(ratio, "", 3), (Number(low, "", 3), Number(high, "", 3)))
        for c, (best, ratio, low, high) in found.gaps.items()
    )
    title = (
        f"Error of the {NOISE} over that of the best other estimator; the interval is that of the ratio, over the same trials "
        "drawn for both"
    )
    return Table(rows, ("scenario", "best other", "ratio", "95 % interval"), title)


def _facts(found: Comparison) -> str:
    s, unit = found.settings, found.plant.system.time_unit
    simulator = "its model" if s.truth == "model" else "the reference integrator"
    return (
        f"{s.trials} trials of {s.duration:g} {unit} (dt {found.plant.dt:g} {unit}), the same for all; initial states and estimates are "
        f"independent draws from the initial box; the plant is simulated by {simulator}. Errors are RMS "
        "over the second half, with 95 % bootstrap intervals over the trials; a trial diverged when an error exceeds ten "
        "ranges in the second half. The "
        f"classical estimators know the exact nominal model and were tuned on {s.training} trajectories with noise."
    )


def _section(found: Comparison, name: str) -> EstimatorSection:
    results = found.table[name]
    rows = tuple(
        EstimatorRow(
            found.names[n], tuple(map(float, r.rms)), tuple((float(a), float(b)) for a, b in r.rms_interval),
            Bar(float(r.score), *map(float, r.score_interval)), tuple(map(float, r.settling)), r.diverged, r.trials, r.microseconds,
        )
        for n, r in results.items()
    )  # fmt: skip
    curves = tuple(Line(found.names[n], found.t.tolist(), (100 * r.curve).tolist()) for n, r in results.items())
    return EstimatorSection(name, found.titles[name], words.of_scenario(results, found.names), rows, curves)


def _speed(found: Comparison) -> Table:
    rows = tuple(
        (found.names[n], Number(value, "µs", 3), found.runs_as.get(n, "NumPy"))
        for n, value in sorted(found.speed.items(), key=lambda item: item[1])
    )
    title = (
        f"Processor time per step of one trajectory, in a batch of {found.settings.trials}, median over the scenarios. Only rows of the "
        "same kind can be compared: machine code is compiled alike for all, NumPy and CasADi carry the cost of Python"
    )
    return Table(rows, ("estimator", "per step", "runs as"), title)


def _tuning(found: Comparison) -> Table:
    rows: list[tuple[Any, ...]] = []
    for name, entry in found.tuned.items():
        if name not in found.names:
            continue
        values = (
            ", ".join(f"{parameter} {value:.3g}" for parameter, value in entry["values"].items()) or "nothing to tune"
        )
        rows.append(
            (found.names[name], values, Number(entry["held_out"], "", 4), Number(entry["default"], "", 4),
             Number(entry["evaluations"]), Number(entry["seconds"], "s", 3))
        )  # fmt: skip
    heads = ("estimator", "tuning parameters", "held-out loss", "of the defaults", "evaluations", "time")
    return Table(
        tuple(rows),
        heads,
        "Tuning: log(mean squared error in ranges), averaged over the four quarters of a trial; lower is better",
    )


def _consistency(found: Comparison) -> Table:
    rows = tuple(
        (
            found.names[name], Number(c["mean_nees"], "", 3), (Number(c["nees_band"][0], "", 3), Number(c["nees_band"][1], "", 3)),
            percent(c["nees_inside"]), Number(c["mean_nis"], "", 3),
            (Number(c["mean_nis_band"][0], "", 3), Number(c["mean_nis_band"][1], "", 3)), "yes" if c["white"] else "no",
        )
        for name, c in found.consistency.items()
    )  # fmt: skip
    heads = (
        "estimator",
        "mean NEES",
        "band of a sample",
        "samples inside",
        "mean NIS",
        "band of the mean",
        "innovations white",
    )
    return Table(
        rows, heads, "Consistency under the stated noise: the bands hold 99 % of the values of a consistent filter"
    )
