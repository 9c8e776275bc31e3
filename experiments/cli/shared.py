"""What the commands share: their arguments, the recipe that options give, and how results are printed."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from experiments.pipeline.console import DONE, FAILED, Console, show
from experiments.pipeline.options import BY_KEY, place, to_keys

if TYPE_CHECKING:
    from experiments.pipeline.recipe import Recipe
    from observer.runs import Run

Reference = Annotated[
    str, typer.Argument(metavar="NAME_OR_FILE", help="A plant of the library, or a .toml or .py file.")
]
Folder = Annotated[Path, typer.Argument(metavar="RUN", parser=place, help="The folder of a run.")]
Out = Annotated[
    Path, typer.Option("--out", metavar="RUN", parser=place, help="The folder of the run; made when it does not exist.")
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", parser=place, help="A recipe to begin with, like the config.toml of a run."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that exist; what is read, and runs, stay.")]
EVERY_OPTION = ("plant", "seed", "data", "fit", "validation", "certificate", "fresh", "output")


def console_of(chosen: dict[str, Any]) -> Console:
    """The console of a command."""
    return Console(chosen.get("quiet", False))


def recipe_of(system: str, config: Path | None, chosen: dict[str, Any]) -> "Recipe":
    """The recipe of a new run: that of a file, with the options given in its place."""
    from experiments.pipeline.recipe import build, read_recipe

    base = read_recipe(config).flat() if config is not None else {}
    return build({**base, "system": system, **to_keys(chosen)}, BY_KEY)


def finish(run: "Run", chosen: dict[str, Any]) -> int:
    """Print the results and where the report is; the exit code is the verdict."""
    from experiments.pipeline.metrics import verdict

    print_results(run, chosen)
    return DONE if verdict(run) == "pass" else FAILED


def print_results(run: "Run", chosen: dict[str, Any]) -> None:
    """The table of results, and with --json the metrics."""
    from experiments.pipeline.metrics import table, verdict

    if chosen.get("json"):
        print_metrics(run)
    stream = sys.stderr if chosen.get("json") else sys.stdout
    rows = list(table(run))
    widths = [max((len(row[k]) for row in rows), default=0) for k in range(4)]
    for row in rows:
        show("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip(), file=stream)
    if run.validation is not None:
        show(f"verdict: {verdict(run)}", file=stream)
    page = run.path / "report.html"
    if page.is_file():
        show(f"report: {page}", file=stream)


def print_metrics(run: "Run") -> None:
    """The metrics of a run as JSON."""
    from experiments.pipeline.metrics import metrics_of
    from systems.base.records import to_plain

    print(json.dumps(to_plain(run.metrics or metrics_of(run)), indent=1, allow_nan=False))
