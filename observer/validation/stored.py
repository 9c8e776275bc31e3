"""Results as ``.npz`` files: arrays by name, and the rest as JSON beside them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from systems.base.arrays import one_line, read_arrays
from systems.base.atomic_files import write_arrays
from systems.base.errors import InputError

Found = TypeVar("Found")


def write_stored(
    path: Path | str,
    arrays: Mapping[str, np.ndarray],
    rest: Mapping[str, Any],
    origins: Mapping[str, Any] | None = None,
) -> None:
    """Write atomically; ``origins``: what it was made from, as JSON."""
    texts = {"meta": json.dumps({"format_version": 1, **rest})} | ({"origins": json.dumps(origins)} if origins else {})
    write_arrays(path, compress=True, **texts, **arrays)  # type: ignore[arg-type]


def read_stored(path: Path | str, what: str, build: Callable[[dict[str, np.ndarray], dict[str, Any]], Found]) -> Found:
    """What ``build`` makes of arrays and rest; raises :class:`InputError` for a file that is no ``what``."""
    try:
        arrays = read_arrays(path)
        rest = json.loads(str(arrays.pop("meta")))
        arrays.pop("origins", None)
        if rest.pop("format_version") > 1:
            raise InputError(f"{path} was written by a newer version; update ren-observer")
        return build(arrays, rest)
    except Exception as error:
        if str(path) in str(error) and isinstance(error, InputError):
            raise
        raise InputError(f"{path} is no {what} ({one_line(error)}); make it again with `observer validate`") from error
