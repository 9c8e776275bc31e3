"""The map direct -> explicit of the contracting REN as one differentiable operation, for training on the CPU.

Forward as in :class:`ContractingREN`, with s = p^2 / (|X|_F^2 + norm_eps) (s = 1 if not polar), G = X'X, H = s G + eps I
of which only the lower triangle of blocks is formed, and R = [H31, H32, B2~], S = E^-1 R = [A, B1, B2]. Backward, with
a bar for dL/d(.):

    R' = E^-T S',  E' = -R' S^T                                                  (here ' is the bar, ^T the transpose)
    H11' = E'/2,  H33' = E'/(2 rate^2),  Y1' = (E' - E'^T)/2,  [H31', H32', B2~'] = R'
    H21' = -C1'/Lam,  stril(H22') = -stril(D11')/Lam,  D12~' = D12'/Lam,  diag(H22') = -rowsum(C1'C1 + D11'D11 + D12'D12)/(2 Lam)
    s' = <H', G>,  p' = 2 p s'/(|X|^2 + norm_eps),  X' = X (s (H' + H'^T) - 2 s s'/(|X|^2 + norm_eps) I)

Against some sixty recorded operations this is three to four times faster for small networks, where the recording is most
of the work; for large ones it saves 40 % of the products in X'X. Differentiable once, any dtype, no ``torch.func``.
"""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from observer.networks.equilibrium.cpu_autograd import without_denormals
from observer.networks.equilibrium.cpu_kernels import clear_upper

_STRIPE = 128

Tensors = tuple[torch.Tensor, ...]


class DirectToExplicit(torch.autograd.Function):
    """(A, B1, B2, C1, D11, D12) of (X, Y1, p or None, B2~, D12~), and rate, eps, norm_eps."""

    @staticmethod
    def forward(
        ctx: Any,
        X: torch.Tensor,
        Y1: torch.Tensor,
        p: torch.Tensor | None,
        B2: torch.Tensor,
        D12: torch.Tensor,
        rate: float,
        eps: float,
        norm_eps: float,
    ) -> Tensors:
        n, q = len(Y1), len(D12)
        m = n + q
        with without_denormals():
            G = _lower_gram(X, n, q)
            norm = G.diagonal().sum() + norm_eps
            H = G if p is None else G.mul_(p * p / norm)
            H.diagonal().add_(eps)
            E = torch.add(H[:n, :n], H[m:, m:], alpha=rate**-2).add_(Y1).sub_(Y1.T).div_(2)
            factors, pivots, _ = torch.linalg.lu_factor_ex(E, check_errors=True)
            S = torch.linalg.lu_solve(factors, pivots, torch.cat((H[m:, :m], B2), dim=1))
            inverse = (2 / H.diagonal()[n:m])[:, None]  # 1/Lam
            C1, D11 = -inverse * H[n:m, :n], -inverse * H[n:m, n:m]
            clear_upper(D11.numpy())
            D12 = inverse * D12
        ctx.save_for_backward(X, p, H, norm, factors, pivots, S, inverse, C1, D11, D12)
        ctx.numbers = (n, q, rate, eps)
        return S[:, :n].clone(), S[:, n:m].clone(), S[:, m:].clone(), C1, D11, D12

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        X, p, H, norm, factors, pivots, S, inverse, C1, D11, D12 = ctx.saved_tensors
        n, q, rate, eps = ctx.numbers
        m = n + q
        gA, gB1, gB2, gC1, gD11, gD12 = gradients
        with without_denormals():
            gR = torch.linalg.lu_solve(factors, pivots, torch.cat((gA, gB1, gB2), dim=1), adjoint=True)
            half = (gR @ S.T).mul_(-0.5)
            gH = torch.zeros_like(H)
            gH[:n, :n], gH[m:, :m] = half, gR[:, :m]
            torch.mul(half, rate**-2, out=gH[m:, m:])
            torch.mul(gC1, -inverse, out=gH[n:m, :n])
            torch.mul(gD11, -inverse, out=gH[n:m, n:m])
            clear_upper(gH.numpy()[n:m, n:m])
            # The entries of gD11 on and above the diagonal meet the zeros of D11.
            rows = (gC1 * C1).sum(1) + (gD11 * D11).sum(1) + (gD12 * D12).sum(1)
            gH.diagonal()[n:m] = rows * inverse[:, 0] * -0.5
            if p is None:
                gp, total = None, gH + gH.T
            else:
                # <H', s G>, of H = s G + eps I
                along = torch.dot(gH.view(-1), H.view(-1)) - eps * gH.diagonal().sum()
                gp = 2 * along / p
                total = (gH + gH.T).mul_(p * p / norm)
                total.diagonal().sub_(2 * along / norm)
            return X @ total, half - half.T, gp, gR[:, m:], gD12 * inverse, None, None, None


def _lower_gram(X: torch.Tensor, n: int, q: int) -> torch.Tensor:
    """X'X without the blocks that the map does not read: those above the diagonal blocks (n | q | n)."""
    G, m = X.new_zeros(X.shape), n + q
    torch.mm(X.T, X[:, :n], out=G[:, :n])
    torch.mm(X[:, m:].T, X[:, n:], out=G[m:, n:])
    for low in range(n, m, _STRIPE):
        high = min(m, low + _STRIPE)
        torch.mm(X[:, low:high].T, X[:, n:high], out=G[low:high, n:high])
    return G
