"""Logs of a real plant as :class:`~systems.trajectories.Trajectories`, and back: CSV, Parquet, HDF5 and npz.

``read_recordings`` maps named columns to the signals of a system and brings irregular stamps onto the grid of dt;
``write_recordings`` writes the same formats. Parquet and HDF5 need the extra ``pip install ren-observer[files]``.
"""

from systems.recordings.opened import OpenedLog, Recording
from systems.recordings.reading import log_files, open_logs, parse_columns, read_recordings
from systems.recordings.time_columns import Timing
from systems.recordings.writing import FORMATS, write_columns, write_recordings

__all__ = [
    "FORMATS",
    "OpenedLog",
    "Recording",
    "Timing",
    "log_files",
    "open_logs",
    "parse_columns",
    "read_recordings",
    "write_columns",
    "write_recordings",
]
