"""Periodic signals: which branch they are told on, which turn through, and what is refused of them."""

import numpy as np
import pytest

from systems import Signal, System, read_recordings
from systems.angles import Branches, angles, near, unwrapped

TURN = 2 * np.pi


def pendulum(output="theta", period=TURN, theta=(-np.pi, np.pi), restoring="sin(theta)", **more):
    """An angle and its speed; ``output`` and ``restoring`` are expressions of NumPy."""
    names = {"sin": np.sin, "cos": np.cos}
    return System(
        name="pendulum",
        states=[Signal("theta", "rad", theta, period=TURN), Signal("w", "rad/s", (-6.0, 6.0))],
        outputs=[Signal("y", period=period, **more)],
        dynamics=lambda x: [x[1], -5 * eval(restoring, names | {"theta": x[0]}) - 0.4 * x[1]],
        output=lambda x: [eval(output, names | {"theta": x[0], "w": x[1]})],
        dt=0.02,
    )


def test_near_leaves_what_is_near_to_the_bit_and_what_is_missing():
    values = np.array([[0.1, 3.0, 7.0], [np.nan, -3.0, 1e6]])
    moved = near(values, np.zeros(3), np.array([TURN, np.nan, 2.0]))
    assert moved[0, 0] == 0.1 and np.isnan(moved[1, 0])
    assert moved[:, 1].tolist() == [3.0, -3.0]
    assert (np.abs(moved[:, 2]) <= 1).all()


def test_unwrapped_is_the_loop_of_the_nearest(rng):
    truth = np.cumsum(rng.uniform(-2.9, 3.1, (4, 200, 1)), axis=1)
    told = np.mod(truth, TURN)
    found = unwrapped(told, truth[:, 0] + 0.5 - 3 * TURN, np.array([TURN]))
    np.testing.assert_allclose(found, truth - 3 * TURN, atol=1e-9)


@pytest.mark.parametrize(("output", "reading"), [("theta", 1.0), ("-theta + 1", -1.0), ("theta - 40", 1.0)])
@pytest.mark.parametrize("told", [lambda y: y, lambda y: np.mod(y, TURN), lambda y: np.mod(y + np.pi, TURN) - np.pi])
def test_a_measured_angle_is_read_on_any_branch(output, reading, told, rng):
    known = angles(pendulum(output))
    assert known.turning.tolist() == [0] and not known.fault
    x = np.stack([rng.uniform(-30, 30, 50), rng.uniform(-6, 6, 50)], axis=1)
    y = told(known.system.measure(x))
    assert known.reading[0, 0] == pytest.approx(reading)
    angle = near(known.angle(y), x[:, :1], known.turn)
    np.testing.assert_allclose(angle[:, 0], x[:, 0], atol=1e-9)
    turns = known.turns(angle)
    local = x - known.shift(turns)
    assert (np.abs(local[:, 0]) <= np.pi + 1e-9).all()
    np.testing.assert_allclose(known.outputs(y, angle - turns * TURN), known.system.measure(local), atol=1e-9)


@pytest.mark.parametrize(
    ("output", "theta"), [("theta", (1.64, 4.64)), ("1 - theta", (1.64, 4.64)), ("2*theta", (3.0, 4.0))]
)
def test_an_angle_that_does_not_turn_is_told_around_the_middle_of_its_range(output, theta, rng):
    known = angles(pendulum(output, theta=theta))
    assert not len(known.turning) and not known.fault
    x = np.stack([rng.uniform(*theta, 50), rng.uniform(-6, 6, 50)], axis=1)
    y = known.system.measure(x)
    for turns in (-7, -1, 0, 3):
        np.testing.assert_allclose(known.outputs(y + turns * TURN, np.zeros((50, 0))), y, atol=1e-9)
        np.testing.assert_allclose(known.states(x + np.array([turns * TURN, 0])), x, atol=1e-9)
        np.testing.assert_allclose(known.initial(x + np.array([turns * TURN, 0])), x, atol=1e-9)


def test_two_joints_in_degrees_measured_as_they_hang_on_each_other(rng):
    joints = [Signal(name, "deg", (-100.0, 260.0), period=360.0) for name in ("a", "b")]
    system = System(
        name="arm",
        states=[*joints, Signal("w", "deg/s", (-90.0, 90.0))],
        outputs=[Signal("first", period=360.0), Signal("second", period=360.0), Signal("again", period=360.0)],
        dynamics=lambda x: [x[2], -x[2], -x[2]],
        output=lambda x: [x[0] + 5, x[0] + x[1], -x[1]],
        dt=0.1,
    )
    known = angles(system)
    assert known.turning.tolist() == [0, 1] and not known.fault
    x = np.stack([rng.uniform(-900, 900, 60), rng.uniform(-900, 900, 60), rng.uniform(-90, 90, 60)], axis=1)
    y = np.mod(system.measure(x), 360)
    angle = near(known.angle(y), x[:, :2] + rng.uniform(-100, 100, (60, 2)), known.turn)
    np.testing.assert_allclose(angle, x[:, :2], atol=1e-6)
    turns = known.turns(angle)
    np.testing.assert_allclose(known.outputs(y, angle - turns * 360), system.measure(x - known.shift(turns)), atol=1e-6)


def test_an_encoder_that_counts_turns_needs_no_period():
    known = angles(pendulum("theta", period=None))
    assert known.output_periods[0] == pytest.approx(TURN) and not known.fault


def test_a_range_of_several_turns_is_one_turn():
    assert pendulum(theta=(-20.0, 10.0)).state_ranges[0] == pytest.approx((-5 - np.pi, -5 + np.pi))


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        ({"restoring": "theta"}, "the equations are not the same after a turn of 'theta'"),
        ({"output": "sin(theta)", "period": None}, "no output measures it as an angle: add one such as"),
        ({"output": "theta + 0.1*w"}, "no output measures it as an angle"),
        ({"output": "2*theta"}, "one period of the output"),
        ({"output": "theta**2"}, "by another amount in each turn"),
        ({"output": "5*theta", "theta": (0.0, 2.0)}, "swings through more than its period"),
    ],
)
def test_what_cannot_be_followed_is_said(plant, words):
    known = angles(pendulum(**plant))
    assert words in known.fault + known.ambiguous and not len(known.turning)


def test_pieces_of_a_log_go_on_where_the_one_before_ended(rng):
    known = pendulum()
    truth = np.cumsum(rng.uniform(0, 3, 300))
    x = np.stack([np.mod(truth, TURN), np.zeros(300)], axis=1)
    x[40:43, 0] = np.nan
    whole = Branches(known).states(x)
    pieces = Branches(known)
    parts = [pieces.states(x[a:b]) for a, b in ((0, 41), (41, 42), (42, 300))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    good = np.isfinite(whole[:, 0])
    assert np.abs(np.diff(whole[good, 0] - truth[good]))[~(np.diff(np.flatnonzero(good)) > 1)].max() < 1e-9


def test_a_wrapped_log_is_the_plain_one(tmp_path):
    system = pendulum(theta=(1.64, 4.64))
    t = 0.02 * np.arange(100)
    theta = 3.1 + np.sin(4 * t)
    found = []
    for turned in (theta, np.mod(theta + np.pi, TURN) - np.pi):
        rows = "\n".join(
            f"{a!r},{b!r},{c!r}" for a, b, c in zip(t.tolist(), turned.tolist(), theta.tolist(), strict=True)
        )
        (tmp_path / "log.csv").write_text(f"t,y,w\n{rows}\n")
        log = read_recordings(tmp_path / "log.csv", system, 0.017, columns={"theta": "y"}, required=("outputs",))
        found.append(log)
        assert not log.warnings
    np.testing.assert_allclose(found[1].y, found[0].y, atol=1e-9)
    np.testing.assert_allclose(found[1].x, found[0].x, atol=1e-9)
