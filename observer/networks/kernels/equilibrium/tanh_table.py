"""tanh(v) / v as a polynomial of degree 9 on each of 161 intervals of |v|: tanh without a division and without a long dependency chain.

In a rollout of one trajectory each neuron waits for the one before it, so that what counts is how long one tanh takes from
its argument to its value, not how many fit side by side. A look-up and ten coefficients in pairs take half of the time of exp.

    tanh(v) = v q(|v|),   q(a) = sum_k c_ik (a - i h)^k  for a within h/2 of i h,  h = 1/8;   1 from a = 20 on

q has no zero and is smooth at 0 (its nearest poles are +-i pi/2), so that the relative error is the same everywhere: 2 units in
the last place. Coefficients by interpolation at Chebyshev nodes in 40 decimal digits, then rounded.
"""

from decimal import Decimal, localcontext
from functools import cache

import numpy as np

STEPS_PER_UNIT = 8  # 1 / h
END = 20.0  # tanh is 1 in double precision
ROWS, COEFFICIENTS = (
    256,
    10,
)  # rows behind the last interval are never used: an index has eight bits, whatever the argument
_PI = Decimal("3.14159265358979323846264338327950288419716939937510")


@cache
def tanh_table() -> np.ndarray:
    """The coefficients c ``(ROWS, COEFFICIENTS)``, made once in a process within a few hundredths of a second."""
    table = np.zeros((ROWS, COEFFICIENTS))
    with localcontext() as context:
        context.prec = 40
        half = Decimal(1) / (2 * STEPS_PER_UNIT)
        nodes = [half * _cosine(_PI * (2 * k + 1) / (2 * COEFFICIENTS)) for k in range(COEFFICIENTS)]
        powers = [(2 * node).exp() for node in nodes]
        for i in range(round(END * STEPS_PER_UNIT) + 1):
            centre = Decimal(i) / STEPS_PER_UNIT
            power = (2 * centre).exp()
            table[i] = _interpolated(
                nodes, [_quotient(centre + n, power * p) for n, p in zip(nodes, powers, strict=True)]
            )
    table.setflags(write=False)
    return table


def _quotient(a: Decimal, power: Decimal) -> Decimal:
    """tanh(a) / a, with power = exp(2 a); no node is at a = 0."""
    return (power - 1) / (power + 1) / a


def _cosine(angle: Decimal) -> Decimal:
    total, term, k = Decimal(1), Decimal(1), 0
    while abs(term) > Decimal("1e-45"):
        k += 2
        term *= -angle * angle / (k * (k - 1))
        total += term
    return total


def _interpolated(nodes: list[Decimal], values: list[Decimal]) -> list[float]:
    """The coefficients, from the constant up, of the polynomial through the points: divided differences, then Horner."""
    differences = list(values)
    for order in range(1, len(nodes)):
        for k in range(len(nodes) - 1, order - 1, -1):
            differences[k] = (differences[k] - differences[k - 1]) / (nodes[k] - nodes[k - order])
    polynomial = [Decimal(0)] * len(nodes)
    for k in range(len(nodes) - 1, -1, -1):  # p <- p (t - node_k) + difference_k
        polynomial = [
            (polynomial[j - 1] if j else differences[k]) - nodes[k] * polynomial[j] for j in range(len(nodes))
        ]
    return [float(c) for c in polynomial]
