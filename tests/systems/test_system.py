"""Systems: the graph is the equations, survives storage, and every slip of a person is named."""

import json
import math

import casadi as ca
import numpy as np
import pytest

from systems import ALL_SYSTEMS, InputError, Parameter, Signal, System
from systems.evaluation import evaluate, jacobian, to_casadi
from systems.graph import Graph


def _system(**changes):
    options = {
        "name": "tank",
        "states": [Signal("level", "m", (0.1, 1.0))],
        "inputs": [Signal("inflow", "m^3/s", (0.0, 0.1))],
        "outputs": [Signal("y", "m")],
        "parameters": {"a": 0.01, "area": Parameter(0.3, "m^2")},
        "dynamics": lambda x, u, p: [(u[0] - p["a"] * np.sqrt(2 * 9.81 * x[0])) / p["area"]],
        "output": lambda x: [x[0]],
        "dt": 0.5,
    }
    return System(**{**options, **changes})


@pytest.mark.parametrize("name", ALL_SYSTEMS)
def test_evaluators_agree_with_casadi(name, rng):
    system = ALL_SYSTEMS[name]()
    low, high = system.state_ranges.T
    count = 50 if system.nx <= 10 else 5
    x = rng.uniform(low, high, (count, system.nx))
    u = rng.uniform(*system.input_ranges.T, (count, system.nu))
    p = system.parameter_values
    for graph in (system.dynamics, system.output, jacobian(system.dynamics, "x"), jacobian(system.output, "x")):
        reference = to_casadi(graph)
        expected = np.array([np.array(reference(0.0, a, b, p)) for a, b in zip(x, u, strict=True)]).reshape(
            count, *graph.shape
        )
        ours = evaluate(graph, t=np.zeros(1), x=x, u=u, p=p)
        np.testing.assert_allclose(ours, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", ALL_SYSTEMS)
def test_storage_keeps_the_plant_without_its_code(name):
    system = ALL_SYSTEMS[name]()
    again = System.from_data(json.loads(json.dumps(system.to_data())))
    assert again.fingerprint == system.fingerprint
    x = system.state_ranges[:, 1]
    u = system.input_ranges[:, 1]
    np.testing.assert_array_equal(again.derivative(x, u), system.derivative(x, u))


def test_parameters_stay_symbols():
    system = _system()
    double = system.with_parameters(area=0.6)
    np.testing.assert_allclose(double.derivative([0.5], [0.05]), system.derivative([0.5], [0.05]) / 2)
    assert double.parameters["area"].unit == "m^2"
    with pytest.raises(InputError, match="did you mean 'area'"):
        system.with_parameters(aera=1.0)


CHANGES = [
    ("states", "level", "initial", (0.2, 0.4)),
    ("inputs", "inflow", "excitation", "sine"),
    ("outputs", "y", "noise", 0.05),
]


@pytest.mark.parametrize(("what", "name", "field", "value"), CHANGES)
def test_a_changed_signal_leaves_the_rest_of_the_plant(what, name, field, value):
    system = _system()
    change = getattr(system, f"with_{what}")
    data = system.to_data()
    data[what][0][field] = value
    assert change(**{name: {field: value}}).fingerprint == System.from_data(data).fingerprint
    assert change().fingerprint == system.fingerprint
    with pytest.raises(InputError, match=f"has no {what[:-1]} '{name}s'; did you mean '{name}'"):
        change(**{f"{name}s": {field: value}})
    with pytest.raises(InputError, match=f"'{name}' has no field '{field}s' to change; did you mean '{field}'"):
        change(**{name: {f"{field}s": value}})


def test_three_forms_of_the_same_plant_agree():
    x, u, p = ca.SX.sym("x"), ca.SX.sym("u"), ca.SX.sym("p", 2)
    expression = (u - p[0] * ca.sqrt(2 * 9.81 * x)) / p[1]
    forms = [
        _system(),
        _system(dynamics=ca.Function("f", [x, u, p], [expression], ["x", "u", "p"], ["dx"])),
        _system(dynamics=expression, output=x, symbols={"x": x, "u": u, "p": p}),
    ]
    values = [form.derivative([0.4], [0.02])[0] for form in forms]
    np.testing.assert_allclose(values, values[0], rtol=1e-14)


def test_an_mx_function_is_expanded():
    x = ca.MX.sym("x", 1)
    system = _system(inputs=(), dynamics=ca.Function("f", [x], [-(x**2)], ["x"], ["dx"]))
    assert system.derivative([0.5])[0] == -0.25


MISTAKES = {
    "no states": ({"states": []}, "no states"),
    "no outputs": ({"outputs": []}, "no outputs"),
    "no range": ({"states": [Signal("level")]}, "state 'level' has no range"),
    "no input range": ({"inputs": [Signal("inflow")]}, "input 'inflow' has no range"),
    "dt zero": ({"dt": 0.0}, "dt is 0.0"),
    "dt nan": ({"dt": math.nan}, "dt is nan"),
    "wrong count": ({"dynamics": lambda x: [x[0], x[0]]}, "returns 2 values; expected 1"),
    "ten million values": ({"dynamics": lambda x: np.zeros(10**7)}, "dynamics returns 10000000 values; expected 1"),
    "name twice": ({"inputs": [Signal("level", "", (0, 1))]}, "the name of a state and of an input"),
    "same state twice": ({"states": [Signal("a", "", (0, 1)), Signal("a", "", (0, 1))]}, "'a' is used twice"),
    "bad kind": ({"kind": "hybrid"}, "expected one of continuous, discrete"),
    "not a function": ({"dynamics": 3}, "expected a function"),
    "nan at centre": ({"dynamics": lambda x: [np.sqrt(-1 - x[0])]}, "not a number at the middle of the region (level=0.55"),
    "role of a state": ({"states": [Signal("level", "", (0, 1), role="disturbance")]}, "roles are for inputs"),
    "not a signal": ({"states": ["level"]}, "expected Signal"),
    "casadi input name": ({"dynamics": ca.Function("f", [ca.SX.sym("z")], [ca.SX(1)], ["z"], ["o"])}, "input 'z' is unknown"),
    "mean free symbol": ({"dynamics": ca.SX.sym("q"), "symbols": {"x": ca.SX.sym("x")}}, "not in symbols"),
    "infinite constant": ({"dynamics": lambda x: [x[0] + np.inf]}, "must be finite"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name):
    changes, words = MISTAKES[name]
    with pytest.raises(InputError) as caught:
        _system(**changes)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


SIGNAL_MISTAKES = [
    ({"name": "1x"}, "not starting with a digit"),
    ({"name": "a b"}, "letters, digits"),
    ({"range": (1, 1)}, "low < high"),
    ({"range": (2, 1)}, "low < high"),
    ({"range": (0, math.nan)}, "finite"),
    ({"range": 3}, "two numbers"),
    ({"noise": -1.0}, "noise is -1.0"),
    ({"period": 0}, "period is 0"),
    ({"role": "secret"}, "known, disturbance"),
    ({"excitation": "wobble"}, "expected one of zero"),
    ({"range": (0, 2), "limits": (0, 1)}, "reaches outside limits"),
]


@pytest.mark.parametrize(("changes", "words"), SIGNAL_MISTAKES)
def test_signals_check_themselves(changes, words):
    with pytest.raises(InputError) as caught:
        Signal(**{"name": "x", "range": (0, 1), **changes})
    assert words in str(caught.value)


def test_unused_names_are_a_warning_not_an_error():
    system = _system(dynamics=lambda u: [u[0]])
    assert {"parameter 'a' is used by no equation", "parameter 'area' is used by no equation"} == set(system.unused)


def test_disturbances_are_not_known():
    system = _system(
        inputs=[Signal("inflow", "", (0, 1), role="disturbance"), Signal("v", "", (0, 1))],
        dynamics=lambda x, u: [u[0] - u[1]],
    )
    assert system.known.tolist() == [1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d["nodes"].append(["mul", 0, 99]),
        lambda d: d["nodes"].append(["system", 0]),
        lambda d: d["nodes"].append(["input", "x", 5]),
        lambda d: d["nodes"].append(["const", math.inf]),
        lambda d: d["outputs"].append(10_000),
        lambda d: d.pop("nodes"),
        lambda d: d.update(shape=[7]),
    ],
)
def test_damaged_graphs_are_refused(damage):
    data = _system().dynamics.to_data()
    damage(data)
    with pytest.raises(InputError):
        Graph.from_data(data)
