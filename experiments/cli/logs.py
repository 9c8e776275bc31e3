"""The commands that read and write logs: ``observer estimate``, ``observer export``, and the arguments of ``fit --data``."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.pipeline.console import DONE, Console, answers
from experiments.pipeline.options import OPTIONS, takes

Folder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]


@answers
@takes("output")
def estimate(
    run_folder: Folder,
    log: Annotated[
        str, typer.Argument(metavar="LOG", help="A log with the inputs and outputs: CSV, Parquet, HDF5 or npz.")
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FILE", help="The file of the estimates, in any of these formats.")
    ],
    columns: Annotated[
        str | None,
        typer.Option("--columns", metavar="SIGNAL=COLUMN,...", help="Columns that are not called like their signal."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--start",
            metavar="STATE=VALUE,...",
            help="First estimate; the first logged state, else the middle of the initial range, when left out.",
        ),
    ] = None,
    **chosen: Any,
) -> int:
    """Replay the observer of a run over a log: estimates, and errors where the states were logged too."""
    from experiments.pipeline.logs import replay

    console = Console(chosen.get("quiet", False))
    summary, lines = replay(run_folder, log, out, columns, start, console)
    print(json.dumps(summary) if chosen.get("json") else "\n".join(lines))
    return DONE


@answers
@takes("output")
def export(
    run_folder: Folder,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FOLDER", help="Where to write; made when it does not exist.")
    ],
    format: Annotated[str, typer.Option("--format", metavar="NAME", help="csv, parquet, hdf5 or npz.")] = "csv",
    **chosen: Any,
) -> int:
    """Write the trajectories and the validation trials of a run for other programs."""
    from experiments.pipeline.logs import export_run

    written = export_run(run_folder, out, format)
    if chosen.get("json"):
        print(json.dumps([str(path) for path in written]))
    else:
        print(f"{len(written)} file{'s' if len(written) > 1 else ''} written to {out}")
    return DONE


def check_fit(run_folder: Path | None, plant: str | None, out: Path | None, chosen: Mapping[str, Any]) -> Path:
    """The folder of ``observer fit``. Raises InputError unless it is told either a run, or logs with plant and folder."""
    from systems.base.errors import InputError

    whole = "expected `observer fit RUN`, or `observer fit --data FILES --plant NAME_OR_FILE --out RUN`"
    if run_folder is None:
        absent = [
            flag
            for flag, value in (("--data", chosen.get("data")), ("--plant", plant), ("--out", out))
            if value is None
        ]
        if len(absent) == 3:
            raise InputError(f"no run is given; {whole}")
        if absent or out is None:
            raise InputError(f"{' and '.join(absent)} missing; {whole}")
        return out
    new = [item.flag for item in OPTIONS if item.group in ("plant", "data") and item.name in chosen]
    new += [flag for flag, value in (("--plant", plant), ("--out", out)) if value is not None]
    if new:
        raise InputError(f"{new[0]} belongs to a new run, and {run_folder} has its plant and data already; {whole}")
    return run_folder
