"""Contraction of an explicit REN in a quadratic metric: rate, margin and input gain (MATH 2a), in NumPy float64.

Everything is computed from the weights that are evaluated, a metric M and multipliers Lam (the diagonal): how these
were found plays no part. With W = 2 Lam - Lam D11 - D11'Lam, R = W - B1'M B1, K = Lam C1 + B1'M A and
G = Lam D12 + B1'M B2, for two solutions and |v|_M = sqrt(v'M v):

    |dx+|_M <= rate |dx|_M + gain |du|     (an overflow is answered with inf: nothing is proved)
    rate^2 = lambda_max(M^-1 (A'M A + K'R^-1 K)),     gain^2 = lambda_max(B2'M B2 + G'R^-1 G)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from observer.networks.ren.explicit import WEIGHTS, ExplicitREN
from observer.networks.shapes import shape_fault


@dataclass(frozen=True, eq=False)
class Contraction:
    """What one metric proves of an observer: |e+|_M <= rate |e|_M + gain_y |n| + gain_u |v| for any measurement and input errors.

    Attributes
    ----------
    metric : M (nx, nx), physical units. multipliers : Lam (nv,).
    rate : alpha*, per step, the smallest that these two prove.
    gain_y, gain_u : |e+|_M per Euclidean unit of measurement error n and of input error v, in one step.
    state_gain : (nx,), |e_i| <= state_gain_i |e|_M, in the unit of state i.
    """

    metric: np.ndarray
    multipliers: np.ndarray
    rate: float
    gain_y: float
    gain_u: float
    state_gain: np.ndarray


def prove_contraction(ren: ExplicitREN, M: np.ndarray, Lam: np.ndarray, known: int) -> Contraction:
    """Rate and gains in the metric M.

    Parameters
    ----------
    ren, M, Lam : as for :func:`contraction_rate`. known : how many inputs of the network are inputs of the plant; the others are
        its outputs.

    Raises
    ------
    ValueError
        For what :func:`find_fault` finds.
    """
    M, Lam = np.asarray(M, dtype=float), np.asarray(Lam, dtype=float)
    gain_y, gain_u = (input_gain(ren, M, Lam, columns) for columns in (slice(known, None), slice(0, known)))
    return Contraction(M, Lam, contraction_rate(ren, M, Lam), gain_y, gain_u, np.sqrt(np.diag(np.linalg.inv(M))))


def samples_until(share: float, rate: float) -> int:
    """Steps after which at most ``share`` of an error is left that shrinks by ``rate`` in each: one, where one takes it all."""
    return max(1, math.ceil(math.log(share) / math.log(rate))) if rate > 0 else 1


@np.errstate(over="ignore", invalid="ignore")
def find_fault(ren: ExplicitREN, M: np.ndarray, Lam: np.ndarray) -> str | None:
    """Why no certificate is possible.

    Parameters
    ----------
    ren : the explicit weights. M : metric (nx, nx). Lam : multipliers (nv,).

    Returns
    -------
    str or None
        The first that fails of: shapes, finite values, D11 strictly lower triangular, Lam > 0, M symmetric (to 1e-9) and
        positive definite.
    """
    ren, M, Lam = ren.to_numpy(), np.asarray(M, dtype=float), np.asarray(Lam, dtype=float)
    fault = shape_fault("metric", M, (ren.nx, ren.nx), "(nx, nx)") or shape_fault(
        "multipliers", Lam, (ren.nv,), "(nv,)"
    )
    if fault:
        return fault
    values = {**{name: getattr(ren, name) for name in WEIGHTS}, "metric": M, "multipliers": Lam}
    broken = [name for name, value in values.items() if not np.isfinite(value).all()]
    if broken:
        return f"{', '.join(broken)} not finite; expected finite numbers"
    above = np.argwhere(np.triu(ren.D11) != 0)
    if len(above):
        i, j = above[0]
        found = f"D11[{i}, {j}] is {ren.D11[i, j]:.3g}"
        return f"D11 is not strictly lower triangular: {found}; expected 0 on and above the diagonal"
    if (Lam <= 0).any():
        i = int(np.argmin(Lam))
        return f"multiplier {i} is {Lam[i]:.3g}; expected all multipliers > 0"
    size = np.sqrt(np.abs(np.diag(M)))
    if (np.abs(M - M.T) > 1e-9 * np.outer(size, size)).any():
        return "the metric is not symmetric"
    if not _positive_definite(M):
        return "the metric is not positive definite"
    return None


@np.errstate(over="ignore", invalid="ignore")
def contraction_rate(ren: ExplicitREN, M: np.ndarray, Lam: np.ndarray) -> float:
    """The smallest contraction rate alpha* per step that a metric and multipliers prove, in closed form.

    Parameters
    ----------
    ren : the explicit weights. M : metric (nx, nx). Lam : multipliers (nv,).

    Returns
    -------
    float
        ``math.inf`` when R is not positive definite: these multipliers prove no rate at all.

    Raises
    ------
    ValueError
        For what :func:`find_fault` finds.

    Notes
    -----
    rate^2 = lambda_max(M^-1 (A'M A + K'R^-1 K)), MATH 2a.
    """
    parts = _normalised(ren, M, Lam)
    if parts is None:
        return math.inf
    root, A, B1, C1, _ = parts
    return _norm(np.vstack([A, np.linalg.solve(root, C1 + B1.T @ A)]))


@np.errstate(over="ignore", invalid="ignore")
def input_gain(ren: ExplicitREN, M: np.ndarray, Lam: np.ndarray, columns: Sequence[int] | slice | None = None) -> float:
    """The proved one-step gain from the input to |dx+|_M at equal states.

    Parameters
    ----------
    ren, M, Lam : as for :func:`contraction_rate`.
    columns : channels of the input, all when left out; their norm is Euclidean, in the units of the weights.

    Returns
    -------
    float
        ``math.inf`` where nothing is proved.

    Raises
    ------
    ValueError
        For what :func:`find_fault` finds.
    """
    parts = _normalised(ren, M, Lam)
    if parts is None:
        return math.inf
    root, _, B1, _, L = parts
    ren = ren.to_numpy()
    chosen = slice(None) if columns is None else columns if isinstance(columns, slice) else list(columns)
    B2, D12 = L.T @ ren.B2[:, chosen], np.asarray(Lam)[:, None] * ren.D12[:, chosen]
    return _norm(np.vstack([B2, np.linalg.solve(root, D12 + B1.T @ B2)]))


@np.errstate(over="ignore", invalid="ignore")
def lmi_margin(ren: ExplicitREN, M: np.ndarray, Lam: np.ndarray, rate: float) -> float:
    """Smallest eigenvalue of [[rate^2 M - A'M A, -K'], [-K, R]], scaled to unit diagonal.

    It is not negative exactly when ``rate`` is proved. At the very rate of :func:`contraction_rate` it is zero up to
    rounding of either sign: test at rate * (1 + 1e-9).

    Parameters
    ----------
    ren, M, Lam : as for :func:`contraction_rate`. rate : per step.

    Returns
    -------
    float
        ``-math.inf`` when the rate, or the form by overflow, is not finite.

    Raises
    ------
    ValueError
        For what :func:`find_fault` finds.
    """
    _refuse(ren, M, Lam)
    if not math.isfinite(rate):
        return -math.inf
    ren, M, Lam = ren.to_numpy(), np.asarray(M, dtype=float), np.asarray(Lam, dtype=float)
    K = Lam[:, None] * ren.C1 + ren.B1.T @ M @ ren.A
    R = _sector(ren, Lam) - ren.B1.T @ M @ ren.B1
    form = np.block([[np.square(rate) * M - ren.A.T @ M @ ren.A, -K.T], [-K, R]])
    scale = np.sqrt(np.abs(np.diag(form)))
    scale[scale == 0] = 1.0
    form = form / scale / scale[:, None]
    if not np.isfinite(form).all():
        return -math.inf
    return float(np.linalg.eigvalsh((form + form.T) / 2)[0])


def _sector(ren: ExplicitREN, Lam: np.ndarray) -> np.ndarray:
    LD = Lam[:, None] * ren.D11
    return 2 * np.diag(Lam) - LD - LD.T


def metric_norm(v: np.ndarray, M: np.ndarray) -> np.ndarray:
    """|v|_M = sqrt(v' M v) over the last axis."""
    return np.sqrt(np.maximum(np.einsum("...i,ij,...j->...", v, M, v), 0.0))


def _normalised(ren: ExplicitREN, M: np.ndarray, Lam: np.ndarray) -> tuple[np.ndarray, ...] | None:
    """Cholesky factor of R; A, B1, Lam C1 for states L'x, where M = L L' is the identity; L. None if R is not > 0."""
    _refuse(ren, M, Lam)
    ren, M, Lam = ren.to_numpy(), np.asarray(M, dtype=float), np.asarray(Lam, dtype=float)
    L = np.linalg.cholesky((M + M.T) / 2)
    A = np.linalg.solve(L, (L.T @ ren.A).T).T
    B1 = L.T @ ren.B1
    C1 = np.linalg.solve(L, (Lam[:, None] * ren.C1).T).T
    R = _sector(ren, Lam) - B1.T @ B1
    if not np.isfinite(R).all():
        return None
    try:
        root = np.linalg.cholesky(R)
    except np.linalg.LinAlgError:
        return None
    return root, A, B1, C1, L


def _refuse(ren: ExplicitREN, M: np.ndarray, Lam: np.ndarray) -> None:
    fault = find_fault(ren, M, Lam)
    if fault:
        raise ValueError(f"no certificate: {fault}")


def _positive_definite(M: np.ndarray) -> bool:
    """Decided on M scaled to unit diagonal, so that the units of the states do not matter."""
    diagonal = np.diag(M)
    if (diagonal <= 0).any():
        return False
    scale = np.sqrt(diagonal)
    return bool(np.linalg.eigvalsh(M / scale / scale[:, None])[0] > len(M) * np.finfo(float).eps)


def _norm(matrix: np.ndarray) -> float:
    if not np.isfinite(matrix).all():
        return math.inf
    return float(np.linalg.norm(matrix, 2)) if matrix.size else 0.0
