"""A linear plant from its matrices: dx/dt = A x + B u (or the next state), y = C x + D u."""

from collections.abc import Callable
from typing import Any

import numpy as np

from systems.base.errors import InputError

Equations = tuple[Callable[..., Any], Callable[..., Any]]


def linear_equations(A: Any, B: Any, C: Any, D: Any, *, nx: int, nu: int, ny: int) -> Equations:
    """(f, h) of the matrices A ``(nx, nx)``, B ``(nx, nu)``, C ``(ny, nx)`` and D ``(ny, nu)``; None stands for zeros.

    Raises :class:`InputError` for a matrix of another shape, with what its rows and columns stand for.
    """
    A, B, C, D = (
        _matrix(name, value, rows, columns, words)
        for name, value, rows, columns, words in (
            ("A", A, nx, nx, "a row and a column for each state"),
            ("B", B, nx, nu, "a row for each state, a column for each input"),
            ("C", C, ny, nx, "a row for each output, a column for each state"),
            ("D", D, ny, nu, "a row for each output, a column for each input"),
        )
    )
    return (lambda x, u: A @ x + B @ u), (lambda x, u: C @ x + D @ u)


def _matrix(name: str, value: Any, rows: int, columns: int, words: str) -> np.ndarray:
    if value is None and (name in "BD"):
        return np.zeros((rows, columns))
    try:
        matrix = np.array(value, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"{name} is no matrix of numbers; expected {rows} rows of {columns}, {words}") from None
    if matrix.size == 0 and rows * columns == 0:
        return np.zeros((rows, columns))
    if matrix.shape != (rows, columns):
        got = " x ".join(map(str, matrix.shape))
        raise InputError(f"{name} is {got}; expected {rows} x {columns}, {words}")
    if not np.isfinite(matrix).all():
        raise InputError(f"{name} holds a number that is not finite; expected finite numbers")
    return matrix
