"""The commands that read and write logs: ``observer estimate`` and ``observer export``."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.cli.shared import Folder, Force, console_of
from experiments.pipeline.console import DONE, show
from experiments.pipeline.options import place, takes


@takes("estimate", "output")
def estimate(
    run_folder: Folder,
    log: Annotated[
        str, typer.Argument(metavar="LOG", help="A log with the inputs and outputs: CSV, Parquet, HDF5 or npz.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="FILE", parser=place, help="The file of the estimates, in any of these formats."
        ),
    ],
    columns: str | None = None,
    sample_time: str | None = None,
    time_unit: str | None = None,
    date_order: str | None = None,
    initial_estimate: str | None = None,
    force: Force = False,
    **chosen: Any,
) -> int:
    """Replay the observer of a run over a log: estimates, and errors where the states were logged too."""
    from experiments.pipeline.replay import replay
    from systems.recordings import Timing

    summary, lines = replay(
        run_folder,
        log,
        out,
        columns,
        initial_estimate,
        console_of(chosen),
        timing=Timing(sample_time, time_unit, date_order),
        force=force,
    )
    show(*([json.dumps(summary)] if chosen.get("json") else lines))
    return DONE


@takes("export", "output")
def export(
    run_folder: Folder,
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="FOLDER", parser=place, help="Where to write; made when it does not exist."
        ),
    ],
    format: str = "csv",
    force: Force = False,
    **chosen: Any,
) -> int:
    """Write the trajectories and the validation trials of a run for other programs."""
    from experiments.pipeline.replay import export_run

    written = export_run(run_folder, out, format, force=force)
    if chosen.get("json"):
        show(json.dumps([str(path) for path in written]))
    else:
        show(f"{len(written)} file{'s' if len(written) > 1 else ''} written to {out}")
    return DONE
