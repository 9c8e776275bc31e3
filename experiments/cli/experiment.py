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
    name: Annotated[str, typer.Argument(help="One of those that `observer list` shows.")],
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
    from experiments.registry import EXPERIMENTS
    from systems.base.errors import InputError

    known = {item.name: item for item in EXPERIMENTS}
    if name not in known:
        raise InputError(f"experiment '{name}' is not known; expected one of {', '.join(known)}")
    folder = out or Path("runs") / name
    console = console_of(chosen)
    keys = to_keys(chosen)
    values = recipe_of(name, None, chosen).flat()
    options = {"seed": values.pop("seed")} | {key.rpartition(".")[2]: values[key] for key in keys if key in values}
    options |= {"fresh": True} if chosen.get("fresh") else {}
    for option, value in (("rows", rows), ("seeds", seeds), ("data", data)):
        if value is not None and option not in known[name].options:
            raise InputError(f"experiment '{name}' has no --{option}; leave it out")
        options |= {option: value} if value is not None else {}
    code = known[name].load()(folder, full=full, quiet=console.quiet, report=console.say, **options)
    if chosen.get("json"):
        print((folder / "metrics.json").read_text(encoding="utf-8"), end="")
    return code
