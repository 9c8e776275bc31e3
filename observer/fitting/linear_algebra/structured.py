"""J'J and J'r of a REN without its Jacobian: products of features, weighted by products of sensitivities.

With the features z = (x, v, 1, w), the column of a hidden weight (neuron i, feature a) is G_i z_a and that of a state
weight (row e, feature a) is R e_e z_a (:mod:`observer.fitting.linear_algebra.least_squares`; R'R = M). Summed over samples

    hidden, hidden   (i, a), (i', b):   sum_k (G_i'G_i')_k  (z_a z_b)_k
    state, hidden    (e, a), (i, b):    sum_k (e_e'R'G_i)_k (z_a z_b)_k
    state, state     (e, a), (e', b):   M_ee' sum_k (z_a z_b)_k

so that J'J is a few matrix products between the distinct z_a z_b and the distinct G_i'G_i': the state's dimension is summed
away before the expensive part, and each symmetric product is formed once. D11 is strictly lower triangular: z_a w_l meets only
pairs with a neuron above l, which are contiguous when pairs are sorted by their larger neuron. Samples come in pieces that stay
in cache.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from observer.fitting.linear_algebra.least_squares import parameter_count, residual_and_jacobian
from observer.fitting.problem import Samples
from observer.networks.activations import get_activation
from observer.networks.ren.explicit import ExplicitREN

PIECE = 512  # samples at a time
STRUCTURED_FROM = 16  # neurons; with one or two states and fewer of them the explicit J is as quick (measured)
GROUP = 4  # neurons whose products with other features are formed together: small matrix products are slow


@dataclass(frozen=True, eq=False)
class _Layout:
    """Where each entry of J'J is found among the products, for given sizes."""

    groups: tuple[
        tuple[np.ndarray, np.ndarray, int], ...
    ]  # features a, features b, rows of sensitivities that meet them
    entries: np.ndarray  # total of all products
    hidden: np.ndarray  # places of the hidden weights in the weight vector
    state: np.ndarray
    hidden_hidden: np.ndarray  # (hidden, hidden): places among the products
    state_hidden: np.ndarray
    state_row: np.ndarray  # e and a of each state weight
    state_feature: np.ndarray
    gradient: np.ndarray  # (parameters,): places in the stacked (n + q, features) products


def _weights(n: int, q: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(unit, feature) of every weight in the order of ``pack``; units are the n states, then the q neurons."""
    x, v, one, w = np.arange(n), n + np.arange(k), np.array([n + k]), n + k + 1 + np.arange(q)
    rows, columns = np.tril_indices(q, -1)

    def block(units: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.repeat(units, len(features)), np.tile(features, len(units))

    states, neurons = np.arange(n), n + np.arange(q)
    parts = [
        block(states, x), block(states, w), block(neurons, x), (n + rows, w[columns]),
        block(states, v), block(states, one), block(neurons, v), block(neurons, one),
    ]  # fmt: skip
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


@lru_cache(maxsize=4)
def _layout(n: int, q: int, k: int) -> _Layout:
    base = n + k + 1
    unit, feature = _weights(n, q, k)
    # Rows of sensitivities: state e with neuron i, then pairs (i, i') by their larger neuron, last neuron first.
    pair = np.zeros((q, q), dtype=np.intp)
    row = n * q
    for i in reversed(range(q)):
        pair[i, : i + 1] = pair[: i + 1, i] = row + np.arange(i + 1)
        row += i + 1
    rows, offset, groups = row, 0, []
    start = np.zeros((base + q, base + q), dtype=np.intp)  # place of the product z_a z_b with sensitivity 0

    def group(a: np.ndarray, b: np.ndarray, used: int) -> None:
        nonlocal offset
        start[a, b] = start[b, a] = offset + used * np.arange(len(a))
        groups.append((a, b, used))
        offset += len(a) * used

    group(*np.triu_indices(base), rows)
    for low in range(0, q, GROUP):
        chosen = [(a, base + l) for l in range(low, min(q, low + GROUP)) for a in range(base + l + 1)]
        a, b = np.array(chosen, dtype=np.intp).T
        group(a, b, rows - (low + 1) * (low + 2) // 2)  # pairs with a neuron above ``low``
    hidden, state = np.flatnonzero(unit >= n), np.flatnonzero(unit < n)
    neuron, seen = unit[hidden] - n, feature[hidden]
    return _Layout(
        groups=tuple(groups),
        entries=np.array(offset),
        hidden=hidden,
        state=state,
        hidden_hidden=start[np.ix_(seen, seen)] + pair[np.ix_(neuron, neuron)],
        state_hidden=start[np.ix_(feature[state], seen)] + unit[state][:, None] * q + neuron,
        state_row=unit[state],
        state_feature=feature[state],
        gradient=unit * (base + q) + feature,
    )


def normal_products(ren: ExplicitREN, samples: Samples, root: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(r ``(m, n)``, J'Rr ``(parameters,)``, J'J ``(parameters, parameters)``), not divided by m; R = ``root``."""
    n, q, k, m = ren.nx, ren.nv, ren.nu, len(samples)
    layout = _layout(n, q, k)
    features = n + k + 1 + q
    w = ren.equilibrium(samples.x, samples.v)
    r = samples.x @ ren.A.T + w @ ren.B1.T + samples.v @ ren.B2.T + ren.bx - samples.x_next
    root_weight = None if samples.weights is None else np.sqrt(samples.weights)
    slope = get_activation(ren.activation).slope(w)
    rb = root @ ren.B1
    rows = n * q + q * (q + 1) // 2
    products = np.zeros(int(layout.entries))
    moments = np.zeros((features, features))
    first_order = np.zeros((n + q, features))
    for low in range(0, m, PIECE):
        own = slice(low, min(m, low + PIECE))
        size = own.stop - low
        z = np.concatenate([samples.x[own].T, samples.v[own].T, np.ones((1, size)), w[own].T])
        rho = root @ r[own].T
        s = slope[own].T
        g = np.empty((q, n, size))
        for j in reversed(range(q)):
            g[j] = rb[:, j, None]
            if j + 1 < q:
                g[j] += (ren.D11[j + 1 :, j] @ g[j + 1 :].reshape(q - j - 1, n * size)).reshape(n, size)
            g[j] *= s[j]
        weighted = z
        if root_weight is not None:
            g *= root_weight[own]
            rho *= root_weight[own]
            weighted = z * root_weight[own]
        moments += weighted @ weighted.T
        first_order[:n] += (root.T @ rho) @ weighted.T
        first_order[n:] += np.einsum("jck,ck->jk", g, rho) @ z.T
        t = np.empty((rows, size))
        t[: n * q] = np.tensordot(root.T, g, axes=(1, 1)).reshape(n * q, size)
        if root_weight is not None:
            t[: n * q] *= root_weight[own]
        at = n * q
        for i in reversed(range(q)):
            target = t[at : at + i + 1]
            np.multiply(g[: i + 1, 0], g[i, 0], out=target)
            for c in range(1, n):
                target += g[: i + 1, c] * g[i, c]
            at += i + 1
        at = 0
        for a, b, used in layout.groups:
            block = products[at : at + len(a) * used].reshape(len(a), used)
            block += (z[a] * z[b]) @ t[:used].T
            at += len(a) * used
    hessian = np.empty((parameter_count(n, q, k),) * 2)
    hessian[np.ix_(layout.hidden, layout.hidden)] = products[layout.hidden_hidden]
    cross = products[layout.state_hidden]
    hessian[np.ix_(layout.state, layout.hidden)] = cross
    hessian[np.ix_(layout.hidden, layout.state)] = cross.T
    metric = root.T @ root
    hessian[np.ix_(layout.state, layout.state)] = (
        metric[np.ix_(layout.state_row, layout.state_row)] * moments[np.ix_(layout.state_feature, layout.state_feature)]
    )
    return r, first_order.reshape(-1)[layout.gradient], hessian


def normal_system(ren: ExplicitREN, samples: Samples, root: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What ``normal_products`` returns, by the quicker way for the size."""
    if ren.nx > 2 or (ren.nx == 2 and ren.nv >= STRUCTURED_FROM):
        return normal_products(ren, samples, root)
    r, jac = residual_and_jacobian(ren, samples, root)
    if samples.weights is not None:
        root_weight = np.tile(np.sqrt(samples.weights), ren.nx)
        r, jac = r * root_weight, jac * root_weight
    return r, jac @ r, jac @ jac.T
