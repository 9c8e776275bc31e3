"""A linear plant from A, B, C, D, in Python and in TOML."""

import numpy as np
import pytest

from systems import InputError, Signal, System
from systems.toml_files import outline_from_toml, system_from_toml

A, B, C, D = [[0.0, 1.0], [-2.0, -0.5]], [[0.0], [1.0]], [[1.0, 0.0]], [[0.1]]
SIGNALS = {
    "states": [Signal("q", "m", (-1, 1)), Signal("w", "m/s", (-1, 1))], "inputs": [Signal("u", "N", (-1, 1))],
    "outputs": [Signal("y", "m")], "name": "mass", "dt": 0.1,
}  # fmt: skip
TOML = """
[states]
q = { range = [-1, 1], unit = "m" }
w = { range = [-1, 1], unit = "m/s" }
[inputs]
u = { range = [-1, 1], unit = "N" }
[linear]
A = [[0, 1], [-2, -0.5]]
B = [[0], [1]]
C = [[1, 0]]
D = [[0.1]]
[outputs]
y = { unit = "m" }
[sampling]
dt = 0.1
"""


@pytest.mark.parametrize("kind", ["continuous", "discrete"])
def test_matrices_are_the_plant(kind, rng):
    text = TOML.replace("[outputs]", f"discrete = {str(kind == 'discrete').lower()}\n[outputs]")
    x, u = rng.normal(size=(9, 2)), rng.normal(size=(9, 1))
    for system in (System.linear(A, B, C, D, kind=kind, **SIGNALS), system_from_toml(text, "mass.toml", "mass")):
        assert system.kind == kind and system.nx == 2
        np.testing.assert_allclose(system.derivative(x, u), x @ np.array(A).T + u @ np.array(B).T, atol=1e-15)
        np.testing.assert_allclose(system.measure(x, u), x @ np.array(C).T + u @ np.array(D).T, atol=1e-15)


def test_what_may_be_left_out():
    system = System.linear(A, B, C, **SIGNALS)
    np.testing.assert_array_equal(system.measure([0.5, 0], [1]), [0.5])
    system = System.linear(A, None, C, **{**SIGNALS, "inputs": []})
    np.testing.assert_array_equal(system.derivative([1, 0]), [0, -2])
    assert outline_from_toml(TOML, "mass.toml") is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("B = [[0], [1]]", "B = [[0, 1]]", "mass.toml: linear: B is 1 x 2; expected 2 x 1, a row for each state, a column for each input"),
        ("C = [[1, 0]]", "C = [[1, 0], [0]]", "linear: C is no matrix of numbers; expected 1 rows of 2"),
        ("C = [[1, 0]]", "", "linear.C is missing; expected a matrix"),
        ("D = [[0.1]]", "E = 1", "key linear.E is unknown"),
        ("[linear]", '[definitions]\na = "q"\n[linear]', "both linear and definitions are given"),
        ('y = { unit = "m" }', 'y = "q"', "outputs.y has an equation beside the matrix C"),
    ],
)  # fmt: skip
def test_what_is_no_plant(old, new, words):
    assert old in TOML
    with pytest.raises(InputError) as error:
        system_from_toml(TOML.replace(old, new), "mass.toml")
    assert words in str(error.value), str(error.value)
