"""The directions of a linear plant that its outputs never show, and how they move on their own.

    x+ = A x,  y = C x;   V: the largest subspace of ker C that A maps into itself (the unobservable subspace)
    [V W]' A [V W] = [[H, *], [0, *]],  C V = 0                                   (Kalman's decomposition)

An observer's error obeys e+ = (A - L C) e, and (A - L C) V = A V = V H for every gain L: the eigenvalues of H are those of
every observer. So no observer is faster than max |eig H|, whatever its metric.

V is built from unobservable eigenvectors (the PBH test: [A - lambda I; C] v = 0); what is left, the quotient by those found, is
tested again, which gives chains of generalised eigenvectors too. Intersecting ker C, ker C A, ... one after the other, as the
staircase algorithm does, loses a part in 1e9 after some twenty steps on a diffusion; eigenvectors do not.
Sources: Kalman, SIAM J. Control 1, 1963; Hautus, Indag. Math. 31, 1969; Paige, IEEE TAC 26, 1981 (distances by the PBH test).
"""

import numpy as np

TOLERANCE = 1e-9  # of the size of C and of A - I: what is less counts as zero
ROUNDING = 1e-14  # of the size of A
CLOSE, DIM = 1e-4, 1e-3  # eigenvalues that may be one; outputs of a unit eigenvector that may hide another
APART = 1e-4  # sine of the angle from which a further eigenvector is a further direction


def unobservable_subspace(a: np.ndarray, c: np.ndarray, tolerance: float = TOLERANCE) -> np.ndarray:
    """Orthonormal basis V ``(nx, d)`` of the unobservable subspace of A ``(nx, nx)``, C ``(ny, nx)``; d = 0 where the pair is observable.

    ``c`` in units in which a norm of 1 is large. A - I stands for A: the subspaces are the same, and the small steps of a
    finely sampled plant are not lost beside the identity.
    """
    nx = a.shape[0]
    moved = a - np.eye(nx)
    size = max(float(np.linalg.norm(moved, 2)), 1e-300)
    allowed = tolerance + ROUNDING * float(np.linalg.norm(a, 2)) / max(size, ROUNDING)
    v, w = np.zeros((nx, 0)), np.eye(nx)
    while w.shape[1]:
        found = _unobservable_eigenvectors(w.T @ (moved / size) @ w, c @ w, min(allowed, 0.1))
        if not found.shape[1]:
            break
        v, _ = np.linalg.qr(np.concatenate([v, w @ found], axis=1))
        w = np.linalg.qr(v, mode="complete")[0][:, v.shape[1] :]
    return v


def _unobservable_eigenvectors(a: np.ndarray, c: np.ndarray, allowed: float) -> np.ndarray:
    """Orthonormal columns: a basis of the span of eigenvectors v with C v = 0 (real and imaginary parts), as far as clearly apart."""
    n = a.shape[0]
    values, vectors = np.linalg.eig(a)
    gaps = np.abs(values[:, None] - values)
    np.fill_diagonal(gaps, np.inf)
    dim = np.linalg.norm(c @ vectors, axis=0) < DIM
    candidates = values[(np.imag(values) >= 0) & (dim | (gaps.min(axis=1) < CLOSE))]
    basis = np.zeros((n, 0))
    if not len(candidates):
        return basis
    pencils = np.concatenate(
        [a - candidates[:, None, None] * np.eye(n), np.broadcast_to(c, (len(candidates), *c.shape))], axis=1
    )
    _, sizes, vh = np.linalg.svd(pencils, full_matrices=True)
    for size, rows in zip(sizes, vh, strict=True):
        for row in rows[size <= allowed].conj():
            for part in (np.real(row), np.imag(row)):
                rest = part - basis @ (basis.T @ part)
                rest -= basis @ (basis.T @ rest)
                length = float(np.linalg.norm(rest))
                if length > APART:
                    basis = np.concatenate([basis, rest[:, None] / length], axis=1)
    return basis


def unobservable_modes(a: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(eigenvalues ``(d,)`` of H = V'A V, the slowest first; directions ``(d, nx)``, complex, with unit norm) of a subspace V.

    The phase of a direction is such that its real part is as long as can be; real and imaginary part are then orthogonal.
    """
    if not v.shape[1]:
        return np.zeros(0, dtype=complex), np.zeros((0, a.shape[0]), dtype=complex)
    values, vectors = np.linalg.eig(v.T @ a @ v)
    order = np.lexsort((-np.imag(values), -np.round(np.abs(values), 12)))
    modes = (v @ vectors[:, order]).T.astype(complex)
    square = np.einsum("ki,ki->k", modes, modes)
    turn = np.where(np.abs(square) > 1e-12, np.exp(-0.5j * np.angle(square)), 1.0)
    return values[order].astype(complex), modes * turn[:, None]


def distance_to_unobservable(a: np.ndarray, c: np.ndarray, eigenvalue: complex) -> float:
    """The PBH test: smallest singular value of [A - lambda I; C], zero where a mode with this eigenvalue is unobservable.

    It is the size of the smallest change of (A, C) that makes such a mode unobservable.
    """
    pencil = np.concatenate([a - eigenvalue * np.eye(len(a)), c])
    return float(np.linalg.svd(pencil, compute_uv=False)[-1])
