"""Simulation: one time axis, inputs within their ranges, limits and ranges watched."""

import os

import numpy as np
import pytest

from systems import InputError, Signal, SimulationError, System, Trajectories, discretize, simulate
from systems.excitations import excite
from systems.signals import EXCITATIONS


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "data.npz")
    with pytest.raises(InputError, match="no file"):
        Trajectories.load(tmp_path / "data.npz")


def test_rows_belong_together(plants):
    plant = plants["van_der_pol"]
    data = simulate(plant, 4, 1.0, seed=1)
    np.testing.assert_array_equal(data.y, plant.output(data.x, data.u))
    np.testing.assert_allclose(data.x[:, 1:], plant.step(data.x[:, :-1], data.u[:, :-1]), rtol=1e-13)
    pairs = data.transitions()
    np.testing.assert_allclose(plant.step(pairs.x, pairs.u), pairs.x_next, rtol=1e-13)
    assert len(pairs) == 4 * (len(data.t) - 1)


def test_transitions_skip_what_is_missing(plants):
    data = simulate(plants["pendulum"], 2, 0.2, seed=1)
    x = data.x.copy()
    x[0, 3, 1] = np.nan
    pairs = Trajectories(data.t, x, data.u, data.y, data.lengths).transitions()
    assert len(pairs) == 2 * (len(data.t) - 1) - 2  # the rows before and at the gap


@pytest.mark.parametrize("kind", EXCITATIONS)
def test_excitations_stay_in_range_and_are_reproducible(kind):
    signal = Signal("u", "V", (1.0, 3.0))
    draw = lambda: excite(signal, kind, 5, 400, 0.01, np.random.default_rng(2), time_scale=0.3)  # noqa: E731
    values = draw()
    assert values.shape == (5, 400)
    assert values.min() >= 1.0 - 1e-12 and values.max() <= 3.0 + 1e-12
    np.testing.assert_array_equal(values, draw())
    if kind == "zero":
        assert (values == 1.0).all()  # the end of the range nearest to 0
    elif kind == "constant":
        assert (values == values[:, :1]).all() and len(np.unique(values[:, 0])) == 5
    else:
        assert (np.ptp(values, axis=1) > 0.05).all()
    if kind in ("steps", "prbs", "walk"):
        assert (np.diff(values[:, :30], axis=1) == 0).all()  # held for the time scale


def test_drift_moves_at_every_sample_by_a_twentieth_of_the_range():
    """The published walk of the reaction-diffusion boundary: b+ = clip(b + 0.05 N(0, 1), 0, 1) on [0, 1]."""
    signal = Signal("b", "", (0.0, 1.0))
    values = excite(signal, "drift", 20, 1000, 0.02, np.random.default_rng(2), time_scale=0.4)
    inside = (values[:, :-1] > 0.2) & (values[:, :-1] < 0.8)  # where a move is not cut off
    moves = np.diff(values, axis=1)[inside]
    assert abs(np.std(moves) / 0.05 - 1) < 0.03 and abs(np.mean(moves)) < 2e-3
    assert (values == 0).any() and (values == 1).any()


def test_seeds_decide_everything(plants):
    plant = plants["box"]
    first, same, other = (simulate(plant, 3, 0.5, seed=s, noise=True) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.x, same.x)
    assert not np.array_equal(first.x, other.x)


def test_noise_has_the_stated_deviation(oscillator):
    clean, noisy = (simulate(oscillator, 60, seed=1, noise=n) for n in (False, True))
    np.testing.assert_array_equal(clean.x, noisy.x)
    assert abs(np.std(noisy.y - clean.y) / 0.01 - 1) < 0.05


def test_split_is_by_whole_trajectory(plants):
    data = simulate(plants["pendulum"], 10, 0.2, seed=1)
    rest, held = data.split(0.3, seed=0)
    assert len(rest) == 7 and len(held) == 3
    starts = {tuple(x) for x in data.x[:, 0]}
    assert {tuple(x) for x in rest.x[:, 0]} | {tuple(x) for x in held.x[:, 0]} == starts


def test_files_survive_and_damage_is_named(plants, tmp_path):
    data = simulate(plants["pendulum"], 2, 0.2, seed=1)
    data.save(tmp_path / "t.npz")
    again = Trajectories.load(tmp_path / "t.npz")
    np.testing.assert_array_equal(again.x, data.x)
    (tmp_path / "bad.npz").write_bytes((tmp_path / "t.npz").read_bytes()[:300])
    with pytest.raises(InputError, match="no trajectory file"):
        Trajectories.load(tmp_path / "bad.npz")
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def _integrator(**changes):
    options = {
        "name": "s",
        "states": [Signal("x", "m", (-1, 1))],
        "inputs": [Signal("u", "", (0.5, 1.0))],
        "outputs": [Signal("y")],
    }
    return System(**{**options, **changes}, dynamics=lambda x, u: [u[0]], output=lambda x: [x[0]], dt=0.1, duration=4.0)


def test_leaving_the_range_is_a_warning():
    data = simulate(discretize(_integrator()), 3)
    assert len(data.warnings) == 1 and "state 'x' is outside its range (-1, 1)" in data.warnings[0]
    assert data.reached[0, 1] > 1


def test_breaking_a_limit_is_an_error():
    plant = discretize(_integrator(states=[Signal("x", "m", (-1, 1), limits=(-1.5, 1.5))]))
    with pytest.raises(SimulationError, match=r"breaks its limits .* at t = .* from the initial state x="):
        simulate(plant, 3)


def test_ten_ranges_is_an_error():
    with pytest.raises(SimulationError, match="ten times its range"):
        simulate(discretize(_integrator()), 3, 60.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"trajectories": 0}, "trajectories is 0"),
        ({"duration": 0.0}, "duration is 0"),
        ({"excitation": "noise"}, "expected one of zero"),
        ({"excitation": {"v": "sine"}}, "unknown input 'v'"),
        ({"x0": np.zeros((2, 5))}, r"x0 has shape \(2, 5\)"),
        ({"u": np.zeros((1, 1, 1))}, "u has shape"),
        ({"truth": "guess"}, "truth is 'guess'; expected model or reference"),
    ],
)
def test_bad_arguments(arguments, words):
    with pytest.raises(InputError, match=words):
        simulate(discretize(_integrator()), **arguments)


def test_discrete_maps_simulate_as_they_are():
    system = System(
        name="map", kind="discrete", states=[Signal("x", "", (0, 1))], outputs=[Signal("y")],
        dynamics=lambda x: [3.2 * x[0] * (1 - x[0])], output=lambda x: [x[0]],
    )  # fmt: skip
    data = simulate(discretize(system), 2, 10, truth="reference")
    np.testing.assert_allclose(data.x[:, 1:], 3.2 * data.x[:, :-1] * (1 - data.x[:, :-1]))
    assert data.t[1] == 1.0


def test_the_former_name_of_the_reference_integrator_is_understood(plants):
    new, old = (simulate(plants["box"], 2, 0.5, truth=name) for name in ("reference", "oracle"))
    np.testing.assert_array_equal(new.x, old.x)
    assert np.abs(new.x - simulate(plants["box"], 2, 0.5).x).max() > 0
