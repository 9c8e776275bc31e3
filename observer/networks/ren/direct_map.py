"""The map from direct parameters to explicit matrices, and its inverse: one object for each direction of the theorem (MATH 2a, 3)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from observer.networks.ren.explicit import ExplicitREN
from observer.networks.shapes import check_shape
from systems.base.errors import InputError

if TYPE_CHECKING:
    import torch

KERNELS: tuple[str, ...] = ("auto", "fused", "reference")


def certificate_matrix(ren: Any, M: np.ndarray, Lam: np.ndarray, rate: float) -> np.ndarray:
    """Q (2 nx + nv, 2 nx + nv), positive definite exactly when M (nx, nx) and Lam (nv,) certify ``rate`` per step.

    Q = [[rate^2 M, -C1'Lam, A'M], [-Lam C1, 2Lam - Lam D11 - D11'Lam, B1'M], [M A, M B1, M]]
    """
    LD = Lam[:, None] * ren.D11
    LC, MA, MB = Lam[:, None] * ren.C1, M @ ren.A, M @ ren.B1
    W = 2 * np.diag(Lam) - LD - LD.T
    return np.block([[rate**2 * M, -LC.T, MA.T], [-LC, W, MB.T], [MA, MB, M]])


@dataclass(frozen=True)
class DirectMap:
    """Free parameters to the matrices of a REN that contracts at ``rate``, and certified matrices back to parameters.

        H = X'X + eps I + G,   or polar   H = p^2 X'X / (|X|_F^2 + norm_eps) + eps I + G,   in blocks (nx | nv | nx)
        P = H33,  E = (H11 + P/rate^2 + Y1 - Y1')/2,   A = E^-1 H31,  B1 = E^-1 H32,  B2 = E^-1 B2~
        C1 = -Lam^-1 H21,  D12 = Lam^-1 D12~,   and
            acyclic:  Lam = diag(H22)/2,    D11 = -Lam^-1 stril(H22)
            else:     Lam = diag(exp l),    D11 = I - Lam^-1 (H22 + Y2 - Y2')/2

    Then |dx+|_M <= rate |dx|_M with M = E'P^-1 E and the multipliers Lam. G is zero for contraction alone; a supply adds
    what its dissipation takes (MATH 2b). The inverse inverts H: with Q the certificate matrix of M and Lam and
    D = diag(I, I, rate^2 I),

        X'X = c D Q D - eps I - G,   E = c rate^2 M,  P = c rate^4 M,  Y1 = 0,  B2~ = E B2,  D12~ = c Lam D12

    with c = 1 where there is a G, which sets the size of M and Lam; else as large as eps needs.

    Parameters
    ----------
    rate : contraction rate per step, in (0, 1].
    polar : scale of H as the parameter p of its own. eps : added to the diagonal of H. norm_eps : inside the polar norm.
    acyclic : D11 strictly lower triangular; else full.

    Notes
    -----
    Source: Revay, Wang, Manchester, arXiv 2104.05942, sections IV and V.
    """

    rate: float
    polar: bool = True
    eps: float = 1e-9
    norm_eps: float = 0.0
    acyclic: bool = True

    def implicit(
        self, X: "torch.Tensor", Y1: "torch.Tensor", p: "torch.Tensor | None" = None, G: "torch.Tensor | None" = None
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """H (N, N) and E (nx, nx)."""
        import torch

        n, last = len(Y1), len(X) - len(Y1)
        H = X.T @ X
        if self.polar:
            assert p is not None
            H = p**2 * H / (X.square().sum() + self.norm_eps)
        H = H + self.eps * torch.eye(len(H), dtype=H.dtype, device=H.device)
        H = H if G is None else H + G
        return H, (H[:n, :n] + H[last:, last:] / self.rate**2 + Y1 - Y1.T) / 2

    def explicit(
        self, direct: "Mapping[str, torch.Tensor]", G: "torch.Tensor | None" = None, kernel: str = "auto"
    ) -> "tuple[torch.Tensor, ...]":
        """A, B1, B2, C1, D11, D12 of ``direct`` (X, Y1, B2, D12; p if polar; Y2, l unless acyclic), differentiable.

        ``kernel``: "fused" is one operation, differentiable once, for contraction alone in main memory; "reference" is
        made of ordinary torch operations. "auto" takes the fused one where it can.
        """
        import torch

        from observer.networks.linear_solves import solve

        if kernel not in KERNELS:
            raise InputError(f"explicit kernel {kernel!r} is not known; expected auto, fused or reference")
        X, Y1, B2, D12 = (direct[name] for name in ("X", "Y1", "B2", "D12"))
        (n, nu), q = B2.shape, len(D12)
        plain = G is None and self.acyclic
        if kernel == "fused" and not plain:
            raise InputError(
                "explicit kernel 'fused' takes an acyclic network without a supply; expected kernel='auto'"
            )
        if n and plain and (kernel == "fused" or (kernel == "auto" and X.device.type == "cpu")):
            from observer.networks.ren.fused_map import DirectToExplicit

            return DirectToExplicit.apply(X, Y1, direct.get("p"), B2, D12, self.rate, self.eps, self.norm_eps)  # type: ignore[return-value]
        m = n + q
        H, E = self.implicit(X, Y1, direct.get("p"), G)
        A, B1, B2 = solve(E, torch.cat((H[m:, :m], B2), dim=1)).split((n, q, nu), dim=1)
        per_row, H22 = self._multipliers(H, n, direct)[:, None], H[n:m, n:m]
        if self.acyclic:
            D11 = -H22.tril(-1) / per_row
        else:
            Y2 = direct["Y2"]
            D11 = torch.eye(q, dtype=H.dtype, device=H.device) - (H22 + Y2 - Y2.T) / 2 / per_row
        return A, B1, B2, -H[n:m, :n] / per_row, D11, D12 / per_row

    def _multipliers(self, H: "torch.Tensor", n: int, direct: "Mapping[str, torch.Tensor]") -> "torch.Tensor":
        return H.diagonal()[n : len(H) - n] / 2 if self.acyclic else direct["l"].exp()

    def witness(
        self, direct: "Mapping[str, torch.Tensor]", G: "torch.Tensor | None" = None
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """The metric M = E'P^-1 E (nx, nx) and the multipliers Lam (nv,) that certify the rate."""
        n = len(direct["Y1"])
        H, E = self.implicit(direct["X"], direct["Y1"], direct.get("p"), G)
        return metric_of(H, E), self._multipliers(H, n, direct)

    def direct(
        self,
        explicit: ExplicitREN,
        metric: np.ndarray,
        multipliers: np.ndarray,
        added: Callable[[dict[str, np.ndarray]], np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        """The inverse: X, Y1, B2, D12, bx, bv (p, Y2, l where the map has them) whose matrices are those of ``explicit``.

        metric M (nx, nx) and multipliers Lam (nv,) must certify the rate of ``explicit`` (NumPy, float64). ``added`` gives
        G for the B2~ and D12~ that are found.

        Raises
        ------
        ValueError
            With the smallest eigenvalue, where metric and multipliers do not certify the rate and the supply.
        InputError
            For a wrong shape.
        """
        n, q, rate = explicit.nx, explicit.nv, self.rate
        M, Lam = np.array(metric, dtype=float), np.array(multipliers, dtype=float)
        check_shape("metric", M, (n, n), "(nx, nx)")
        check_shape("multipliers", Lam, (q,), "(nv,)")
        M = (M + M.T) / 2
        D = np.repeat([1.0, 1.0, rate**2], (n, q, n))
        Q = certificate_matrix(explicit, M, Lam, rate)
        H, c = Q * D * D[:, None], 1.0
        if added is None:
            c = self._enlargement(Q, H)
        found = {"B2": c * rate**2 * M @ explicit.B2, "D12": c * Lam[:, None] * explicit.D12}
        values = self.factor(c * H if added is None else H - added(found))
        values |= {"Y1": np.zeros((n, n)), **found, "bx": np.array(explicit.bx), "bv": np.array(explicit.bv)}
        if not self.acyclic:
            LD = c * Lam[:, None] * explicit.D11
            values |= {"Y2": (LD.T - LD) / 2, "l": np.log(c * Lam)}
        return values

    def _enlargement(self, Q: np.ndarray, H: np.ndarray) -> float:
        """c, at least 1, for which c H - eps I is positive definite."""
        diagonal = np.diag(Q)
        if not (np.isfinite(Q).all() and (diagonal > 0).all()):
            raise ValueError(
                "no direct parameters: the metric, the multipliers or the weights are not finite and positive"
            )
        scale = np.sqrt(diagonal)
        margin = np.linalg.eigvalsh(Q / scale / scale[:, None])[0]
        if margin <= len(Q) * np.finfo(float).eps:
            raise ValueError(
                f"no direct parameters at contraction rate {self.rate:.6g}: the smallest eigenvalue of the certificate"
                f" matrix, scaled to unit diagonal, is {margin:.3g}; expected more than zero: use a larger rate, or another"
                " metric and multipliers"
            )
        # The second bound is the only one that survives rounding when rows of H differ by many orders of magnitude.
        least = max(np.linalg.eigvalsh(H)[0], margin * np.diag(H).min())
        return max(1.0, 10 * self.eps / least)

    def factor(self, form: np.ndarray) -> dict[str, np.ndarray]:
        """X, and p if polar, with X'X + eps I = ``form`` (N, N); ValueError where that is not positive definite."""
        rest = form - self.eps * np.eye(len(form))
        rest = (rest + rest.T) / 2
        try:
            X = np.linalg.cholesky(rest).T
        except np.linalg.LinAlgError:
            least = np.linalg.eigvalsh(rest)[0] if np.isfinite(rest).all() else np.nan
            raise ValueError(
                f"no direct parameters at contraction rate {self.rate:.6g}: with this metric and these multipliers the"
                f" certificate matrix has the eigenvalue {least:.3g}; expected all above zero: use a larger rate, a looser"
                " supply, or another metric and multipliers"
            ) from None
        return {"X": X} | ({"p": np.sqrt(np.square(X).sum() + self.norm_eps)[None]} if self.polar else {})


def metric_of(H: "torch.Tensor", E: "torch.Tensor") -> "torch.Tensor":
    """M = E'P^-1 E, symmetric, with P the last block of H."""
    import torch

    last = len(H) - len(E)
    M = E.T @ torch.linalg.solve(H[last:, last:], E)
    return (M + M.T) / 2
