"""The powers of a polynomial form, and which of them are products of others."""

from functools import cache
from itertools import product
from typing import Any

import numpy as np


@cache
def make_basis(m: int, order: int) -> tuple[tuple[Any, ...], np.ndarray]:
    """``basis`` of the kernels for m variables up to total degree ``order``, and the exponents (powers, m)."""
    powers = [p for p in product(range(order + 1), repeat=m) if sum(p) <= order]
    powers.sort(key=lambda p: (sum(p), [-e for e in p]))
    places = {p: k for k, p in enumerate(powers)}
    degree = np.array([sum(p) for p in powers], dtype=np.int64)
    partners = np.array([(degree + d <= order).sum() for d in degree], dtype=np.int64)
    product_of = np.zeros((len(powers), len(powers)), dtype=np.int64)
    for a, p in enumerate(powers):
        for b in range(partners[a]):
            product_of[a, b] = places[tuple(i + j for i, j in zip(p, powers[b], strict=True))]
    square = np.array([places[tuple(2 * (i == j) for j in range(m))] for i in range(m)], dtype=np.int64)
    return (m, len(powers), degree, partners, product_of, square), np.array(powers, dtype=np.int64).reshape(
        len(powers), m
    )
