"""What all solvers share: the loop and its checkpoints on a toy method, the damping rule, the order of a race."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from observer.fitting.result import Status
from observer.fitting.solvers import checkpoints, loop
from observer.fitting.solvers.checkpoints import build, flatten
from observer.fitting.solvers.damping import DampingRule, Point
from observer.fitting.solvers.gauss_newton import turn
from observer.fitting.solvers.loop import Limits, Look, Monitor, drive


@dataclass(frozen=True, eq=False)
class Halved:
    """Halves ``x``; ``rng``, a record of every draw, shows whether a resumed run sees what an unbroken one does."""

    x: np.ndarray
    iteration: int = 0
    seen: tuple[float, ...] = ()
    points: tuple[Point, ...] = ()
    named: dict[str, np.ndarray] = field(default_factory=dict)
    done: Status | None = None
    scratch: Any = field(default=None, metadata={"stored": False})


class Halving:
    name, key, kind = "halving", "the problem", Halved

    def __init__(self, iterations: int = 12, interrupted_at: int = -1, within: float = 0.0) -> None:
        self.iterations, self.interrupted_at, self.within = iterations, interrupted_at, within

    def initial(self) -> Halved:
        return Halved(np.ones(2), points=(Point(np.zeros(1), np.eye(1), np.ones(1), 2.0),), named={"a.b": np.ones(3)})

    def step(self, state: Halved) -> Halved:
        if state.iteration == self.interrupted_at:
            raise KeyboardInterrupt
        x = state.x * (0.5 + 0.01 * np.random.default_rng(state.iteration).random())
        return replace(state, x=x, iteration=state.iteration + 1, seen=(*state.seen, float(x[0])), scratch=object())

    def finished(self, state: Halved) -> Status | None:
        return Status.ITERATION_LIMIT if state.iteration >= self.iterations else None

    def look(self, state: Halved) -> Look | None:
        loss = float(state.x[0])
        return Look("halving", state.iteration, self.iterations, loss, loss, 1.0, 0.9, within=loss < self.within)


@pytest.mark.parametrize("while_looking", [False, True])
def test_an_interruption_undoes_its_iteration_and_the_run_resumes_exactly(while_looking, tmp_path):
    whole = Monitor(Limits(12))
    ended, status = drive(Halving(), whole)
    assert status is Status.ITERATION_LIMIT and len(whole.rows) == 12

    def stop(progress) -> None:
        if while_looking and progress.iteration == 7:
            raise KeyboardInterrupt

    first = Monitor(Limits(12), stop, tmp_path / "c.npz")
    state, status = drive(Halving(interrupted_at=-1 if while_looking else 6), first)
    assert status is Status.INTERRUPTED and state.iteration == len(first.rows) == 6
    second = Monitor(Limits(12), None, tmp_path / "c.npz")
    resumed, status = drive(Halving(), second)
    assert status is Status.ITERATION_LIMIT and resumed.seen == ended.seen
    np.testing.assert_array_equal(second.history["loss"], whole.history["loss"])
    assert second.elapsed_before > 0


def test_a_checkpoint_of_another_problem_or_method_is_left_alone(tmp_path):
    drive(Halving(interrupted_at=6), Monitor(Limits(12), None, tmp_path / "c.npz"))
    for name in ("key", "name"):
        method = Halving(interrupted_at=2)
        setattr(method, name, "another")
        state, _ = drive(method, Monitor(Limits(12), None, tmp_path / "c.npz"))
        assert state.iteration == 2
        drive(Halving(interrupted_at=6), Monitor(Limits(12), None, tmp_path / "c.npz"))


def test_budget_and_tolerance_end_it():
    assert drive(Halving(), Monitor(Limits(12, budget=1e-9)))[1] is Status.BUDGET
    state, status = drive(Halving(within=0.2), Monitor(Limits(12)))
    assert status is Status.TOLERANCE and state.iteration == 3


def test_checkpoints_are_written_as_often_as_is_said(monkeypatch, tmp_path):
    written = []
    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(loop, "write_arrays", lambda path, **arrays: written.append(arrays))
    drive(Halving(), Monitor(Limits(12), None, tmp_path / "c.npz"))
    assert len(written) == 12 and "halving.scratch" not in written[0]


def test_a_state_comes_back_from_its_arrays():
    point = Point(
        np.arange(3.0), np.eye(2), np.ones(1), 0.1, losses=(3.0, 2.0), done=Status.STALLED, derivatives=object()
    )
    state = Halved(np.ones(2), 3, (), (point, replace(point, done=None)), {"a.b": np.zeros(1), "c": np.ones(2)})
    again = build(Halved, dict(flatten(state, "s")), "s")
    assert again.iteration == 3 and isinstance(again.iteration, int) and again.seen == () and again.done is None
    assert [p.done for p in again.points] == [Status.STALLED, None] and again.points[0].losses == (3.0, 2.0)
    assert again.points[0].derivatives is None and set(again.named) == {"a.b", "c"}
    np.testing.assert_array_equal(again.points[1].theta, point.theta)


def test_damping_follows_how_well_the_gain_was_predicted():
    rule = DampingRule()
    assert [rule.accepted(1.0, gain, 1.0) for gain in (0.9, 0.5, 0.1)] == [0.1, 1.0, 2.0]
    assert rule.accepted(1.0, 1.0, -1.0) == 2.0 and rule.after_refusal(1.0) == 4.0
    assert rule.accepted(1e-12, 1.0, 1.0) == 1e-12 and rule.after_refusal(1e12) == 1e12
    point = Point(np.zeros(1), np.eye(1), np.ones(1), 1.0)
    for _ in range(rule.refusals):
        point = point.refuse(rule)
    assert point.done is None and point.refuse(rule).done is Status.STALLED
    accepted = point.accept(0.5, point.theta, point.metric, point.multipliers, 0.9)
    assert accepted.refused == 0 and accepted.iteration == rule.refusals + 1


def test_a_point_has_converged_when_a_window_gained_little():
    point = Point(np.zeros(1), np.eye(1), np.ones(1), 1.0)
    for k in range(12):
        point = replace(point, loss=1.0 - 0.001 * k).judged(window=10, stall=0.98)
        assert (point.done is Status.CONVERGED) == (k >= 10)
    assert replace(point, done=None, loss=1e-30).judged().done is Status.CONVERGED


def test_a_race_drops_the_worse_half_and_drives_the_best_to_the_end():
    points = [Point(np.zeros(1), np.eye(1), np.ones(1), loss) for loss in (4.0, 3.0, 2.0, 1.0)]
    stages, order = [(4, 2), (2, 3), (1, 5)], []
    while (following := turn(points, stages)) is not None:
        number = following[0]
        order.append(number)
        points[number] = replace(
            points[number], iteration=points[number].iteration + 1, loss=points[number].loss - 0.01
        )
    assert order == [3, 3, 2, 2, 1, 1, 0, 0, 3, 2, 3, 3]
    points[3] = replace(points[3], iteration=0, done=Status.STALLED)
    assert turn(points, stages) is None


def test_a_damaged_checkpoint_costs_only_time(tmp_path):
    (tmp_path / "c.npz").write_bytes(b"PK damaged")
    assert checkpoints.load(tmp_path / "c.npz", "k", "n", Halved) is None
