"""Files that are whole or not there: written beside their place, flushed to the disk and moved over it."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from systems.base.output_places import refuse_links


@cache
def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block ends well, and vanishes otherwise.

    Raises OSError, which names ``path`` whatever call failed; the file that was there before is then as it was. A link of
    that name is replaced, its target kept; InputError for a ``path`` that leads through a link inside a run folder.
    """
    path = Path(path)
    refuse_links(path)
    partial: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=f".partial{path.suffix}", dir=path.parent)
        os.close(handle)
        partial = Path(name)
        yield partial
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        partial.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        os.replace(partial, path)
    except OSError as error:
        raise _named(error, path) from error
    finally:
        if partial is not None:
            with suppress(OSError):  # a disk that turned read-only must not hide the first error
                partial.unlink(missing_ok=True)


def check_room(folder: Path, size: int) -> None:
    """Raise the OSError that writing ``size`` bytes into ``folder`` would meet, before anything there is touched."""
    size = max(size, 4096)
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".", suffix=".partial") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.write(bytes(size))
    except OSError as error:
        if error.errno != errno.EFBIG:  # a limit on one file is none on several
            raise _named(error, folder) from error


def _named(error: OSError, path: Path) -> OSError:
    """The same error about ``path``: a failed write names no file, or a temporary one that a person does not know."""
    if error.errno is None:
        return OSError(f"{path}: {' '.join(str(error).split())}")
    return OSError(error.errno, error.strerror, str(path))


def write_arrays(path: Path | str, *, compress: bool = True, **arrays: Any) -> None:
    """Arrays and texts as ``.npz`` without pickles, atomically."""
    with atomic_path(Path(path)) as partial:
        with partial.open("wb") as file:
            (np.savez_compressed if compress else np.savez)(file, allow_pickle=False, **arrays)
