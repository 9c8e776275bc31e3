"""From certified explicit weights back to direct parameters: the exact inverse of the map of MATH 2a."""

import numpy as np

from observer.networks.ren.explicit import ExplicitREN
from observer.networks.shapes import check_shape


def certificate_matrix(ren: ExplicitREN, M: np.ndarray, Lam: np.ndarray, rate: float) -> np.ndarray:
    """Q (2 nx + nv, 2 nx + nv), positive definite exactly when M (nx, nx) and Lam (nv,) certify ``rate`` per step.

    Q = [[rate^2 M, -C1'Lam, A'M], [-Lam C1, 2Lam - Lam D11 - D11'Lam, B1'M], [M A, M B1, M]]
    """
    LD = Lam[:, None] * ren.D11
    LC, MA, MB = Lam[:, None] * ren.C1, M @ ren.A, M @ ren.B1
    W = 2 * np.diag(Lam) - LD - LD.T
    return np.block([[rate**2 * M, -LC.T, MA.T], [-LC, W, MB.T], [MA, MB, M]])


def direct_parameters(
    ren: ExplicitREN, metric: np.ndarray, multipliers: np.ndarray, rate: float, eps: float
) -> dict[str, np.ndarray]:
    """X, Y1 = 0, B2, D12, bx, bv for which the map of MATH 2a, not polar, returns ``ren`` (float64 arrays).

    With D = diag(I, I, rate^2 I): H = c D Q D, c = max(1, 10 eps / lambda_min(D Q D)), X'X = H - eps I, E = c rate^2 M,
    P = c rate^4 M, B2~ = E B2, D12~ = c Lam D12. ValueError, with the smallest eigenvalue of Q scaled to unit diagonal,
    when Q is not positive definite: the metric and the multipliers do not certify the rate.
    """
    n, q = ren.nx, ren.nv
    M, Lam = np.array(metric, dtype=float), np.array(multipliers, dtype=float)
    check_shape("metric", M, (n, n), "(nx, nx)")
    check_shape("multipliers", Lam, (q,), "(nv,)")
    M = (M + M.T) / 2
    Q = certificate_matrix(ren, M, Lam, rate)
    diagonal = np.diag(Q)
    if not (np.isfinite(Q).all() and (diagonal > 0).all()):
        raise ValueError("cannot export: the metric, the multipliers or the weights are not finite and positive")
    scale = np.sqrt(diagonal)
    margin = np.linalg.eigvalsh(Q / scale / scale[:, None])[0]
    if margin <= len(Q) * np.finfo(float).eps:
        raise ValueError(
            f"cannot export at contraction rate {rate:.6g}: the smallest eigenvalue of the certificate matrix, scaled"
            f" to unit diagonal, is {margin:.3g}; expected more than zero: use a larger rate, or another metric and"
            " multipliers"
        )
    D = np.repeat([1.0, 1.0, rate**2], (n, q, n))
    H = Q * D * D[:, None]
    # The second bound is the only one that survives rounding when rows of H differ by many orders of magnitude.
    least = max(np.linalg.eigvalsh(H)[0], margin * np.diag(H).min())
    c = max(1.0, 10 * eps / least)
    X = np.linalg.cholesky(c * H - eps * np.eye(len(H))).T
    return {
        "X": X,
        "Y1": np.zeros((n, n)),
        "B2": c * rate**2 * M @ ren.B2,
        "D12": c * Lam[:, None] * ren.D12,
        "bx": np.array(ren.bx),
        "bv": np.array(ren.bv),
    }
