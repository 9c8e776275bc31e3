"""Trajectories without noise, to which scenarios are applied."""

import pytest

from systems import simulate


@pytest.fixture(scope="module")
def clean(oscillator):
    return simulate(oscillator, 12, duration=6.0, seed=4)
