"""The map direct -> explicit of the contracting REN as one differentiable operation, for training on the CPU.

Forward as in :class:`observer.networks.ren.direct_map.DirectMap`, acyclic, G = 0, with s = p^2 / (|X|_F^2 + norm_eps) (s = 1 if not
polar), W = X'X, H = s W + eps I, of which only the lower triangle of blocks is formed, R = [H31, H32, B2~] and
S = E^-1 R = [A, B1, B2]. Backward, with a bar for dL/d(.):

    R' = E^-T S',  E' = -R' S^T                                                  (here ' is the bar, ^T the transpose)
    H11' = E'/2,  H33' = E'/(2 rate^2),  Y1' = (E' - E'^T)/2,  [H31', H32', B2~'] = R'
    H21' = -C1'/Lam,  stril(H22') = -stril(D11')/Lam,  D12~' = D12'/Lam,  diag(H22') = -rowsum(C1'C1 + D11'D11 + D12'D12)/(2 Lam)
    s' = <H', W>,  p' = 2 p s'/(|X|^2 + norm_eps),  X' = X (s (H' + H'^T) - 2 s s'/(|X|^2 + norm_eps) I)

Measured against the same map recorded by torch (50 and 200 neurons): a training step takes a quarter to a third less.
Differentiable once, float32 or float64, no ``torch.func``.
"""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from observer.networks.kernels.equilibrium.cpu_autograd import without_denormals
from observer.networks.kernels.equilibrium.machine import compiled

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
        (n, nu), q = B2.shape, len(D12)
        m, scalar = n + q, 0.0 if p is None else float(p)
        with without_denormals():
            H = _lower_gram(X, n, q)
            shapes = ((n, n), (n, m + nu), (q, n), (q, q), (q, nu), (q,))
            E, R, C1, D11, D12_out, inverse = (X.new_empty(shape) for shape in shapes)
            norm = compiled.assemble(
                *_arrays(H, Y1, B2, D12), scalar, p is not None, rate, eps, norm_eps,
                *_arrays(E, R, C1, D11, D12_out, inverse),
            )  # fmt: skip
            factors, pivots, _ = torch.linalg.lu_factor_ex(E, check_errors=True)
            S = torch.linalg.lu_solve(factors, pivots, R)
        ctx.save_for_backward(X, p, H, factors, pivots, S, inverse, C1, D11, D12_out)
        ctx.numbers = (scalar, p is not None, rate, eps, norm)
        return S[:, :n].clone(), S[:, n:m].clone(), S[:, m:].clone(), C1, D11, D12_out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        X, p, H, factors, pivots, S, inverse, C1, D11, D12 = ctx.saved_tensors
        n, q = len(S), len(D11)
        gA, gB1, gB2, gC1, gD11, gD12 = gradients
        with without_denormals():
            gR = torch.linalg.lu_solve(factors, pivots, torch.cat((gA, gB1, gB2), dim=1), adjoint=True)
            half = (gR @ S.T).mul_(-0.5)
            both, gY1, gD12_direct = (X.new_empty(shape) for shape in (X.shape, (n, n), D12.shape))
            along = compiled.pull_back(
                *_arrays(gR, half, gC1, gD11, gD12, C1, D11, D12, inverse, H),
                *ctx.numbers, *_arrays(both, gY1, gD12_direct),
            )  # fmt: skip
            gp = None if p is None else torch.full_like(p, along)
            return X @ both, gY1, gp, gR[:, n + q :], gD12_direct, None, None, None


def _arrays(*tensors: torch.Tensor) -> list[Any]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


def _lower_gram(X: torch.Tensor, n: int, q: int) -> torch.Tensor:
    """X'X without the blocks that the map does not read: those above the diagonal blocks (n | q | n)."""
    G, m = X.new_empty(X.shape), n + q
    torch.mm(X.T, X[:, :n], out=G[:, :n])
    torch.mm(X[:, m:].T, X[:, n:], out=G[m:, n:])
    for low in range(n, m, _STRIPE):
        high = min(m, low + _STRIPE)
        torch.mm(X[:, low:high].T, X[:, n:high], out=G[low:high, n:high])
    return G
