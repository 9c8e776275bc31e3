"""Whoever adds a scenario writes one function and one name: a toy is put through the whole contract."""

import numpy as np
import pytest
from scenario_contract import ScenarioContract

from observer import scenarios
from observer.scenarios import Scenario


def frozen_sensor(after=0.5):
    """The reading stands still from a share of the trial on."""

    def sense(y, model, rng):
        stuck, at = y.copy(), int(after * y.shape[1])
        stuck[:, at:] = y[:, at : at + 1]
        return stuck

    return Scenario("frozen_sensor", f"the reading stands still after {100 * after:g} % of the trial", sense)


@pytest.fixture(scope="module")
def scenario():
    with pytest.MonkeyPatch.context() as patch:
        found = frozen_sensor()
        patch.setattr(scenarios, "SCENARIOS", (*scenarios.SCENARIOS, found))
        yield found


class TestNewcomer(ScenarioContract):
    """The toy."""


def test_it_is_compared_like_the_others(scenario, oscillator):
    from experiments.compare.result import Settings
    from experiments.compare.run import compare

    settings = Settings(
        trials=3, duration=3.0, training=3, evaluations=1, truth="model", scenarios=("noise", scenario.name),
        estimators=("steady_kalman",),
    )  # fmt: skip
    found = compare(oscillator, settings, {}, report=lambda text: None)
    assert found.titles[scenario.name] == scenario.title
    scores = [found.table[name]["steady_kalman"].score for name in settings.scenarios]
    assert np.isfinite(scores).all() and scores[1] > 2 * scores[0]
