"""One wording for every shape error of the networks and their certificates."""

from typing import Any

from systems.base.errors import InputError


def shape_fault(name: str, array: Any, expected: tuple[int, ...], symbols: str) -> str | None:
    """None when ``array`` has the ``expected`` shape, or the sentence that says how it differs.

    ``symbols`` names the sizes, for instance ``"(nx, nv)"``.
    """
    got = tuple(getattr(array, "shape", ())) if hasattr(array, "shape") else None
    if got == tuple(expected):
        return None
    was = f"has shape {got}" if got is not None else f"is a {type(array).__name__}"
    return f"{name} {was}; expected {symbols} = {tuple(expected)}: check the sizes, or whether it is transposed"


def check_shape(name: str, array: Any, expected: tuple[int, ...], symbols: str) -> None:
    """InputError with the shared wording unless ``array`` has the ``expected`` shape."""
    fault = shape_fault(name, array, expected, symbols)
    if fault is not None:
        raise InputError(fault)
