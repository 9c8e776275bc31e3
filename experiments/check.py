"""What can be said about a plant before a fit: its signals, its discretisation, and how fast it can be observed."""

from typing import Any

import numpy as np

from experiments.console import Console
from experiments.recipe import Recipe
from observer.storage import plain


def examine(recipe: Recipe, console: Console) -> dict[str, Any]:
    """Findings as plain data; ``detectable`` is the verdict. Raises InputError for a plant that cannot be used."""
    from experiments.run import plan
    from observer.fitting.rate import choose_rate
    from systems.detectability import MetricSearch, settling_time
    from systems.errors import NotDetectable
    from systems.integration import time_scales

    refused: NotDetectable | None = None
    found: MetricSearch | None = None
    chosen: float | None = None
    notes: tuple[str, ...] = ()
    with console.step("check", recipe.system):
        _, system, plant = plan(recipe, console)
        try:
            chosen, found, notes = choose_rate(plant, system.state_ranges)
            table = found.trade_off
        except NotDetectable as error:
            refused, table = error, error.trade_off
        fastest, typical = time_scales(system) if system.kind == "continuous" else (None, None)
    for text in (*system.unused, *plant.warnings, *notes):
        console.warn(text)
    assert table is not None
    best = int(np.argmin(table.rate))
    direction, where = (refused.direction, refused.where) if refused is not None else (found.direction, found.where)  # type: ignore[union-attr]
    bound = None if refused is None else refused.residual_bound
    signals = [("state", system.states), ("input", system.inputs), ("output", system.outputs)]
    return plain(
        {
            "system": system.name,
            "description": system.description,
            "kind": system.kind,
            "signals": [
                {"kind": kind, "name": s.name, "unit": s.unit, "range": s.range, "noise": s.noise, "role": s.role}
                for kind, group in signals
                for s in group
            ],
            "parameters": {name: parameter.value for name, parameter in system.parameters.items()},
            "dt": plant.dt,
            "method": plant.method,
            "substeps": plant.substeps,
            "discretization_error": dict(zip(system.state_names, plant.error, strict=True)),
            "fastest_time_constant": fastest,
            "typical_time_constant": typical,
            "time_dependent": system.time_dependent,
            "rate": table.rate[best],
            "settling_time": table.settling_time[best] if refused is None else None,
            "condition": table.condition[best],
            "slowest_direction": dict(zip(system.state_names, direction, strict=True)),
            "where": dict(zip((*system.state_names, *system.input_names), where, strict=True)),
            "detectable": refused is None,
            "reason": "" if refused is None else str(refused),
            "unavoidable_error": None
            if bound is None
            else dict(zip(system.state_names, bound.state_error, strict=True)),
            "chosen_rate": chosen,
            "chosen_settling_time": None if chosen is None else settling_time(chosen, plant.dt),
            "trade_off": {**vars(table), "chosen": -1 if found is None else found.trade_off.chosen},  # type: ignore[union-attr]
            "observability_coordinates": found is not None and found.coordinates is not None,
        }
    )


def lines(findings: dict[str, Any]) -> list[str]:
    """The findings as text for a person."""
    text = [f"{findings['system']}: {findings['description'].strip()}".rstrip(": ")]
    for signal in findings["signals"]:
        span = "" if signal["range"] is None else f"{signal['range'][0]:g} to {signal['range'][1]:g}"
        noise = f"noise {signal['noise']:g}" if signal["noise"] else ""
        role = "disturbance: the observer never sees it" if signal["role"] == "disturbance" else ""
        row = f"  {signal['kind']:<7} {signal['name']:<14} {signal['unit']:<8} {span:<18} {noise}{role}"
        text.append(row.rstrip())
    for name, value in findings["parameters"].items():
        text.append(f"  parameter {name} = {value:g}")
    error = max(findings["discretization_error"].values())
    steps = f"{findings['substeps']} substep{'s' if findings['substeps'] > 1 else ''}"
    text.append(
        f"discretisation: {findings['method']}, dt {findings['dt']:g} s, {steps}; one-step error {error:.1e} of range"
    )
    if findings["fastest_time_constant"] is not None:
        fastest, typical = findings["fastest_time_constant"], findings["typical_time_constant"]
        text.append(f"time scales: fastest {fastest:.3g} s, typical {typical:.3g} s")
    if findings["time_dependent"]:
        text.append(
            "the equations depend on t: it can be simulated, not fitted; make the time-dependent signal a known input"
        )
    text += _curve(findings)
    if findings["detectable"]:
        text.append(
            f"fastest rate: {findings['rate']:.4g} per step, errors fall to 2 % in {findings['settling_time']:.3g} s "
            f"(metric condition {findings['condition']:.3g})"
        )
        text.append(
            f"automatic rate: {findings['chosen_rate']:.4g} per step, errors fall to 2 % in {findings['chosen_settling_time']:.3g} s"
        )
        where = " in observability coordinates" if findings["observability_coordinates"] else ""
        text.append(f"verdict: detectable{where}; an observer that converges at this rate or slower can be built")
    else:
        text.append(f"verdict: not detectable: {findings['reason']}")
    return text


def _curve(findings: dict[str, Any]) -> list[str]:
    """The trade-off as a table: settling time and the noise of every state, for metrics of growing condition number."""
    curve = findings["trade_off"]
    states = [signal for signal in findings["signals"] if signal["kind"] == "state"]
    if len(states) > 6 or not findings["detectable"] or all(time is None for time in curve["settling_time"]):
        return []
    noise = "0.5 % of the half range of the outputs, as none is stated" if curve["assumed"] else "the outputs as stated"
    text = [f"settling time against noise (standard deviation of each error, from noise of {noise}):"]
    text.append(
        "  " + "".join(f"{head:>13}" for head in ("condition", "rate", "2 % in [s]", *(s["name"] for s in states)))
    )
    rows = zip(*(curve[name] for name in ("condition", "rate", "settling_time", "noise")), strict=True)
    for k, (condition, rate, time, row) in enumerate(rows):
        if time is None or time > 20_000 * findings["dt"]:  # not seen at all
            continue
        mark = "  <- automatic" if k == curve["chosen"] else ""
        text.append("  " + "".join(f"{value:>13.4g}" for value in (condition, rate, time, *row)) + mark)
    return text
