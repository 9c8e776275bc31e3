"""The command ``observer fine-tune``: a new run from a fitted one, tuned for noise, bias and missing measurements."""

from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.cli.shared import console_of, finish
from experiments.pipeline.console import answers
from experiments.pipeline.options import takes

_PER_OUTPUT = "VALUE[,VALUE...]"


@answers
@takes("fresh", "output")
def fine_tune(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a fitted run; it stays as it is.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="RUN2", help="The folder of the new run; made when it does not exist.")
    ],
    noise: Annotated[
        str | None,
        typer.Option(
            "--noise",
            metavar=_PER_OUTPUT,
            help="Standard deviation of the noise: one number, or one for each output; that of the plant when left out.",
        ),
    ] = None,
    bias: Annotated[
        str | None,
        typer.Option("--bias", metavar=_PER_OUTPUT, help="Standard deviation of a constant bias of the outputs."),
    ] = None,
    dropout: Annotated[
        float | None, typer.Option("--dropout", metavar="SHARE", help="Share of missing measurements, as 0.1.")
    ] = None,
    horizon: Annotated[
        int | None, typer.Option("--horizon", metavar="SAMPLES", help="Samples of each simulated trajectory.")
    ] = None,
    contraction_rate: Annotated[
        float | None,
        typer.Option(
            "--contraction-rate",
            metavar="RATE",
            help="Bound of the contraction rate per sample; chosen from the noise when left out.",
        ),
    ] = None,
    iterations: Annotated[
        int | None, typer.Option("--iterations", metavar="COUNT", help="Largest number of iterations.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="TIME", help="Time limit of the tuning, as 20s or 2m.")
    ] = None,
    **chosen: Any,
) -> int:
    """Tune the observer of a run for noise, bias and dropouts into a new run; contraction stays certified."""
    from experiments.pipeline.fine_tuning import numbers, tune

    given: dict[str, Any] = {
        "noise": numbers("--noise", noise), "bias": numbers("--bias", bias), "dropout": dropout, "horizon": horizon,
        "contraction_rate": contraction_rate, "iterations": iterations, "budget": budget,
    }  # fmt: skip
    fresh = chosen.get("fresh", False)
    return finish(tune(run_folder, out, given, fresh=fresh, console=console_of(chosen)), chosen)
