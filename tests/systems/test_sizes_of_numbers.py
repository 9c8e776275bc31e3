"""Absurd numbers of a plant: each gets one clear error that names the signal and the bound, before any work, or works."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systems import InputError, Parameter, Signal, System, discretize, simulate
from systems.signals import LARGEST, NARROWEST, SMALLEST
from systems.toml_files import system_from_toml

PLANT = """
[states]
x = { range = [-1, 1] }
[inputs]
u = { range = [-1, 1] }
[parameters]
p = 1.0
[dynamics]
x = "-p*x + u"
[outputs]
y = { equation = "x", noise = 0.01 }
[sampling]
dt = 0.05
duration = 2
"""
RANGE, INPUT, NOISE = "x = { range = [-1, 1]", "u = { range = [-1, 1]", "noise = 0.01"
#: change of the plant -> words of the message
ABSURD = {
    "range beyond": (RANGE, "x = { range = [-1e160, 1e160]", "states.x.range is -1e+160; expected two finite numbers"),
    "range below": (RANGE, "x = { range = [-1e-160, 1e-160]", "from 1e-75 to 1e+75 in size; choose other units"),
    "denormal range": (RANGE, "x = { range = [0, 5e-324]", "states.x.range is 5e-324"),
    "width of rounding": (RANGE, "x = { range = [1.0, 1.0000000000000002]", "a width of at least 1e-09 of its ends"),
    "no width": (RANGE, "x = { range = [1, 1]", "states.x.range is [1, 1]; expected low < high"),
    "wrong order": (RANGE, "x = { range = [1, -1]", "states.x.range is [1, -1]; expected low < high"),
    "nan": (RANGE, "x = { range = [nan, 1]", "states.x.range is [nan, 1]"),
    "long integer": (RANGE, "x = { range = [-1, 1" + 80 * "0" + "]", "states.x.range is 1"),
    "integer beyond doubles": (RANGE, "x = { range = [-1, 1" + 400 * "0" + "]", "states.x.range is "),
    "date": (RANGE, "x = { range = [1979-05-27, 1]", "states.x.range is [datetime.date(1979, 5, 27), 1]"),
    "input range": (INPUT, "u = { range = [-1e160, 1e160]", "inputs.u.range is -1e+160"),
    "period": (RANGE, RANGE + ", period = 1e-300", "states.x.period is 1e-300; expected the period of the angle"),
    "noise beyond": (NOISE, "noise = 1e300", "outputs.y.noise is 1e+300; expected a finite number, zero or positive"),
    "noise below": (NOISE, "noise = 1e-300", "outputs.y.noise is 1e-300"),
    "parameter beyond": ("p = 1.0", "p = 1e308", "parameters.p.value is 1e+308; expected a finite number, zero or from"),
    "parameter below": ("p = 1.0", "p = 1e-308", "parameters.p.value is 1e-308"),
    "long integer parameter": ("p = 1.0", "p = 1" + 400 * "0", "parameters.p"),
    "dt below": ("dt = 0.05", "dt = 1e-300", "dt is 1e-300; expected a positive number of seconds, zero or from"),
    "dt beyond": ("dt = 0.05", "dt = 1e300", "dt is 1e+300"),
    "duration": ("duration = 2", "duration = 1e300", "duration is 1e+300"),
    "standstill": ("dt = 0.05", "dt = 1e-15", "in one sample no state of 'plant' moves by more than"),
    "coarse": ("dt = 0.05", "dt = 1e10", "nothing of its motion is left between two samples"),
    "memory": ("duration = 2", "duration = 1e12", " of 1e+12 s in samples of 0.05 s would take"),
    "coefficient": ('"-p*x + u"', '"-p*x + 1e200*u"', "the derivative of 'x' over the region is"),
    "output": ('"x"', '"1e200*x"', "the output of 'y' over the region is"),
    "small output": ('"x"', '"1e-200*x"', "the output of 'y' over the region is"),
    "overflow": ('"-p*x + u"', '"-exp(exp(exp(5*x)))"', "the derivative of x is not finite inside the region"),
    "empty name": ("[parameters]", '[parameters]\n"" = 1.0', "parameter name '': expected letters"),
    "long name": ("[parameters]", "[parameters]\n" + 100_000 * "a" + " = 1.0", "has 100000 characters; expected at most 100"),
    "escape in a name": ("[parameters]", '[parameters]\n"a\\u001b[31m" = 1.0', r"parameter name 'a\x1b[31m'"),
    "look-alike": ("[parameters]", '[parameters]\n"\u0445" = 1.0', "expected letters, digits and underscores"),
    "escape in a unit": (RANGE, RANGE + ', unit = "\\u001b[2J"', r"states.x.unit is '\x1b[2J'; expected a text"),
    "long unit": (RANGE, RANGE + ', unit = "' + 10_000 * "m" + '"', "at most 100 printable characters"),
    "escape in the name of the plant": ("[states]", 'name = "a\\u0007"\n[states]', r"name is 'a\x07'; expected a text"),
}  # fmt: skip


@pytest.mark.parametrize("case", ABSURD)
def test_absurd_numbers_and_names_are_refused_by_name(case):
    old, new, words = ABSURD[case]
    assert old in PLANT
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError) as caught:
            simulate(discretize(system_from_toml(PLANT.replace(old, new, 1), "plant.toml", "plant")), 4)
    assert words in str(caught.value) and len(str(caught.value)) < 1000 and "\x1b" not in str(caught.value)


def _system(**changes):
    options = {
        "name": "plant", "states": [Signal("x", "", (-1, 1))], "outputs": [Signal("y")],
        "dynamics": lambda x: [-x[0]], "output": lambda x: [x[0]], "dt": 0.1,
    }  # fmt: skip
    return System(**{**options, **changes})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Signal("x", "", (-math.inf, 1)), "signal 'x': range is -inf; expected two finite numbers"),
        (lambda: Signal("x", "", (0, 10**400)), "signal 'x': range is 1000"),
        (lambda: Signal("x", "", 3), "range is 3; expected two numbers"),
        (lambda: Signal("x", "", "ab"), "range is 'ab'; expected two numbers"),
        (lambda: Signal("x", "", ("a", 1)), "range is 'a'; expected two finite numbers"),
        (lambda: Signal("y", noise=10**400), "noise is 1000"),
        (lambda: Signal("y", noise=-1.0), "noise is -1.0; expected a finite number, zero or positive"),
        (lambda: Parameter(1e200), "parameter: value is 1e+200"),
        (lambda: _system(parameters={"p": math.nan}), "parameter 'p': value is nan; expected a finite number"),
        (lambda: _system(duration=10**400), "duration is 1000"),
        (lambda: discretize(_system(), dt=1e-300), "system 'plant': dt is 1e-300"),
        (lambda: discretize(_system(), dt=True), "dt is True"),
        (lambda: discretize(_wide(1000)), "has 1000 states; expected at most 100"),
        (lambda: discretize(_system(inputs=[Signal(f"u{k}", "", (-1, 1)) for k in range(1001)])), "has 1001 inputs; expected at most 1000"),
        (lambda: discretize(_system(kind="discrete", dynamics=lambda x: [1e200 * x[0]])), "next value of 'x' over the region is"),
    ],
)  # fmt: skip
def test_absurd_numbers_of_python_plants(make, words):
    with pytest.raises(InputError) as caught:
        make()
    assert words in str(caught.value)


def _wide(count):
    return _system(states=[Signal(f"x{k}", "", (-1, 1)) for k in range(count)], dynamics=lambda x: -x)


def test_numbers_of_numpy_are_numbers():
    low, high = np.array([-1.0, 2.0])
    assert Signal("x", "", (low, high)).range == (-1.0, 2.0) == Signal("x", "", np.array([-1, 2])).range


@settings(max_examples=40, deadline=None)
@given(st.floats(allow_nan=True, allow_infinity=True), st.floats(allow_nan=True, allow_infinity=True))
def test_every_range_that_is_taken_can_be_computed_with(low, high):
    try:
        low, high = Signal("x", "", (low, high)).range
    except InputError:
        return
    assert high - low >= NARROWEST * max(abs(low), abs(high)) and math.isfinite((high - low) ** 2)
    assert all(end == 0 or SMALLEST <= abs(end) <= LARGEST for end in (low, high))


@pytest.mark.parametrize("scale", [2 * SMALLEST, 1e-30, 1e30, LARGEST / 2])
def test_the_ends_of_the_sizes_work(scale):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plant = discretize(_system(states=[Signal("x", "", (-scale, scale))]))
        data = simulate(plant, 3, truth="reference")
    assert plant.error.max() < 1e-6 and np.abs(data.x).max() <= 10 * scale
