"""One update of Adam in one compiled pass over a parameter, denormals flushed."""

import numpy as np

from observer.networks.kernels.equilibrium.intrinsics import flush, restore


def adam_update(value, gradient, mean, square, rate, beta1, beta2, eps, steps):
    """Flat arrays: mean and square of the gradients, then value -= rate m^ / (sqrt(s^) + eps), steps counted from 1."""
    before = flush()
    number = value.dtype.type
    one, root = number(1), number(1 / np.sqrt(1 - beta2**steps))
    b1, b2, small, length = number(beta1), number(beta2), number(eps), number(rate / (1 - beta1**steps))
    for i in range(value.size):
        g = gradient[i]
        m = b1 * mean[i] + (one - b1) * g
        s = b2 * square[i] + (one - b2) * g * g
        mean[i], square[i] = m, s
        value[i] -= length * m / (np.sqrt(s) * root + small)
    restore(before)
