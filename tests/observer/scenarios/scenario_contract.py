"""What every scenario keeps to: one suite, for the family and for whoever joins it."""

import numpy as np

from observer.scenarios import get_scenario


class ScenarioContract:
    """A test file with a fixture ``scenario`` inherits this."""

    def test_it_is_found_by_its_name_and_says_what_happens(self, scenario):
        assert scenario.title and get_scenario(scenario.name) is scenario

    def test_the_same_seed_gives_the_same_and_nothing_is_changed_in_place(self, scenario, oscillator, clean):
        before = [a.copy() for a in (clean.x, clean.u, clean.y)]
        first, again = (scenario.apply(oscillator, clean, seed=2, truth="model") for _ in range(2))
        for name in ("x", "u", "y"):
            assert np.array_equal(getattr(first, name), getattr(again, name), equal_nan=True)
            assert getattr(first, name).shape == getattr(clean, name).shape
        assert all(np.array_equal(a, b) for a, b in zip(before, (clean.x, clean.u, clean.y), strict=True))

    def test_it_changes_sensors_or_plant_and_not_what_the_observer_knows(self, scenario, oscillator, clean):
        found = scenario.apply(oscillator, clean, seed=2, truth="model")
        if scenario.move is None or scenario.name == "float32":
            assert np.array_equal(found.x, clean.x)
        else:
            assert np.array_equal(found.x[:, 0], clean.x[:, 0])  # the same initial states, then another motion
            assert np.abs(found.x - clean.x).max() > 1e-3
        if scenario.name not in ("float32", "other_input"):
            assert np.array_equal(found.u, clean.u)
