"""Loss and gradients of the one-step fit of a contracting REN on a GPU, in some seventy launches and no synchronisation.

What ``cpu_training`` does in compiled calls, here by operations of torch around the Triton kernel; recorded by autograd
they are twice as many. Stacked: T = [D11 C1 D12 bv; B1 A B2 bx] acts on Z = [w; x; u; 1], so that with delta and the
residual's g in one array, dL/dT is one product. [B1 A B2] = E^-1 [H32 H31 B2~] and [D11 C1 D12] = [H22 H21 -D12~] / -Lam.
"""

import torch
from torch import Tensor

from observer.networks.kernels.equilibrium.sweeps_on_device import backward_into, forward_into


def one_step_gradients(
    parameters: dict[str, Tensor],
    samples: tuple[Tensor, ...],
    metric: Tensor | None,
    numbers: tuple[float, float, float],
    code: int,
    gradients: dict[str, Tensor],
) -> Tensor:
    """f = (1/2m) sum_k |f_o(x_k, u_k) - x_next_k|_M^2 over m samples (x, u, x_next), a tensor (); as in ``cpu_training``.

    nan or infinite, with ``gradients`` undefined, where the explicit network does not exist.
    """
    X, Y1, B2, D12, bx, bv = (parameters[name] for name in ("X", "Y1", "B2", "D12", "bx", "bv"))
    rate, eps, norm_eps = numbers
    n, q, p = len(bx), len(bv), parameters.get("p")
    m, c = n + q, n + q + B2.shape[1]

    H = X.T @ X
    diagonal = H.diagonal()
    norm = scale = None
    if p is not None:
        norm = diagonal.sum() + norm_eps  # |X|_F^2
        scale = p.square() / norm
        H.mul_(scale)
    diagonal.add_(eps)
    E = torch.add(H[:n, :n], H[m:, m:], alpha=1 / rate**2).add_(Y1).sub_(Y1.T).mul_(0.5)
    factors, pivots, _ = torch.linalg.lu_factor_ex(E)
    S = torch.linalg.lu_solve(factors, pivots, torch.cat((H[m:, n:m], H[m:, :n], B2), dim=1))
    turn = (diagonal[n:m] * -0.5)[:, None]
    V = torch.cat((H[n:m, n:m], H[n:m, :n], -D12), dim=1) / turn  # right of the diagonal of D11 is what no one reads
    T = torch.cat((torch.cat((V, S)), torch.cat((bv, bx))[:, None]), dim=1)

    loss, gT = _over_samples(T, samples, metric, q, code)

    gV, gS = gT[:q, :c], gT[q:, :c]
    gV[:, :q].tril_(-1)
    gR = torch.linalg.lu_solve(factors, pivots, gS, adjoint=True)
    half = torch.addmm(Y1, gR, S.T, beta=0, alpha=-0.5)
    gN = gV / turn
    G = torch.zeros_like(H)  # dL/dH, below its block diagonal
    G[:n, :n] = half
    G[n:m, n:m], G[n:m, :n] = gN[:, :q], gN[:, q:m]
    G[m:, n:m], G[m:, :n] = gR[:, :q], gR[:, q:m]
    torch.mul(half, 1 / rate**2, out=G[m:, m:])
    torch.div((gV * V).sum(1).mul_(0.5), turn[:, 0], out=G.diagonal()[n:m])
    both = G + G.T
    if p is not None:
        assert norm is not None and scale is not None
        along = (G * H).sum() - eps * G.diagonal().sum()
        both.mul_(scale).diagonal().sub_(2 * along / norm)
        torch.div(2 * along, p, out=gradients["p"])
    torch.mm(X, both, out=gradients["X"])
    torch.sub(half, half.T, out=gradients["Y1"])
    torch.neg(gN[:, m:], out=gradients["D12"])
    for name, value in (("B2", gR[:, m:]), ("bv", gT[:q, c]), ("bx", gT[q:, c])):
        gradients[name].copy_(value)
    return loss


def _over_samples(
    T: Tensor, samples: tuple[Tensor, ...], metric: Tensor | None, q: int, code: int
) -> tuple[Tensor, Tensor]:
    """The loss () and dL/dT, right of the diagonal of D11 too."""
    x, u, x_next = samples
    batch = len(x)
    Z = T.new_empty(T.shape[1], batch)
    torch.cat((x.T, u.T, x.new_ones(1, batch)), out=Z[q:])
    D11, B1, w = T[:q, :q], T[q:, :q], Z[:q]
    both, slopes = T[:, q:] @ Z[q:], T.new_empty(len(T), batch)
    forward_into(D11, both[:q], w, code)
    r = both[q:].addmm_(B1, w).sub_(x_next.T)
    weighted, share = r if metric is None else metric @ r, 1 / max(1, batch)
    loss = (r * weighted).sum() * (0.5 * share)
    torch.mul(weighted, share, out=slopes[q:])
    backward_into(D11, w, B1.T @ slopes[q:], slopes[:q], code)
    return loss, slopes @ Z.T
