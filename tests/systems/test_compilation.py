"""Machine code of a plant does what the graph does, is cached, and survives a cache that is damaged or cannot be written."""

import subprocess
import sys

import casadi as ca
import numpy as np
import pytest

from systems import ALL_SYSTEMS, discretize, simulate
from systems import compilation as module
from systems.compilation import _TEXT, cache_folder, compile_graph, compile_times, source
from systems.evaluation import evaluate, from_casadi
from systems.graph import ARITY, Graph


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REN_OBSERVER_CACHE", str(tmp_path))
    compile_graph.cache_clear()
    yield
    compile_graph.cache_clear()


def test_every_operation_is_compiled_as_numpy_does_it(rng):
    assert set(_TEXT) == set(ARITY)
    nodes: list = [
        ("input", "x", 0),
        ("input", "x", 1),
        ("input", "u", 0),
        ("input", "p", 0),
        ("input", "t", 0),
        ("const", 0.5),
    ]
    for name, count in ARITY.items():
        nodes.append((name, *range(count)))
    count = len(nodes)
    graph = Graph((("t", 1), ("x", 2), ("u", 1), ("p", 1)), tuple(nodes), tuple(range(count)), (count,))
    out = np.empty(count)
    step = compile_graph(Graph(graph.inputs, graph.nodes, graph.outputs[:2], (2,))).module
    for _ in range(30):
        x, u, p = rng.uniform(-2, 2, 2), rng.normal(size=1), rng.normal(size=1)
        x[0] = abs(x[0]) if rng.random() < 0.5 else round(x[0])
        namespace: dict = {}
        exec(source(graph).replace("cache=True, ", ""), namespace)  # without numba's help: the plain text
        with np.errstate(all="ignore"):
            namespace["step"].py_func(0.3, x, u, p, out)
        np.testing.assert_allclose(out, evaluate(graph, t=[0.3], x=x, u=u, p=p), rtol=1e-12, atol=1e-12)
    assert step is not None


@pytest.mark.parametrize("name", ["van_der_pol", "pendulum", "box"])
def test_rollouts_agree_with_steps(name):
    plant = discretize(ALL_SYSTEMS[name]())
    data = simulate(plant, 7, 2.0, seed=3, excitation="walk")
    compiled = compile_graph(plant.graph)
    x = compiled.rollout(data.x[:, 0], data.u[:, :-1], plant.system.parameter_values, plant.dt)
    np.testing.assert_allclose(x, data.x, rtol=1e-11, atol=1e-12)


def test_threads_change_nothing(monkeypatch):
    plant = discretize(ALL_SYSTEMS["pendulum"]())
    data = simulate(plant, 9, 1.0, seed=3)
    compiled = compile_graph(plant.graph)
    arguments = (data.x[:, 0], data.u[:, :-1], plant.system.parameter_values, plant.dt)
    one = compiled.rollout(*arguments)
    monkeypatch.setattr(module, "_WORK_PER_THREAD", 1)
    monkeypatch.setattr(module.os, "cpu_count", lambda: 4)
    np.testing.assert_array_equal(compiled.rollout(*arguments), one)


def test_long_simulations_are_compiled_and_agree(monkeypatch):
    plant = discretize(ALL_SYSTEMS["van_der_pol"]())
    slow = simulate(plant, 3, 5.0, seed=1)
    monkeypatch.setattr("systems.discretization.worth_compiling", lambda graph, steps: True)
    np.testing.assert_allclose(simulate(plant, 3, 5.0, seed=1).x, slow.x, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("compiled", [True, None])
def test_a_long_step_is_compiled_as_a_loop_not_as_thousands_of_lines(monkeypatch, compiled):
    """Machine code of 64 substeps of a plant that switches took the compiler a minute and a gigabyte."""
    plant = discretize(ALL_SYSTEMS["van_der_pol"](), substeps=64)
    assert len(plant.graph.nodes) > 1_000
    x0, u = np.array([[1.0, 0.5]]), np.zeros((1, 5, plant.nu))
    stepped = plant.rollout(x0, u)
    monkeypatch.setattr("systems.discretization.worth_compiling", lambda graph, steps: True)
    monkeypatch.setattr("systems.discretization.compile_graph", lambda graph: pytest.fail("thousands of lines"))
    np.testing.assert_allclose(plant.rollout(x0, u, compiled=compiled), stepped, rtol=1e-13)


def test_the_cache_is_used_and_a_damaged_one_is_replaced():
    graph = discretize(ALL_SYSTEMS["pendulum"]()).graph
    first = compile_graph(graph)
    assert first.seconds > 0
    compile_graph.cache_clear()
    assert first.cached and compile_graph(graph).seconds == 0.0
    assert compile_times()[-2:] == ((first.seconds, True), (0.0, True))
    file = next(cache_folder().glob("plant_*.py"))
    file.write_text("raise SystemExit('tampered')\n")
    compile_graph.cache_clear()
    assert compile_graph(graph).module.rollout is not None
    assert "tampered" not in file.read_text()


def test_another_process_takes_the_machine_code_from_the_cache():
    code = (
        "from systems import discretize, pendulum; from systems.compilation import compile_graph;"
        "print(compile_graph(discretize(pendulum()).graph).seconds)"
    )
    first, second = (
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(2)
    )
    assert first > 0 and second == 0.0


def test_damaged_machine_code_is_made_again():
    graph = discretize(ALL_SYSTEMS["pendulum"]()).graph
    compile_graph(graph)
    for file in (cache_folder() / "__pycache__").glob("plant_*.nbc"):
        file.write_bytes(b"junk")
    compile_graph.cache_clear()
    again = compile_graph(graph)
    assert again.seconds > 0
    assert np.isfinite(again.rollout(np.ones((1, 2)), np.zeros((1, 5, 1)), np.array([9.81, 1.0, 0.2]), 0.02)).all()


def test_without_a_writable_cache(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("REN_OBSERVER_CACHE", str(tmp_path / "file"))
    x = ca.SX.sym("x", 1)
    names = [ca.SX.sym("t"), x, ca.SX.sym("u", 0), ca.SX.sym("p", 0)]
    graph = from_casadi(ca.Function("f", names, [0.5 * x], ["t", "x", "u", "p"], ["o"]))
    compiled = compile_graph(graph)
    assert compiled.seconds > 0 and not compiled.cached
    result = compiled.rollout(np.ones((1, 1)), np.zeros((1, 3, 0)), np.zeros(0), 1.0)
    np.testing.assert_allclose(result[0, :, 0], [1, 0.5, 0.25, 0.125])
