"""A plant that is known from its logs alone: the affine map that fits the logged transitions best.

    x[k+1] = A x[k] + B u[k] + c,    y[k] = C x[k] + D u[k] + e   for outputs without an equation

It limits how fast an observer can be, and gives the fit its initial network. The fit itself learns from the transitions, not from it.
"""

from collections.abc import Sequence
from dataclasses import replace

import casadi as ca
import numpy as np

from systems.angles import turning_states
from systems.base.errors import InputError
from systems.evaluation import symbols_of, to_casadi
from systems.system import System
from systems.trajectories import Trajectories


def learn_system(outline: System, plain: Sequence[bool], data: Trajectories) -> System:
    """The discrete :class:`System` that least squares finds in ``data``.

    ``outline`` : signals, and equations of those outputs that are not ``plain`` (one truth value per output).

    Raises :class:`InputError` when there are fewer complete transitions than unknowns, or when a state or an input never
    changes, so that nothing can be learned about it.
    """
    found = data.transitions()
    for k in turning_states(outline):
        raise InputError(
            f"state '{outline.states[k].name}' turns through, which is learned from no logs; write down its equations, or narrow its range "
            "below one period"
        )
    unknowns = outline.nx + outline.nu + 1
    if len(found) < 2 * unknowns:
        raise InputError(
            f"the logs hold {len(found)} complete transitions to learn from; expected at least {2 * unknowns} for "
            f"{outline.nx} states and {outline.nu} inputs"
        )
    scale = np.concatenate([np.ptp(outline.state_ranges, axis=1), np.ptp(outline.input_ranges, axis=1)])
    points = np.concatenate([found.x, found.u], axis=1)
    known = np.concatenate([np.ones(outline.nx, bool), np.isin(np.arange(outline.nu), outline.known)])
    still = known & (np.ptp(points, axis=0) < 1e-9 * scale)
    if still.any():
        name = (*outline.state_names, *outline.input_names)[int(np.argmax(still))]
        raise InputError(
            f"'{name}' never changes in the logs, so nothing can be learned about it; leave it out, or log more"
        )
    regressors = np.concatenate([points / scale, np.ones((len(points), 1))], axis=1)

    s = symbols_of(outline.dynamics)

    def affine(target: np.ndarray) -> ca.SX:
        rows = np.linalg.lstsq(regressors, target, rcond=None)[0].T
        slopes = rows[:, :-1] / scale
        nx = outline.nx
        return ca.DM(slopes[:, :nx]) @ s["x"] + ca.DM(slopes[:, nx:]) @ s["u"] + ca.DM(rows[:, -1])

    stated = ca.vertsplit(ca.densify(to_casadi(outline.output)(*s.values())))
    fitted = ca.vertsplit(affine(found.y))
    output = [fitted[k] if is_plain else stated[k] for k, is_plain in enumerate(plain)]
    return replace(
        outline,
        dynamics=ca.densify(affine(found.x_next)),
        output=ca.vertcat(*output),
        symbols=s,
        feedback=None,
        description=outline.description or f"Learned from {len(found)} logged transitions",
    )
