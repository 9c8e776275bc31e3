"""Whoever adds an estimator writes one file and one name: a toy is put through the whole contract, tuned and compared."""

import sys

import numpy as np
import pytest
from estimator_contract import EstimatorContract

from observer import estimators
from observer.estimators.tuning import tune
from systems import simulate

TOY = '''
"""The model, moved towards each measurement by the least change of the state that explains a share of it."""

import numpy as np

from observer.estimators.gaussian import PlantEstimator
from observer.estimators.parameters import TuningParameter

LABEL = "nudging"


class Nudging(PlantEstimator):
    def __init__(self, plant, share):
        super().__init__(plant)
        self.share = share

    def step(self, state, u, y):
        u, y = self.signals(u, y)
        difference, _ = self.model.innovation(y, self.plant.output(state, u))
        scale = self.model.state_scale
        inverse = np.linalg.pinv(self.model.output_jacobian(state, u) * scale)
        move = self.share * scale * (inverse @ difference[..., None])[..., 0]
        return self.plant.step(self.model.clip(state + move), u)


def tuning_parameters(plant):
    return (TuningParameter("share", 0.5, 0.01, 1.0),)


def make(plant, share):
    return Nudging(plant, share)
'''


@pytest.fixture(scope="module")
def name(tmp_path_factory):
    """The file beside the others and its name in the tuple, for as long as these tests run."""
    folder = tmp_path_factory.mktemp("newcomer")
    (folder / "nudging.py").write_text(TOY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimators, "__path__", [*estimators.__path__, str(folder)])
        patch.setattr(estimators, "ESTIMATORS", (*estimators.ESTIMATORS, "nudging"))
        yield "nudging"
    sys.modules.pop("observer.estimators.nudging", None)


class TestNewcomer(EstimatorContract):
    """The toy."""


def test_it_is_tuned_and_compared_like_the_others(name, oscillator):
    from experiments.compare.result import Settings
    from experiments.compare.run import compare

    data = simulate(oscillator, 6, duration=3.0, seed=0, noise=True)
    found = tune(name, oscillator, data, evaluations=6)
    assert set(found.values) == {"share"} and np.isfinite(found.held_out)
    settings = Settings(
        trials=3,
        duration=1.5,
        training=3,
        evaluations=2,
        truth="model",
        scenarios=("noise",),
        estimators=("open_loop", name),
    )
    compared = compare(oscillator, settings, {}, report=lambda text: None)
    assert compared.names[name] == "nudging" and np.isfinite(compared.table["noise"][name].score)
