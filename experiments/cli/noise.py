"""The command ``observer fine-tune``: a new run from a fitted one, tuned for noise, bias and missing measurements."""

from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.cli.shared import console_of, finish
from experiments.pipeline.options import place, takes


@takes("fine-tune", "fresh", "output")
def fine_tune(
    run_folder: Annotated[
        Path, typer.Argument(metavar="RUN", parser=place, help="The folder of a fitted run; it stays as it is.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="RUN2", parser=place, help="The folder of the new run; made when it does not exist."
        ),
    ],
    **chosen: Any,
) -> int:
    """Tune the observer of a run for noise, bias and dropouts into a new run; contraction stays certified."""
    from experiments.pipeline.fine_tuning import tune
    from experiments.pipeline.recipe import FineTuneRecipe

    given = {name: chosen.get(name) for name in FineTuneRecipe.model_fields if name != "source"}
    fresh = chosen.get("fresh", False)
    return finish(tune(run_folder, out, given, fresh=fresh, console=console_of(chosen)), chosen)
