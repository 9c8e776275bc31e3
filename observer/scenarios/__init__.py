"""What sensors and plants do to an observer in use: one value per scenario, applied to given trajectories.

A scenario changes what is measured (``sense``) or what the plant does (``move``: simulated anew from the same initial states and
inputs, while the observer keeps the nominal model). White noise of the stated size is always there but in ``noiseless``. Sizes are
relative, so that one tuple serves every plant. The draws depend on seed and scenario only: all observers meet the same.

To add one: a function that returns a :class:`Scenario`, and its value in ``SCENARIOS``.
"""

from observer.scenarios.plants import constant_disturbance, other_input, sine_disturbance, wrong_parameters
from observer.scenarios.scenario import Scenario
from observer.scenarios.sensors import (
    bias,
    delay,
    dropouts,
    louder_noise,
    noise,
    noiseless,
    outliers,
    quantisation,
    single_precision,
    slow_sensor,
)
from systems.base.errors import InputError

#: In the order in which tables show them.
SCENARIOS: tuple[Scenario, ...] = (
    noiseless(), noise(), louder_noise(), bias(), outliers(), quantisation(), dropouts(), delay(), slow_sensor(),
    single_precision(), wrong_parameters(), wrong_parameters(0.3, "parameters_30"), constant_disturbance(),
    sine_disturbance(), other_input(),
)  # fmt: skip


def get_scenario(name: str) -> Scenario:
    """A scenario of ``SCENARIOS`` by name. Raises :class:`InputError` for one that is not there."""
    for item in SCENARIOS:
        if item.name == name:
            return item
    raise InputError(f"scenario is {name!r}; expected one of {', '.join(item.name for item in SCENARIOS)}")
