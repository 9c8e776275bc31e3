"""The command ``observer experiment``."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.cli.shared import console_of, recipe_of
from experiments.pipeline.options import place, takes, to_keys


@takes("experiment", "fit", "seed", "fresh", "output")
def experiment(
    name: Annotated[str, typer.Argument(help="An experiment that `observer list` shows.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="RUN", parser=place, help="The folder of the results; runs/NAME when left out."),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Run the published recipe again instead of taking its stored figures.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", parser=place, help="Of mnist and others: the folder of the data files."),
    ] = None,
    rows: str | None = None,
    seeds: str | None = None,
    **chosen: Any,
) -> int:
    """Run a named experiment and compare it with what was published."""
    from experiments.registry import named
    from experiments.runner import run_experiment

    item, folder, console = named(name), out or Path("runs") / name, console_of(chosen)
    values = recipe_of(name, None, chosen).flat()
    options = {key.rpartition(".")[2]: values[key] for key in to_keys(chosen) if key in values}
    options |= {"rows": rows, "seeds": seeds, "data": data, "seed": values["seed"], "fresh": chosen.get("fresh", False)}
    code = run_experiment(item, folder, full=full, quiet=console.quiet, report=console.say, **options)
    if chosen.get("json"):
        print(json.dumps(json.loads((folder / "metrics.json").read_text(encoding="utf-8")), indent=1))
    return code
