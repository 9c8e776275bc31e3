"""The guarantees of the family as measured on signals: what the contract tests of every network share."""

import numpy as np


def squared(M, v):
    return np.einsum("...i,ij,...j->...", v, M, v)


def supplied(supply, dy, du):
    Q, S, R = supply
    return squared(Q, dy) + 2 * np.einsum("...i,ij,...j->...", du, S, dy) + squared(R, du)


def step_violation(guarantee, explicit, rng, samples=300, scale=3.0):
    """Largest relative excess of V+ over rate^2 V (+ supply) over random pairs of one step; not positive if it holds."""
    x, u = rng.normal(size=(samples, explicit.nx)) * scale, rng.normal(size=(samples, explicit.nu)) * scale
    near = np.geomspace(1e-3, 10, samples)[:, None]
    other_x, other_u = x + near * rng.normal(size=x.shape), u + near * rng.normal(size=u.shape)
    worst = -np.inf
    for changed in (u, other_u) if guarantee.supply is not None else (u,):
        (after, y), (other_after, other_y) = explicit.step(x, u), explicit.step(other_x, changed)
        before, now = squared(guarantee.metric, other_x - x), squared(guarantee.metric, other_after - after)
        allowed = guarantee.rate**2 * before
        size = before + np.square(changed - u).sum(-1) + 1e-300
        if changed is not u:
            allowed = allowed + supplied(guarantee.supply, other_y - y, changed - u)
        worst = max(worst, np.max((now - allowed) / size))
    return worst


def static_violation(guarantee, explicit, rng, samples=300, scale=2.0):
    """Largest relative excess of |dy| over gamma |du| over random pairs."""
    shape = explicit.input_shape
    u = rng.normal(size=(samples, *shape)) * scale
    step = np.geomspace(1e-3, 10, samples).reshape(-1, *[1] * len(shape))
    other = u + step * rng.normal(size=u.shape)
    dy, du = explicit(other) - explicit(u), other - u
    lengths = [np.sqrt(np.square(v.reshape(samples, -1)).sum(1)) for v in (dy, du)]
    return np.max(lengths[0] / lengths[1]) / guarantee.gamma - 1


def violation(guarantee, explicit, rng):
    """The excess over whatever is guaranteed."""
    return (step_violation if hasattr(guarantee, "rate") else static_violation)(guarantee, explicit, rng)
