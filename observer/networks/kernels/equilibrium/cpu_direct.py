"""What the map direct -> explicit does between its matrix products, forward and backward, as two compiled passes.

Written in torch these are some fifty small operations, whose calls outweigh their arithmetic in small networks.
The equations are those of :mod:`observer.networks.ren.direct_map`. N = 2 nx + nv, m = nx + nv; H is used below its block
diagonal (nx | nv | nx) only, and within its middle block below the diagonal only.
"""

MIRROR = 32  # side of the squares in which a triangle is mirrored, so that neither side misses the cache


def assemble(H, Y1, B2, D12, p, polar, rate, eps, norm_eps, E, R, C1, D11, D12_out, inverse):
    """From H = X'X, scaled in place, fill E (nx, nx), R (nx, m + nu), C1, D11, D12_out and inverse = 1/Lam (nv,).

    Returns |X|_F^2 + norm_eps.
    """
    n, q, total = Y1.shape[0], D12.shape[0], H.shape[0]
    m, number = n + q, H.dtype.type
    norm = 0.0
    for i in range(total):
        norm += H[i, i]
    norm += norm_eps
    scale, small = number(p * p / norm if polar else 1.0), number(eps)
    half, faster = number(0.5), number(1 / rate**2)
    for i in range(total):
        for j in range(n if i < n else (i + 1 if i < m else total)):
            H[i, j] *= scale
        H[i, i] += small
    for i in range(n):
        for j in range(n):
            E[i, j] = half * (H[i, j] + faster * H[m + i, m + j] + Y1[i, j] - Y1[j, i])
        for j in range(m):
            R[i, j] = H[m + i, j]
        for j in range(B2.shape[1]):
            R[i, m + j] = B2[i, j]
    for i in range(q):
        inverse[i] = number(2) / H[n + i, n + i]
        for j in range(n):
            C1[i, j] = -inverse[i] * H[n + i, j]
        for j in range(i):
            D11[i, j] = -inverse[i] * H[n + i, n + j]
        for j in range(i, q):
            D11[i, j] = 0
        for j in range(D12.shape[1]):
            D12_out[i, j] = inverse[i] * D12[i, j]
    return norm


def pull_back(gR, half, gC1, gD11, gD12, C1, D11, D12, inverse, H, p, polar, rate, eps, norm, S, gY1, gD12_direct):
    """Fill S (N, N) = dL/d(X'X) + its transpose, so that dL/dX = X S; gY1 and gD12_direct. Returns dL/dp.

    ``gR`` is dL/dR, ``half`` = (dL/dE)/2; the other gradients are those of the explicit matrices.
    """
    n, q, total = half.shape[0], C1.shape[0], H.shape[0]
    m, number = n + q, H.dtype.type
    faster = number(1 / rate**2)
    for i in range(n):  # the lower blocks of dL/dH
        for j in range(n):
            S[i, j] = half[i, j]
            S[m + i, m + j] = faster * half[i, j]
            gY1[i, j] = half[i, j] - half[j, i]
        for j in range(m):
            S[m + i, j] = gR[i, j]
    for i in range(q):
        turn = number(0)
        for j in range(n):
            S[n + i, j] = -inverse[i] * gC1[i, j]
            turn += gC1[i, j] * C1[i, j]
        for j in range(i):
            S[n + i, n + j] = -inverse[i] * gD11[i, j]
            turn += gD11[i, j] * D11[i, j]
        for j in range(D12.shape[1]):
            gD12_direct[i, j] = inverse[i] * gD12[i, j]
            turn += gD12[i, j] * D12[i, j]
        S[n + i, n + i] = -number(0.5) * inverse[i] * turn
    along, scale, shift = 0.0, number(1), number(0)
    if polar:
        for i in range(total):
            row = 0.0
            for j in range(n if i < n else (i + 1 if i < m else total)):
                row += S[i, j] * H[i, j]
            along += row - eps * S[i, i]
        scale, shift = number(p * p / norm), number(2 * along / norm)
    for i in range(n):  # the outer diagonal blocks are full: add their transposes
        for j in range(i + 1):
            S[i, j] = S[i, j] + S[j, i]
            S[m + i, m + j] = S[m + i, m + j] + S[m + j, m + i]
    for i in range(n, m):
        S[i, i] *= number(2)
    for i in range(total):
        for j in range(i + 1):
            S[i, j] *= scale
        S[i, i] -= shift
    for top in range(0, total, MIRROR):
        for left in range(0, top + 1, MIRROR):
            for i in range(top, min(total, top + MIRROR)):
                for j in range(left, min(i, left + MIRROR)):
                    S[j, i] = S[i, j]
    return 2 * along / p if polar else 0.0
