"""A person's function on symbols: what NumPy users write works, what cannot be traced is refused by name."""

import math

import casadi as ca
import numpy as np
import pytest

from systems import InputError
from systems.evaluation import evaluate, from_casadi, jacobian
from systems.tracing import trace


def _graph(function, nx=2, nu=1, parameters=("k",)):
    symbols = {name: ca.SX.sym(name, size) for name, size in {"t": 1, "x": nx, "u": nu, "p": len(parameters)}.items()}
    expression = ca.densify(trace(function, symbols, list(parameters), "dynamics"))
    return from_casadi(ca.Function("f", list(symbols.values()), [expression], list(symbols), ["value"]))


def _matrix(x):
    return np.array([[2 + np.cos(x[0]), 0.3], [0.3, 1.0]])


FUNCTIONS = {
    "unpack": lambda x: [x[1], x[0] * x[1]],
    "slice and broadcast": lambda x: x[::-1] * 2.0 + np.array([1.0, -1.0]),
    "matrix": lambda x: np.array([[0.0, 1.0], [-2.0, -0.3]]) @ x,
    "dot and sum": lambda x: [np.dot(x, x), np.sum(x**2) + np.mean(x) + x.sum()],
    "where": lambda x: [np.where(x[0] > 0, np.sin(x[0]), x[1] ** 3), np.where((x[0] > 0) & (x[1] <= 0.5), 1.0, x[1])],
    "array where": lambda x: np.where(x > 0, x, 0.1 * x),
    "extrema": lambda x: [np.maximum(x[0], 0.0) + np.minimum(x[1], x[0]), np.clip(x[0], -0.5, 0.5) + np.max(x) - np.min(x)],
    "abs and sign": lambda x: [abs(x[0]) * np.sign(x[1]), np.abs(x[1]) + np.fabs(x[0])],
    "transcendental": lambda x: [np.exp(x[0]) + np.log(2 + x[1] ** 2) + np.sqrt(1 + x[0] ** 2),
                                 np.arctan2(x[0], 3.0) + np.tanh(x[1]) + np.hypot(x[0], x[1])],
    "remainder": lambda x: [x[0] % 0.7, np.floor(x[1]) + x[1] // 0.3],
    "filled array": lambda x: _filled(x),
    "object array": lambda x: np.sin(np.array([x[0], x[1]])) ** 2,
    "stack": lambda x: np.concatenate([x[1:], np.stack([x[0]])]),
    "in place": lambda x: _in_place(x),
    "solve": lambda x: np.linalg.solve(_matrix(x), x) + np.linalg.inv(np.diag(x) + 2 * np.eye(2)) @ x,
    "norm": lambda x: [np.linalg.norm(x), x[0] / (1 + np.linalg.norm(x))],
    "log10 square": lambda x: [np.log10(2 + x[0] ** 2), np.square(x[1]) + np.log2(3 + x[1] ** 2)],
}  # fmt: skip


def _filled(x):
    dx = np.zeros_like(x)
    dx[0] = x[1]
    dx[1] = -x[0]
    return dx


def _in_place(x):
    y = x * 1.0
    y *= 2.0
    a = x[0]
    a += y[1]
    return [a, y[0]]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_traced_functions_agree_with_numpy_on_numbers(name, rng):
    function = FUNCTIONS[name]
    graph = _graph(function)
    x = rng.normal(size=(40, 2))
    traced = evaluate(graph, t=np.zeros(1), x=x, u=np.zeros(1), p=np.ones(1))
    direct = np.array([np.asarray(function(row), dtype=float) for row in x])
    np.testing.assert_allclose(traced, direct, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_jacobians_are_slopes(name, rng):
    graph = _graph(FUNCTIONS[name])
    x, step = rng.normal(size=(5, 2)), 1e-6

    def value(graph, at):
        return evaluate(graph, t=np.zeros(1), x=at, u=np.zeros(1), p=np.ones(1))

    slopes = [(value(graph, x + e) - value(graph, x - e)) / (2 * step) for e in step * np.eye(2)]
    np.testing.assert_allclose(value(jacobian(graph, "x"), x), np.stack(slopes, axis=-1), rtol=1e-7, atol=1e-7)


def test_casadi_functions_inside_a_python_function():
    graph = _graph(lambda x, p: [ca.sin(x[0]) * p["k"], p.k * x[1]])
    np.testing.assert_allclose(evaluate(graph, t=np.zeros(1), x=[0.3, 2.0], u=[0.0], p=[4.0]), [4 * np.sin(0.3), 8.0])


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: [x[0] if x[0] > 0 else 0.0, x[1]], "np.where"),
        (lambda x: [max(x[0], 0.0), x[1]], "np.maximum"),
        (lambda x: [math.sin(x[0]), x[1]], "math"),
        (lambda x: [float(x[0]), x[1]], "np.sin for math.sin"),
        (lambda x: _into_floats(x), "zeros_like"),
        (lambda x, p: [p["kk"], x[1]], "did you mean 'k'"),
        (lambda x, w: [x[0], w], "argument 'w' is unknown"),
        (lambda x: None, "return"),
        (lambda x: ["a", x[0]], "returned 'a'"),
        (lambda x: {"a": x[0]}, "dict"),
        (lambda x: [x[5], x[0]], "IndexError"),
        (lambda x: np.linalg.inv(_matrix(x)) @ x, "np.linalg.solve"),
    ],
)
def test_what_cannot_be_traced_is_refused_by_name(function, words):
    with pytest.raises(InputError) as caught:
        _graph(function)
    assert words in str(caught.value)


def _into_floats(x):
    dx = np.zeros(2)
    dx[0] = x[1]
    return dx
