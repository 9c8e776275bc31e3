"""What can be said about a plant before a fit: its signals, its discretisation, and how fast it can be observed."""

import math
from typing import Any

from experiments.console import Console
from experiments.recipe import Recipe
from observer.storage import plain

SETTLED = 0.02  # the share of the first error at which it counts as settled


def examine(recipe: Recipe, console: Console) -> dict[str, Any]:
    """Findings as plain data; ``detectable`` is the verdict. Raises InputError for a plant that cannot be used."""
    from experiments.run import plan
    from systems.detectability import search
    from systems.integration import time_scales

    with console.step("check", recipe.system):
        _, system, plant = plan(recipe, console)
        found = search(plant)
        fastest, typical = time_scales(system) if system.kind == "continuous" else (None, None)
    for text in (*system.unused, *plant.warnings):
        console.warn(text)
    detectable = found.rate < 1
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
            "rate": found.rate,
            "settling_time": settling_time(found.rate, plant.dt) if detectable else None,
            "condition": found.condition,
            "slowest_direction": dict(zip(system.state_names, found.direction, strict=True)),
            "where": dict(zip((*system.state_names, *system.input_names), found.where, strict=True)),
            "samples": found.samples,
            "detectable": detectable,
        }
    )


def settling_time(rate: float, dt: float) -> float:
    """Seconds in which an error that shrinks by ``rate`` per step falls to 2 %; one step when it vanishes at once."""
    return dt * math.log(SETTLED) / math.log(rate) if rate > 0 else dt


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
    if findings["detectable"]:
        text.append(
            f"fastest rate: {findings['rate']:.4g} per step, errors fall to 2 % in {findings['settling_time']:.3g} s "
            f"(metric condition {findings['condition']:.3g}, {findings['samples']} points of the region)"
        )
        text.append("verdict: detectable; an observer that converges at this rate or slower can be built")
    else:
        slow = max(findings["slowest_direction"], key=lambda name: abs(findings["slowest_direction"][name]))
        where = ", ".join(f"{name} = {value:.3g}" for name, value in findings["where"].items())
        text.append(
            f"fastest rate: {findings['rate']:.6g} per step, at {where}; errors do not shrink there, mostly in '{slow}'"
        )
        text.append(
            "verdict: not detectable with a constant metric; measure more, narrow the ranges, or change the states"
        )
    return text
