"""The command ``observer calibrate``: parameters and initial states from logs of inputs and outputs."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.cli.shared import Force, Reference, console_of, recipe_of
from experiments.pipeline.console import DONE, FAILED, show
from experiments.pipeline.options import place, takes


@takes("plant", "seed", "--data", "--columns", "--sample-time", "--time-unit", "--date-order", "calibrate", "output")
def calibrate(
    system: Reference,
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            parser=place,
            help="The plant with the values found; a folder beside it has the page.",
        ),
    ],
    parameters: str | None = None,
    starts: int | None = None,
    iterations: int | None = None,
    held_out: float | None = None,
    force: Force = False,
    **chosen: Any,
) -> int:
    """Find the parameters that have a range, and the initial states, from logs of inputs and outputs."""
    from experiments.pipeline.calibration import calibrated, summary
    from systems.base.records import to_plain

    asked = {"parameters": parameters, "starts": starts, "iterations": iterations, "held_out": held_out}
    found, lines = calibrated(recipe_of(system, None, chosen), out, asked, force=force, console=console_of(chosen))
    show(*([json.dumps(to_plain(summary(found, out)))] if chosen.get("json") else lines))
    return DONE if found.verdict == "pass" else FAILED
