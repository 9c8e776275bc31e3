"""The commands about a plant: ``observer list``, ``new``, ``check`` and ``simulate``."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.cli.shared import EVERY_OPTION, Config, Force, Out, Reference, console_of, print_metrics, recipe_of
from experiments.pipeline.console import DONE, FAILED, show
from experiments.pipeline.options import place, takes


@takes("output")
def list_(**chosen: Any) -> int:
    """The plants of the library and the named experiments."""
    from experiments.registry import EXPERIMENTS
    from systems import ALL_SYSTEMS

    plants = [make() for make in ALL_SYSTEMS.values()]
    if chosen.get("json"):
        rows = [{"name": p.name, "nx": p.nx, "nu": p.nu, "ny": p.ny, "description": p.description} for p in plants]
        experiments = [{"name": e.name, "description": e.description} for e in EXPERIMENTS]
        show(json.dumps({"systems": rows, "experiments": experiments}))
        return DONE
    width = max(len(name) for name in [*(p.name for p in plants), *(e.name for e in EXPERIMENTS)])
    show("Plants (observer run NAME --out RUN); sizes are states, inputs, outputs:")
    for plant in plants:
        first, *_ = plant.description.strip().splitlines() or [""]
        show(f"  {plant.name:<{width}}  {plant.nx}, {plant.nu}, {plant.ny}  {first}")
    show("Experiments (observer experiment NAME):")
    for item in EXPERIMENTS:
        show(f"  {item.name:<{width}}  {item.description}")
    return DONE


@takes()
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", parser=place, help="The file to write, .toml or .py.")],
    force: Force = False,
) -> int:
    """Write a plant as a template, with every field explained."""
    from systems.files import write_template

    write_template(file, force=force)
    show(f"{file} written; edit it, then `observer check {file}`")
    return DONE


@takes("plant", "seed", "--settling-time", "output")
def check(system: Reference, **chosen: Any) -> int:
    """Examine a plant: signals, discretisation, time scales, observability, and the fastest observer."""
    from experiments.cli.check import examine, lines

    findings = examine(recipe_of(system, None, chosen), console_of(chosen))
    if chosen.get("json"):
        show(json.dumps(findings))
    else:
        show(*lines(findings))
    return DONE if findings["detectable"] else FAILED


@takes(*EVERY_OPTION)
def simulate(system: Reference, out: Out, config: Config = None, **chosen: Any) -> int:
    """Make a run folder with the plant, the recipe and simulated data."""
    from experiments.pipeline.data import simulate_step
    from experiments.pipeline.prepare import prepare
    from experiments.pipeline.steps import done

    console = console_of(chosen)
    recipe, reads = recipe_of(system, config, chosen), [config] if config is not None else []
    with prepare(recipe, out, fresh=chosen.get("fresh", False), console=console, reads=reads) as (run, job):
        if done("simulate", run):
            console.say(f"{out}: simulated already")
        else:
            run = simulate_step(run, job)
    if chosen.get("json"):
        print_metrics(run)
    return DONE
