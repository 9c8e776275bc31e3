"""An angle that is measured by its sine and its cosine, as one output.

    s = r sin(2 pi y/T),  c = r cos(2 pi y/T),  y = +-theta + zero        ->        y = T/(2 pi) atan2(s, c)

An angle that turns has to be measured as an angle (:mod:`systems.angles`). Two outputs that are its sine and cosine are that, once they
are put together; a deviation of r of either moves y by T/(2 pi) at most.
"""

from dataclasses import replace
from itertools import permutations

import casadi as ca
import numpy as np

from systems.angles import POINTS, SAME, turning_states, wrap
from systems.evaluation import symbols_of, to_casadi
from systems.regions import sample_region
from systems.signals import Signal
from systems.system import System


def with_angles(system: System) -> System:
    """The plant with every pair of outputs that are sine and cosine of an angle that turns replaced by one output, the angle.

    It is named after both (``s_c``), and :attr:`Signal.pair` says of which; logs are read from their columns.
    """
    turning = turning_states(system)
    if not len(turning) or system.ny < 2 or (system.feedback is not None and system.feedback.law.used("y")):
        return system
    box = np.concatenate([system.state_ranges, system.input_ranges])
    points = sample_region(box[:, 0], box[:, 1], POINTS, seed=0)
    x = points[:, : system.nx]
    y = system.measure(x, points[:, system.nx :])
    for i in turning.tolist():
        for j, k in permutations(range(system.ny), 2):
            if system.outputs[j].period is None and system.outputs[k].period is None:
                radius = float(np.median(np.hypot(y[:, j], y[:, k])))
                turn = float(system.states[i].period or np.nan) / (2 * np.pi)
                if radius > 0 and np.ptp(np.hypot(y[:, j], y[:, k])) <= SAME * radius:
                    angle = turn * np.arctan2(y[:, j], y[:, k])
                    for sign in (1.0, -1.0):
                        off = angle - sign * x[:, i]
                        if np.ptp(wrap(off - off[0], 2 * np.pi * np.array(turn))) <= SAME * turn:
                            return with_angles(_joined(system, i, (j, k), turn, sign, float(off[0]), radius))
    return system


def _joined(
    system: System, state: int, pair: tuple[int, int], turn: float, sign: float, zero: float, radius: float
) -> System:
    """The plant with outputs ``pair`` in one, at the place of the first of them in order."""
    s = symbols_of(system.output)
    rows = ca.vertsplit(ca.densify(to_casadi(system.output)(*s.values())))
    first, last = (system.outputs[k] for k in pair)
    noise = max(first.noise, last.noise) / radius * turn
    signal = Signal(
        f"{first.name}_{last.name}", system.states[state].unit, period=2 * np.pi * turn, noise=noise,
        pair=(first.name, last.name),
    )  # fmt: skip
    outputs: list[Signal] = []
    values = []
    for k, old in enumerate(system.outputs):
        if k == min(pair):
            outputs.append(signal)
            values.append(sign * s["x"][state] + zero)
        elif k not in pair:
            outputs.append(old)
            values.append(rows[k])
    return replace(system, outputs=outputs, output=ca.vertcat(*values), symbols=s)
