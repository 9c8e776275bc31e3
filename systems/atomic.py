"""Files that are whole or not there: written beside their place, flushed to the disk and moved over it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np


@cache
def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block ends well, and vanishes otherwise."""
    path = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=f".partial{path.suffix}", dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        partial.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_arrays(path: Path | str, *, compress: bool = True, **arrays: Any) -> None:
    """Arrays and texts as ``.npz`` without pickles, atomically."""
    with atomic_path(Path(path)) as partial:
        with partial.open("wb") as file:
            (np.savez_compressed if compress else np.savez)(file, allow_pickle=False, **arrays)


def read_arrays(path: Path | str) -> dict[str, np.ndarray]:
    """What :func:`write_arrays` wrote; OSError, ValueError, EOFError or a zip error for anything else."""
    import io

    # Read whole: a file handle inside np.load outlives a damaged archive.
    with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as data:
        return {name: data[name] for name in data.files}
