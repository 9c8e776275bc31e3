"""From certified explicit weights back to the direct parameters of a REN with a supply: the inverse of MATH 2b."""

from typing import Any

import numpy as np

from observer.networks.ren.explicit import ExplicitREN
from observer.networks.ren.inverse_map import certificate_matrix
from observer.networks.ren.supply import residual_supply
from observer.networks.shapes import check_shape


def supply_parameters(network: Any, ren: ExplicitREN, metric: np.ndarray, multipliers: np.ndarray) -> dict[str, Any]:
    """Direct parameters of ``network`` (a SupplyREN) whose explicit weights are ``ren`` (NumPy, float64).

    With D = diag(I, I, rate^2 I) and the certificate matrix Q of the contraction, E = rate^2 M, P = rate^4 M and

        X'X = D Q D - [C2t D21t B2~']'Rc^-1 [..] + [C2 D21 0]'Q_s [..] - eps I,   B2~ = E B2,  D12~ = Lam D12

    The supply sets the size of M and Lam, so that nothing is rescaled: they must certify rate and supply themselves.
    Errors: ValueError where they do not, or leave no room for eps.
    """
    n, q, rate, eps = ren.nx, ren.nv, network.contraction_rate, network.eps
    M, Lam = np.array(metric, dtype=float), np.array(multipliers, dtype=float)
    check_shape("metric", M, (n, n), "(nx, nx)")
    check_shape("multipliers", Lam, (q,), "(nv,)")
    _, S, R = network.supply_arrays()
    Q = network.strict().detach().double().numpy()
    D = np.repeat([1.0, 1.0, rate**2], (n, q, n))
    H = certificate_matrix(ren, (M + M.T) / 2, Lam, rate) * D * D[:, None]
    B2, D12 = rate**2 * M @ ren.B2, Lam[:, None] * ren.D12
    if network.nu:
        to_output = ren.D22.T @ Q + S
        G = np.hstack([to_output @ ren.C2, to_output @ ren.D21 - D12.T, B2.T])
        Rc = residual_supply(Q, S, R, ren.D22)
        least = np.linalg.eigvalsh(Rc)[0]
        if not least > 0:
            raise ValueError(f"the feedthrough D22 leaves Rc with the eigenvalue {least:.3g}; expected all above zero")
        H = H - G.T @ np.linalg.solve(Rc, G)
    seen = np.hstack([ren.C2, ren.D21, np.zeros((ren.ny, n))])
    rest = H + seen.T @ Q @ seen - eps * np.eye(2 * n + q)
    try:
        X = np.linalg.cholesky((rest + rest.T) / 2).T
    except np.linalg.LinAlgError:
        least = np.linalg.eigvalsh((rest + rest.T) / 2)[0]
        raise ValueError(
            f"cannot export at contraction rate {rate:.6g}: with this metric and these multipliers the certificate"
            f" matrix has the eigenvalue {least:.3g}; expected all above zero: use a larger rate, a looser supply, or"
            " another metric and multipliers"
        ) from None
    values: dict[str, Any] = {"X": X, "Y1": np.zeros((n, n)), "B2": B2, "D12": D12, "bx": ren.bx, "bv": ren.bv}
    if network.polar:
        values["p"] = np.sqrt(np.square(X).sum() + network.norm_eps)[None]
    if not network.identity_output:
        values |= {"C2": ren.C2, "D21": ren.D21, "by": ren.by}
    if network.feedthrough == "constructed":
        values |= network.inner_of(ren.D22)
    return values
