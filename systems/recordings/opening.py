"""The tables of a log file, whatever its format. To add one: a function that opens it, and its endings in ``READERS``."""

import os
from collections.abc import Callable
from pathlib import Path

from systems.base.errors import InputError
from systems.recordings.columnar import open_hdf5, open_npz, open_parquet
from systems.recordings.csv_files import open_csv
from systems.recordings.tables import LogTable
from systems.recordings.time_columns import TimeSource

#: ending -> what opens it: (path, where to find the time) to one table for each trajectory
READERS: dict[str, Callable[[Path, TimeSource], list[LogTable]]] = {
    **dict.fromkeys((".csv", ".tsv", ".txt", ".dat"), open_csv),
    ".npz": open_npz,
    ".parquet": open_parquet,
    **dict.fromkeys((".h5", ".hdf5"), open_hdf5),
}


def open_tables(path: Path, time: TimeSource | None = None) -> list[LogTable]:
    """The tables of a file, by its ending. Raises :class:`InputError` for a file that is none of the four formats.

    ``time`` says where to find the time; in a column that is called like it when left out.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path} ends in '{path.suffix}'; expected a log that ends in {', '.join(READERS)}")
    if os.path.isdir(path):
        raise InputError(f"{path} is a folder; expected a log, or a pattern such as '{path}/*{path.suffix}'")
    if not os.path.isfile(path):
        raise InputError(f"there is no file {path}")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; expected a header row with the names of the columns, and rows of numbers")
    return reader(path, time or TimeSource())
