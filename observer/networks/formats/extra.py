"""The libraries that read published files: an extra, imported when a file needs it."""

import importlib
from typing import Any

from systems.base.errors import InputError


def library(name: str, what: str) -> Any:
    """The module ``name``; InputError with what to install where it is not there."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"{what} need {name}, which is not installed: pip install 'ren-observer[formats]'") from error
