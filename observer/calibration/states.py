"""The states that logs do not hold, by the equations: initial states are estimated, and the motion from there is what explains y best."""

from dataclasses import replace

import numpy as np

from observer.calibration.filtering import filtered
from observer.calibration.prediction import GUESS_MOTION
from observer.calibration.shooting import Shooting
from observer.calibration.stretches import stretches_of
from observer.known_plant import KnownPlant
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.trajectories import BY_EQUATIONS, Trajectories

ITERATIONS = 100
MISFIT = 3.0  # times the stated noise: residuals that say that the parameters are not right
CLOSED = 1e-6  # of a half range


def estimated_states(plant: DiscreteSystem, data: Trajectories) -> Trajectories:
    """``data`` with x ``(K, N, nx)`` of the motion of ``plant`` that explains u and y best, and a warning that says so.

    nan where an input is missing, before the first measurement and after the last. Raises :class:`InputError` where no motion of the
    equations follows the logs.
    """
    system, none = plant.system, np.zeros(0)
    stretches = stretches_of(data, system)
    deviation = KnownPlant(plant).output_noise
    problem = Shooting(plant, stretches, ())
    guess = problem.beginnings(filtered(problem, none, deviation, GUESS_MOTION).states)
    found = problem.solve(none, guess, deviation, iterations=ITERATIONS)
    if not np.isfinite(found.cost) or found.gap > CLOSED:
        raise InputError(
            f"no motion of '{system.name}' follows the logs, which hold no states ({found.message}); are parameters and units right? "
            "`observer calibrate` finds parameters, and a log with states needs none of this"
        )
    states, errors = problem.along(found.p, found.z)
    x = np.full_like(data.x, np.nan)
    for item, values in zip(stretches, problem.by_stretch(states), strict=True):
        first = int(np.flatnonzero(data.t == item.t[0])[0])
        x[item.log, first : first + len(item)] = values
    level = np.sqrt(np.nanmean(errors**2, axis=0))
    said = [
        "the logs hold no states: those of the motion of the equations that explains the outputs best take their place, and states are not "
        "compared with anything"
    ]
    for signal, size in zip(system.outputs, level, strict=True):
        if signal.noise and size > MISFIT * signal.noise:
            said.append(
                f"along the logs, output '{signal.name}' is off the equations by {size:.3g} (RMS), {size / signal.noise:.3g} times the "
                "stated noise; `observer calibrate` finds better parameters"
            )
    return replace(data, x=x, source=f"{BY_EQUATIONS}, {data.source}", warnings=(*data.warnings, *said))
