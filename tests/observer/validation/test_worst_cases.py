"""Worst initial states and the convergence map against the closed form of a linear error, and their storage.

For a linear plant and a constant gain e[k] = Phi^k e0, whose entries over a box of first errors are largest at corners:
max |e_i[k]| = sum_j |Phi^k|_ij w_j. No search may exceed that, and a good one comes close.
"""

from pathlib import Path

import numpy as np
import pytest

from observer.state_observer import StateObserver
from observer.validation.worst_cases import (
    WorstCaseStudy,
    chosen_states,
    map_convergence,
    study_worst_cases,
    worst_initial_states,
)
from observer.validation.worst_cases.search import maximise
from observer.validation.worst_cases.trials import settled_after, settling_grade
from systems import InputError, Signal, System, discretize

TURN = np.array([[0.96, 0.25, 0.0], [-0.25, 0.96, 0.1], [0.0, 0.0, 0.9]])
GAIN, DURATION = np.array([[0.3], [0.05], [0.02]]), 3.0


class Luenberger(StateObserver):
    """x_hat+ = F(x_hat, u) + L (y - C x_hat)."""

    def __init__(self, plant):
        self.plant = plant

    def init(self, x_hat0):
        return np.array(x_hat0, dtype=float)

    def step(self, state, u, y):
        return self.plant.step(state, u) + (y - state[..., :1]) @ GAIN.T

    def estimate(self, state):
        return state


@pytest.fixture(scope="module")
def linear():
    system = System(
        name="chain",
        kind="discrete",
        states=[Signal(n, "", (-4.0, 4.0), initial=(-1.0, 1.5)) for n in ("a", "b", "c")],
        inputs=[Signal("u", "", (-1.0, 1.0)), Signal("d", "", (0.1, 0.3), role="disturbance")],
        outputs=[Signal("y")],
        dynamics=lambda x, u: [
            TURN[0, 0] * x[0] + TURN[0, 1] * x[1],
            TURN[1, 0] * x[0] + TURN[1, 1] * x[1] + TURN[1, 2] * x[2] + 0.1 * u[0] + 0 * u[1],
            TURN[2, 2] * x[2] + 0.05 * u[0],
        ],
        output=lambda x: [x[0]],
        dt=0.05,
    )
    plant = discretize(system)
    observer = Luenberger(plant)
    phi = TURN - GAIN @ np.array([[1.0, 0.0, 0.0]])
    steps = round(DURATION / plant.dt) + 1
    powers = [np.eye(3)]
    for _ in range(steps - 1):
        powers.append(phi @ powers[-1])
    return plant, observer, np.array(powers)


@pytest.mark.parametrize("spread", [1.0, 2.0])
def test_the_search_finds_the_corner_that_theory_gives_and_random_starts_do_not(linear, spread):
    plant, observer, powers = linear
    found = worst_initial_states(observer, plant, DURATION, 600, spread=spread)
    half = 1.25 * (1 + spread)  # of x_hat0 - x0 over both boxes
    largest = (np.abs(powers) @ np.full(3, half)).max(axis=1) / 8
    late = found["late"]
    exact = largest[30:].max()
    assert 0.995 * exact < late.value <= exact * (1 + 1e-12)
    assert 0.6 * exact < late.random < 0.97 * exact and late.ratio == late.value / late.random > 1.02
    settling = found["settling"]
    last = np.flatnonzero(largest > 0.02)[-1]
    assert last <= settling.value / plant.dt + 1 and settling.value / plant.dt < last + 1
    assert settling.value > settling.random
    # What is reported is what the start does.
    e0 = late.x_hat0 - late.x0
    np.testing.assert_allclose(late.error, powers @ e0, atol=1e-10)
    assert (np.abs(late.x0 - 0.25) <= 1.25 + 1e-12).all() and (
        np.abs(late.x_hat0 - 0.25) <= 1.25 * spread + 1e-12
    ).all()
    assert late.u[1] == pytest.approx(0.2) and -1 <= late.u[0] <= 1  # the disturbance is nobody's to choose


def test_the_map_is_the_closed_form(linear):
    plant, observer, powers = linear
    found = map_convergence(observer, plant, DURATION, 7, states=(2, 0))
    assert found.settling.shape == (7, 7) and found.first[0] == -4 and found.second[-1] == 4
    for i, j in ((0, 0), (3, 5), (6, 1)):
        e0 = np.array([0.25 - found.second[j], 0.0, 0.25 - found.first[i]])
        curve = np.abs(powers @ e0).max(axis=1) / 8
        assert found.late[i, j] == pytest.approx(curve[30:].max(), rel=1e-9)
        last = np.flatnonzero(curve > 0.02)[-1]
        part = np.log(curve[last] / 0.02) / np.log(curve[last] / curve[last + 1])
        assert found.settling[i, j] == pytest.approx(plant.dt * (last + part), rel=1e-9)
    assert found.settled_share == 1.0


def test_grades_tell_which_is_worse_even_where_nothing_settles():
    k = np.arange(40)
    slow, slower, never, ever_worse = (np.exp(-r * k) for r in (0.5, 0.3, 0.02, 0.01))
    within, less = np.full(40, 0.01), np.full(40, 0.005)
    grades = settling_grade(np.stack([less, within, slow, slower, never, ever_worse]))
    assert (np.diff(grades) > 0).all()
    after = settled_after(np.stack([less, slow, never]))
    assert after[0] == 0 and after[1] == pytest.approx(np.log(50) / 0.5, rel=1e-9) and np.isinf(after[2])


def test_the_strategies_follow_a_crooked_valley():
    """A rotated ill-conditioned bowl in six dimensions: random points of equal number stay far from the top."""
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((6, 6)))[0]
    scale = np.array([1, 2, 4, 8, 16, 32.0])

    def goal(z):
        return -np.sum(((z - 0.4) @ turn * scale) ** 2, axis=1)

    _, top = maximise(goal, 6, 3000, np.random.default_rng(0))
    assert top > -1e-3 > goal(np.random.default_rng(0).uniform(size=(3000, 6))).max() * 1e-2


def test_the_search_stays_in_the_box_and_leaves_no_trace(tmp_path, monkeypatch, capfd):
    """Same seed, same result; NumPy's own state, the console and the folder are as before; a lost point is never the best."""
    monkeypatch.chdir(tmp_path)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    seen = []

    def goal(z):
        seen.append(z)
        return np.where(z[:, 0] > 0.7, -np.inf, z[:, 0] - (z[:, 1] - 0.5) ** 2)

    (first, top), again = (maximise(goal, 3, 400, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, again[0]) and top == again[1]
    points = np.concatenate(seen)
    assert points.min() >= 0 and points.max() <= 1 and 0.69 < top <= 0.7
    assert len(points) <= 2 * 400
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    assert not list(tmp_path.iterdir()) and capfd.readouterr() == ("", "")


def test_a_study_of_an_earlier_version_is_read():
    found = WorstCaseStudy.load(Path(__file__).parents[2] / "data" / "starts_format_1.npz")
    assert set(found.worst) == {"settling", "late"} and found.map.states == (0, 1)
    told = found.metrics(("x1", "x2"), ("u",))
    assert told["worst_start"]["settling"]["value"] == pytest.approx(found.worst["settling"].value)
    assert found.worst["late"].error.shape == (121, 2) and found.map.settling.shape == (11, 11)


def test_a_study_is_kept_in_a_file_and_its_numbers_are_told(linear, tmp_path):
    plant, observer, _ = linear
    found = study_worst_cases(observer, plant, DURATION, trials=40, seed=3)
    found.save(tmp_path / "starts.npz")
    again = WorstCaseStudy.load(tmp_path / "starts.npz")
    assert again.map.states == (0, 1) and np.isnan(again.residual)
    np.testing.assert_array_equal(again.map.settling, found.map.settling)
    np.testing.assert_array_equal(again.worst["late"].error, found.worst["late"].error)
    told = again.metrics(("a", "b", "c"), ("u", "d"))
    assert told["worst_start"]["settling"]["value"] == found.worst["settling"].value
    assert told["map"]["states"] == ["a", "b"] and set(told["worst_start"]["late"]["x0"]) == {"a", "b", "c"}
    assert worst_initial_states(observer, plant, DURATION, 40, seed=3)["late"].value == found.worst["late"].value
    (tmp_path / "starts.npz").write_bytes(b"no such thing")
    with pytest.raises(InputError, match=r"is no study of worst cases .* `observer validate`"):
        WorstCaseStudy.load(tmp_path / "starts.npz")


def test_states_of_the_map_are_chosen_by_name():
    assert chosen_states(("a", "b", "c"), None) == (0, 1) and chosen_states(("a", "b", "c"), "c, a") == (2, 0)
    assert chosen_states(("a",), None) == (0,)
    with pytest.raises(InputError, match="map names 'd'; expected 2 of the states a, b, c"):
        chosen_states(("a", "b", "c"), "a,d")
    with pytest.raises(InputError, match="map is 'a'; expected two states, as a,b"):
        chosen_states(("a", "b", "c"), "a")


def test_unusable_arguments_are_named(linear):
    plant, observer, _ = linear
    with pytest.raises(InputError, match="trials is 5; expected a whole number, 20 or more"):
        worst_initial_states(observer, plant, DURATION, 5)
    with pytest.raises(InputError, match=r"duration is 0\.05 s; expected at least three samples"):
        worst_initial_states(observer, plant, 0.05, 50)
    with pytest.raises(InputError, match=r"window begins at 9 s; expected a time within the trial of 3 s"):
        worst_initial_states(observer, plant, DURATION, 50, window=9)
