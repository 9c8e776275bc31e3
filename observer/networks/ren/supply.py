"""Supply rates (Q, S, R) and the feedthrough D22 that goes with them (MATH 2b).

    s(dy, du) = dy'Q dy + 2 du'S dy + du'R du,     Q (ny, ny) <= 0,  S (nu, ny),  R (nu, nu)

A network can be incrementally dissipative for s only where some D22 has Rc = R + S D22 + D22'S' + D22'Q D22 > 0. With
Q < 0 that is R - S Q^-1 S' > 0, and all such D22 are -Q^-1 S' + L_Q^-1 N L_R with N'N < I.
"""

from typing import Any

import numpy as np
import torch

from observer.networks.linear_solves import cholesky, solve
from observer.networks.shapes import check_shape
from systems.base.errors import InputError

_SMALLEST_SHIFT = 1e-10


def check_supply(supply: Any, nu: int, ny: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Q, S, R as float64 arrays; InputError for a wrong shape, for Q or R not symmetric, or for Q not <= 0."""
    try:
        Q, S, R = (np.array(matrix, dtype=float) for matrix in supply)
    except (TypeError, ValueError) as error:
        raise InputError(f"supply is {supply!r}; expected three matrices (Q, S, R)") from error
    for name, matrix, shape, symbols in (
        ("supply Q", Q, (ny, ny), "(ny, ny)"),
        ("supply S", S, (nu, ny), "(nu, ny)"),
        ("supply R", R, (nu, nu), "(nu, nu)"),
    ):
        check_shape(name, matrix, shape, symbols)
        if not np.isfinite(matrix).all():
            raise InputError(f"{name} is not finite; expected finite numbers")
        if name != "supply S" and not np.allclose(matrix, matrix.T, rtol=1e-12, atol=0):
            raise InputError(f"{name} is not symmetric; expected ({name[-1]} + {name[-1]}')/2")
    largest = np.linalg.eigvalsh(Q)[-1] if Q.size else -1.0
    if largest > 1e-12 * np.abs(Q).max(initial=0.0):  # a singular Q has eigenvalues of either sign, by rounding
        raise InputError(
            f"supply Q has the eigenvalue {largest:.3g}; expected none above zero: otherwise equal inputs could feed"
            " the difference of two solutions, and the network would not contract"
        )
    return Q, S, R


def strict_supply(Q: np.ndarray, S: np.ndarray, R: np.ndarray) -> np.ndarray:
    """Q itself, or Q - delta I where Q is singular: whatever is dissipative for the latter is so for Q.

    delta is the largest of 1, 1/4, 1/16, ... (times the size of Q, S, R) that leaves R - S (Q - delta I)^-1 S' > 0.
    Errors: InputError where there is none: then no feedthrough satisfies the supply, and no network.
    """
    if not Q.size or not R.size:
        return Q if not Q.size or np.linalg.eigvalsh(Q)[-1] < 0 else Q - np.eye(len(Q))
    size = max(np.abs(Q).max(), np.abs(S).max(), np.abs(R).max(), np.finfo(float).tiny)
    definite = np.linalg.eigvalsh(Q)[-1] < -_SMALLEST_SHIFT * size
    least, delta = -np.inf, 0.0 if definite else size
    while delta == 0 or delta > _SMALLEST_SHIFT * size:
        shifted = Q - delta * np.eye(len(Q))
        inner = R - S @ np.linalg.solve(shifted, S.T)
        least = float(np.linalg.eigvalsh((inner + inner.T) / 2)[0])
        if least > 1e-9 * np.abs(inner).max():
            return shifted
        delta = (
            delta / 4 if delta else size
        )  # a Q that is all but singular is shifted too: a stronger supply, well conditioned
    raise InputError(
        f"supply: R - S Q^-1 S' has the eigenvalue {least:.3g}; expected all above zero: no network is dissipative for"
        " it, whatever its weights; enlarge R, or make Q less negative"
    )


def inner_matrix(X3: torch.Tensor, Y3: torch.Tensor, Z3: torch.Tensor, eps: float) -> torch.Tensor:
    """Mm = X3'X3 + Y3 - Y3' + Z3'Z3 + eps I (d, d), whose symmetric part is positive definite."""
    eye = torch.eye(len(X3), dtype=X3.dtype, device=X3.device)
    return X3.T @ X3 + Y3 - Y3.T + Z3.T @ Z3 + eps * eye


def inner_shapes(nu: int, ny: int) -> dict[str, tuple[int, ...]]:
    """Shapes of X3, Y3 (d, d) and Z3 (|nu - ny|, d) with d = min(nu, ny)."""
    d = min(nu, ny)
    return {"X3": (d, d), "Y3": (d, d), "Z3": (abs(nu - ny), d)}


def contraction_block(X3: torch.Tensor, Y3: torch.Tensor, Z3: torch.Tensor, eps: float, wide: bool) -> torch.Tensor:
    """N with N'N < I for every X3, Y3, Z3: (d + k, d), or (d, d + k) if ``wide``, for Z3 (k, d).

    N = [(I - Mm)(I + Mm)^-1; -2 Z3 (I + Mm)^-1], or [(I + Mm)^-1 (I - Mm), -2 (I + Mm)^-1 Z3'].
    """
    Mm = inner_matrix(X3, Y3, Z3, eps)
    eye = torch.eye(len(Mm), dtype=Mm.dtype, device=Mm.device)
    if wide:
        return solve(eye + Mm, torch.cat((eye - Mm, -2 * Z3.T), dim=1))
    return solve(eye + Mm, torch.cat((eye - Mm, -2 * Z3)), left=False)


def inner_from_block(N: np.ndarray, eps: float) -> dict[str, np.ndarray]:
    """X3, Y3, Z3 whose ``contraction_block`` is N (to rounding); ValueError unless N'N < I with room for eps."""
    wide = N.shape[1] > N.shape[0]
    tall = N.T if wide else N
    d = tall.shape[1]
    top, bottom, eye = tall[:d], tall[d:], np.eye(d)
    Mm = np.linalg.solve(eye + top, eye - top)  # the Cayley transform is its own inverse
    Z3 = -bottom @ (eye + Mm) / 2
    Mm = Mm.T if wide else Mm
    return {**inner_from_matrix(Mm, Z3, eps), "Z3": Z3}


def inner_from_matrix(Mm: np.ndarray, Z3: np.ndarray, eps: float) -> dict[str, np.ndarray]:
    """X3, Y3 with X3'X3 + Y3 - Y3' + Z3'Z3 + eps I = Mm; ValueError where the symmetric part leaves no room."""
    rest = (Mm + Mm.T) / 2 - Z3.T @ Z3 - eps * np.eye(len(Mm))
    try:
        X3 = np.linalg.cholesky(rest).T
    except np.linalg.LinAlgError:
        raise ValueError("the feedthrough D22 does not satisfy the supply strictly") from None
    return {"X3": X3, "Y3": (Mm - Mm.T) / 4}


def feedthrough(Q: torch.Tensor, S: torch.Tensor, R: torch.Tensor, N: torch.Tensor) -> torch.Tensor:
    """D22 = -Q^-1 S' + L_Q^-1 N L_R with -Q = L_Q'L_Q and R - S Q^-1 S' = L_R'L_R; Q < 0."""
    if 0 in N.shape:
        return N.new_zeros(N.shape)
    lower = cholesky(-Q)
    root = cholesky(R + S @ torch.cholesky_solve(S.T, lower)).T
    return torch.cholesky_solve(S.T, lower) + torch.linalg.solve_triangular(lower.T, N, upper=True) @ root


def block_from_feedthrough(Q: np.ndarray, S: np.ndarray, R: np.ndarray, D22: np.ndarray) -> np.ndarray:
    """The inverse of ``feedthrough``: N of a given D22 (NumPy)."""
    if 0 in D22.shape:
        return np.zeros(D22.shape)
    L_Q = np.linalg.cholesky(-Q).T
    L_R = np.linalg.cholesky(R - S @ np.linalg.solve(Q, S.T)).T
    return np.linalg.solve(L_R.T, (L_Q @ (D22 + np.linalg.solve(Q, S.T))).T).T


def residual_supply(Q: Any, S: Any, R: Any, D22: Any) -> Any:
    """Rc = R + S D22 + D22'S' + D22'Q D22 (nu, nu)."""
    cross = S @ D22
    return R + cross + cross.T + D22.T @ Q @ D22
