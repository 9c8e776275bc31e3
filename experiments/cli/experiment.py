"""The command ``observer experiment``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.cli.shared import console_of, recipe_of
from experiments.pipeline.console import answers
from experiments.pipeline.options import takes, to_keys


@answers
@takes("fit", "seed", "fresh", "output")
def experiment(
    name: Annotated[str, typer.Argument(help="An experiment that `observer list` shows.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="RUN", help="The folder of the results; runs/NAME when left out.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Run the published recipe again instead of taking its stored figures.")
    ] = False,
    rows: Annotated[
        str | None,
        typer.Option("--rows", metavar="NAMES", help="Of published_tables: rows or groups, as box,hyperkkl.duffing."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", metavar="NUMBERS", help="Of published_tables: seeds, as 0-4 or 0,2.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Of mnist and others: the folder of the data files.")
    ] = None,
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
        print((folder / "metrics.json").read_text(encoding="utf-8"), end="")
    return code
