"""The linear observer that fits best among those that contract: a convex problem at a fixed metric (MATH 3, step 2).

    minimise  sum_k |x_k+ - A x_k - B v_k - c|_M^2   over A, B, c    subject to   A' M A <= rate^2 M

B and c are eliminated by projecting them out of the data. With R'R = M and F = R A R^-1 the constraint is |F|_2 <= rate, and
what is left is a quadratic in F over a ball of the spectral norm, whose projection clips singular values: solved by
accelerated projected gradients with restarts (Beck and Teboulle, SIAM J. Imaging Sci. 2009; O'Donoghue and Candes, FoCM 2015).
"""

import numpy as np

STEPS, STEPS_WHEN_WIDE, WIDE = 3000, 200, 24
NOTHING = 1e-12  # what is left of x beyond v, in parts of x, that counts as none
STOP = 1e-13  # relative decrease of the loss over ten steps


def clip(a: np.ndarray, metric: np.ndarray, rate: float) -> np.ndarray:
    """The nearest map in the M norm with |A|_M <= rate, by clipping singular values. ``a``, ``metric``: ``(n, n)``."""
    r = np.linalg.cholesky(metric).T
    return np.linalg.inv(r) @ _project(r @ a @ np.linalg.inv(r), rate) @ r


def contracting_fit(
    x: np.ndarray, v: np.ndarray, x_next: np.ndarray, metric: np.ndarray, rate: float, initial: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(A ``(n, n)``, B ``(n, m)``, c ``(n,)``): the minimiser, from x ``(k, n)``, v ``(k, m)``, x_next ``(k, n)``.

    ``initial`` ``(n, n)``, |initial|_M <= rate: where the descent begins, and what decides in directions that the data do not show
    (states that v measures are collinear with it). The loss never exceeds that of ``initial`` with its best B and c.
    """
    r = np.linalg.cholesky(metric).T
    back = np.linalg.inv(r)
    known = np.concatenate([v, np.ones((len(x), 1))], axis=1)
    q = _orthonormal(known)
    rest, target = (part - q @ (q.T @ part) for part in (x @ r.T, x_next @ r.T))
    gram, cross = rest.T @ rest, target.T @ rest
    f = _project(r @ initial @ back, rate)
    if np.linalg.norm(rest) > NOTHING * np.linalg.norm(x @ r.T):  # else x adds nothing to v but rounding
        f = _descend(f, gram, cross, rate, STEPS if len(gram) <= WIDE else STEPS_WHEN_WIDE)
    a = back @ f @ r
    b = np.linalg.lstsq(known, x_next - x @ a.T, rcond=None)[0].T
    return a, b[:, :-1], b[:, -1]


def _orthonormal(known: np.ndarray) -> np.ndarray:
    """An orthonormal basis of what the columns of ``known`` span."""
    u, values, _ = np.linalg.svd(known, full_matrices=False)
    return u[:, values > 1e-12 * values[0]]


def _project(f: np.ndarray, bound: float) -> np.ndarray:
    left, values, right = np.linalg.svd(f)
    return (left * np.minimum(values, bound)) @ right


def _loss(f: np.ndarray, gram: np.ndarray, cross: np.ndarray) -> float:
    return float(0.5 * np.sum((f @ gram) * f) - np.sum(f * cross))


def _descend(f: np.ndarray, gram: np.ndarray, cross: np.ndarray, bound: float, steps: int) -> np.ndarray:
    """min 1/2 tr(F G F') - <F, H> over |F|_2 <= bound, from a feasible F; never above its loss."""
    slope = float(np.linalg.eigvalsh(gram)[-1])
    best, loss = f, _loss(f, gram, cross)
    ahead, momentum, before = f, 1.0, loss
    for k in range(1, steps + 1):
        following = _project(ahead - (ahead @ gram - cross) / slope, bound)
        value = _loss(following, gram, cross)
        if value > loss:  # momentum overshot: begin again from the best
            if ahead is best:
                break
            ahead, momentum = best, 1.0
            continue
        grown = 0.5 * (1 + np.sqrt(1 + 4 * momentum**2))
        ahead = following + (momentum - 1) / grown * (following - best)
        best, loss, momentum = following, value, grown
        if k % 10 == 0:
            if before - loss <= STOP * max(abs(loss), 1e-300):
                break
            before = loss
    return best
