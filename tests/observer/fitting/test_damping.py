"""The rule of the damped step: trusted where the prediction came true, damped where it did not, within its limits."""

import numpy as np
import pytest

from observer.fitting.result import Status
from observer.fitting.solvers.damping import DampingRule, Point


def test_the_damping_follows_how_well_the_gain_was_predicted():
    rule = DampingRule()
    well, fairly, badly = (rule.accepted(1.0, gain, 1.0) for gain in (0.9, 0.5, 0.1))
    assert well < fairly == 1.0 < badly < rule.after_refusal(1.0)
    assert rule.accepted(1.0, 1.0, 0.0) == badly  # nothing was predicted
    assert rule.after_refusal(rule.largest) == rule.largest
    assert rule.accepted(1 / rule.largest, 1.0, 1.0) == pytest.approx(1 / rule.largest)


def test_a_point_stalls_after_too_many_refusals_in_a_row_and_a_step_forgets_them():
    rule = DampingRule()
    point = Point(np.zeros(1), np.eye(1), np.ones(1), 1.0)
    for _ in range(rule.refusals):
        point = point.refuse(rule)
    assert point.done is None and point.refused == rule.refusals
    assert point.refuse(rule).done is Status.STALLED
    assert point.accept(1.0, point.theta, point.metric, point.multipliers, 0.5).refused == 0
