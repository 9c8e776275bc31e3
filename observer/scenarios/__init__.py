"""What sensors and plants do to an observer in use: one small value per condition, applied to given trajectories.

A condition changes what is measured (``sense``) or what the plant does (``move``: simulated anew from the same starts and inputs,
while the observer keeps the nominal model). White noise of the stated size is always there but in ``Noiseless``. Sizes are
relative, so that one tuple serves every plant. The draws depend on seed and condition only: all observers meet the same.

To add one: a class in ``sensors`` or ``plants`` and an instance in ``CONDITIONS``.
"""

from observer.scenarios.plants import Disturbance, OtherInput, SineDisturbance, VeryWrongParameters, WrongParameters
from observer.scenarios.scenario import Condition
from observer.scenarios.sensors import (
    Bias,
    Delay,
    Dropouts,
    LouderNoise,
    Noise,
    Noiseless,
    Outliers,
    Quantisation,
    SinglePrecision,
    SlowSensor,
)
from systems.base.errors import InputError

#: In the order in which tables show them.
CONDITIONS: tuple[Condition, ...] = (
    Noiseless(), Noise(), LouderNoise(), Bias(), Outliers(), Quantisation(), Dropouts(), Delay(), SlowSensor(),
    SinglePrecision(), WrongParameters(), VeryWrongParameters(), Disturbance(), SineDisturbance(), OtherInput(),
)  # fmt: skip


def condition(name: str) -> Condition:
    """A condition of ``CONDITIONS`` by name. Raises :class:`InputError` for one that is not there."""
    for item in CONDITIONS:
        if item.name == name:
            return item
    raise InputError(f"condition is {name!r}; expected one of {', '.join(item.name for item in CONDITIONS)}")
