"""How well a plant predicts y: free-run from an initial state that the first samples determine, and one step ahead by a Kalman filter.

    free-run   x_0 from the first quarter of a log, then y by the equations alone
    one-step   y_k - h(x_hat[k|k-1]) of an extended Kalman filter; its Q is the likeliest of :data:`MOTIONS`

States are not compared with anything: a log without them cannot say more than this.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from observer.calibration.filtering import filtered
from observer.calibration.shooting import Shooting
from observer.calibration.stretches import Stretch
from observer.calibration.whiteness import Whiteness, whiteness
from systems.angles import periods, wrap
from systems.discretization import DiscreteSystem

BEGIN = 0.25  # of a stretch: what determines its initial state
MOTIONS = (
    1e-6,
    1e-5,
    1e-4,
    1e-3,
    1e-2,
)  # of a half range per sample: the candidates for what the equations do not explain
ITERATIONS = 60
GUESS_MOTION = 0.01  # of a half range per sample: what the filter that guesses the states leaves to the equations


@dataclass(frozen=True, eq=False)
class Prediction:
    """Of each stretch after its beginning: measured y, free-run and one-step errors ``(N, ny)``; RMS of both ``(ny,)``.

    ``begin``: index of the first judged sample of each stretch. ``white``: of the one-step errors, by output."""

    stretches: tuple[Stretch, ...]
    begin: tuple[int, ...]
    free_run: tuple[np.ndarray, ...]
    one_step: tuple[np.ndarray, ...]
    free_run_rms: np.ndarray
    one_step_rms: np.ndarray
    white: tuple[Whiteness, ...]
    motion: float


def predict(plant: DiscreteSystem, stretches: Sequence[Stretch], motion: float) -> Prediction:
    """Predictions of ``plant``, whose outputs state their noise, along ``stretches``."""
    system, periodic = plant.system, periods(plant.system.outputs)
    deviation, none = np.array([signal.noise for signal in system.outputs]), np.zeros(0)
    begins = [max(2, round(BEGIN * len(s))) for s in stretches]
    heads = [replace(s, t=s.t[:b], u=s.u[:b], y=s.y[:b]) for s, b in zip(stretches, begins, strict=True)]
    problem = Shooting(plant, heads, ())
    z = problem.beginnings(filtered(problem, none, deviation, GUESS_MOTION).states)
    x0 = problem.solve(none, z, deviation, iterations=ITERATIONS).z[problem.first]
    one = filtered(Shooting(plant, stretches, ()), none, deviation, motion, x0).errors
    free = []
    for k, s in enumerate(stretches):
        with np.errstate(all="ignore"):
            x = plant.rollout(x0[k : k + 1], s.u[None, :-1])[0]
        free.append(wrap(s.y - system.measure(x, s.u, s.t), periodic))
    late = [np.concatenate([e[b:] for e, b in zip(part, begins, strict=True)]) for part in (free, one)]
    with np.errstate(all="ignore"):
        rms = [np.sqrt(np.nanmean(e**2, axis=0)) for e in late]
    white = tuple(whiteness([e[b:, i] for e, b in zip(one, begins, strict=True)]) for i in range(system.ny))
    return Prediction(tuple(stretches), tuple(begins), tuple(free), tuple(one), rms[0], rms[1], white, motion)
