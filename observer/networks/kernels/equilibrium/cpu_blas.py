"""BLAS and LAPACK called from compiled code: products of row-major matrices without a Python call or a copy.

scipy exports the routines of its library by address (``scipy.linalg.cython_blas``); they are made known to the compiler
under a name of their own, so that what is compiled can be cached on disk. Fortran stores by columns, so a row-major
matrix arrives there as its transpose: C = op(A) op(B) is computed as C' = op(B)' op(A)'. Matrices need contiguous rows,
which may lie further apart than they are long (blocks of larger matrices do).
"""

# numba's decorators change what a function takes:
# pyright: reportCallIssue=false, reportAttributeAccessIssue=false, reportArgumentType=false, reportPrivateImportUsage=false

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite.binding import add_symbol
from numba import types
from numba.extending import get_cython_function_address, overload
from scipy.linalg import lu_factor, lu_solve

from systems.assembly import machine_code

_POINTER = types.voidptr


def _routine(module: str, name: str, arguments: int) -> Any:
    """An external function of ``arguments`` pointers."""
    symbol = f"observer_{name}"
    add_symbol(symbol, get_cython_function_address(f"scipy.linalg.cython_{module}", name))
    return types.ExternalFunction(symbol, types.void(*[_POINTER] * arguments))


_GEMM = {types.float32: _routine("blas", "sgemm", 13), types.float64: _routine("blas", "dgemm", 13)}
_SYRK = {types.float32: _routine("blas", "ssyrk", 10), types.float64: _routine("blas", "dsyrk", 10)}
_FACTOR = {types.float32: _routine("lapack", "sgetrf", 6), types.float64: _routine("lapack", "dgetrf", 6)}
_SOLVE = {types.float32: _routine("lapack", "sgetrs", 9), types.float64: _routine("lapack", "dgetrs", 9)}
_NO, _YES, _UPPER = np.uint8(ord("N")), np.uint8(ord("T")), np.uint8(ord("U"))


@machine_code("multiply")
def multiply(transpose_a: bool, transpose_b: bool, alpha: float, A: Any, B: Any, beta: float, C: Any) -> None:
    """C = alpha op(A) op(B) + beta C, op the transpose where asked for. With beta = 0 the old content of C does not matter."""
    C[...] = alpha * (A.T if transpose_a else A) @ (B.T if transpose_b else B) + (beta * C if beta else 0)


@overload(multiply, strict=False)
def _multiply(transpose_a: Any, transpose_b: Any, alpha: Any, A: Any, B: Any, beta: Any, C: Any) -> Callable[..., None]:
    gemm = _GEMM[C.dtype]

    def code(transpose_a, transpose_b, alpha, A, B, beta, C):  # pragma: no cover - compiled
        if C.shape[0] == 0 or C.shape[1] == 0:
            return
        inner = A.shape[0] if transpose_a else A.shape[1]
        if inner == 0:
            C *= C.dtype.type(beta)
            return
        flags, sizes, factors = np.empty(2, np.uint8), np.empty(6, np.int32), np.empty(2, C.dtype)
        flags[0], flags[1] = _YES if transpose_b else _NO, _YES if transpose_a else _NO
        sizes[0], sizes[1], sizes[2] = C.shape[1], C.shape[0], inner
        # A matrix of a single row may report any distance to the next one.
        sizes[3] = max(B.shape[1], B.strides[0] // B.itemsize)
        sizes[4] = max(A.shape[1], A.strides[0] // A.itemsize)
        sizes[5] = max(C.shape[1], C.strides[0] // C.itemsize)
        factors[0], factors[1] = alpha, beta
        gemm(
            flags.ctypes, flags[1:].ctypes, sizes.ctypes, sizes[1:].ctypes, sizes[2:].ctypes, factors.ctypes,
            B.ctypes, sizes[3:].ctypes, A.ctypes, sizes[4:].ctypes, factors[1:].ctypes, C.ctypes, sizes[5:].ctypes,
        )  # fmt: skip

    return code


@machine_code("lower_gram")
def lower_gram(X: Any, G: Any) -> None:
    """The lower triangle of G = X'X; what stands above the diagonal is not touched."""
    C = X.T @ X
    for i in range(len(G)):
        G[i, : i + 1] = C[i, : i + 1]


@overload(lower_gram, strict=False)
def _lower_gram(X: Any, G: Any) -> Callable[..., None]:
    syrk = _SYRK[G.dtype]

    def code(X, G):  # pragma: no cover - compiled
        flags, sizes, factors = np.empty(2, np.uint8), np.empty(4, np.int32), np.empty(2, G.dtype)
        flags[0], flags[1] = _UPPER, _NO  # of the transpose
        sizes[0], sizes[1], sizes[2], sizes[3] = X.shape[1], X.shape[0], X.shape[1], G.shape[1]
        factors[0], factors[1] = 1, 0
        syrk(
            flags.ctypes, flags[1:].ctypes, sizes.ctypes, sizes[1:].ctypes, factors.ctypes, X.ctypes,
            sizes[2:].ctypes, factors[1:].ctypes, G.ctypes, sizes[3:].ctypes,
        )  # fmt: skip

    return code


@machine_code("factorize")
def factorize(E: Any, pivots: Any) -> int:
    """Replace E (n, n) by its LU factors, as ``solve`` takes them; pivots (n,) int32. Not 0: E is singular."""
    factors, pivots[:] = lu_factor(E.T, check_finite=False)
    E[...] = factors.T
    return int(not np.diag(E).all())


@overload(factorize, strict=False)
def _factorize(E: Any, pivots: Any) -> Callable[..., int]:
    getrf = _FACTOR[E.dtype]

    def code(E, pivots):  # pragma: no cover - compiled
        sizes = np.empty(2, np.int32)
        sizes[0], sizes[1] = E.shape[0], 0
        getrf(sizes.ctypes, sizes.ctypes, E.ctypes, sizes.ctypes, pivots.ctypes, sizes[1:].ctypes)
        return sizes[1]

    return code


@machine_code("solve")
def solve(transpose: bool, factors: Any, pivots: Any, rows: Any) -> None:
    """Replace each row r' of ``rows`` (k, n) by s' with E s = r (E' s = r if ``transpose``)."""
    rows[...] = lu_solve((factors.T, pivots), rows.T, trans=0 if transpose else 1, check_finite=False).T


@overload(solve, strict=False)
def _solve(transpose: Any, factors: Any, pivots: Any, rows: Any) -> Callable[..., None]:
    getrs = _SOLVE[factors.dtype]

    def code(transpose, factors, pivots, rows):  # pragma: no cover - compiled
        if rows.shape[0] == 0:
            return
        flags, sizes = np.empty(1, np.uint8), np.empty(3, np.int32)
        flags[0] = _NO if transpose else _YES  # what was factorised is the transpose of E
        sizes[0], sizes[1], sizes[2] = factors.shape[0], rows.shape[0], 0
        getrs(
            flags.ctypes, sizes.ctypes, sizes[1:].ctypes, factors.ctypes, sizes.ctypes, pivots.ctypes,
            rows.ctypes, sizes.ctypes, sizes[2:].ctypes,
        )  # fmt: skip

    return code
