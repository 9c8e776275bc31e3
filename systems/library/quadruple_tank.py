"""The quadruple tank: two pumps, four tanks, the levels of the lower two measured."""

import numpy as np

from systems.library.facts import Facts
from systems.signals import Parameter, Signal
from systems.system import System

EMPTY = 1e-3  # cm; below, the outflow of an empty tank is kept from the singular slope of the square root


def _equilibrium(v1: float, v2: float) -> tuple:
    """Levels from the flows: out of each tank runs what runs in, a sqrt(2 g h) = inflow."""
    into = np.array(
        [0.70 * 3.33 * v1 + 0.40 * 3.35 * v2, 0.60 * 3.35 * v2 + 0.30 * 3.33 * v1, 0.40 * 3.35 * v2, 0.30 * 3.33 * v1]
    )
    levels = (into / np.array([0.071, 0.057, 0.071, 0.057])) ** 2 / (2 * 981.0)
    return tuple(float(h) for h in levels), (v1, v2)


FACTS = Facts(equilibria=(_equilibrium(3.0, 3.0), _equilibrium(2.8, 3.2)))


def quadruple_tank() -> System:
    """A_i h_i' = -a_i sqrt(2 g h_i) + inflow_i; the lower tanks 1, 2 are fed by 3, 4 above them and by the pumps.

    h1: g1 k1 v1 + tank 3;  h2: g2 k2 v2 + tank 4;  h3: (1 - g2) k2 v2;  h4: (1 - g1) k1 v1;  y = kc (h1, h2). Levels in cm,
    pump voltages in V, level sensors of kc = 0.5 V/cm. Source: Johansson, IEEE Trans. Control Systems Technology 8(3), 2000,
    the minimum-phase setting of the valves; ``with_parameters(g1=0.43, g2=0.34)`` is the other.
    """

    def dynamics(x, u, p):  # type: ignore[no-untyped-def]
        out = [p[f"a{k}"] * np.sqrt(2 * p["g"] * np.maximum(h, EMPTY)) for k, h in enumerate(x, 1)]
        pump1, pump2 = p["k1"] * u[0], p["k2"] * u[1]
        return [
            (p["g1"] * pump1 + out[2] - out[0]) / p["A1"],
            (p["g2"] * pump2 + out[3] - out[1]) / p["A2"],
            ((1 - p["g2"]) * pump2 - out[2]) / p["A3"],
            ((1 - p["g1"]) * pump1 - out[3]) / p["A4"],
        ]

    ranges = {"h1": (6.0, 19.0), "h2": (6.0, 19.0), "h3": (0.6, 4.0), "h4": (0.5, 4.0)}
    starts = {"h1": (10.0, 15.0), "h2": (10.0, 15.0), "h3": (1.0, 2.5), "h4": (1.0, 2.5)}
    return System(
        name="quadruple_tank", description="Four coupled water tanks and two pumps, the lower two levels measured",
        source="Johansson (2000)",
        states=[Signal(name, "cm", ranges[name], initial=starts[name], limits=(0.0, 20.0)) for name in ranges],
        inputs=[Signal("v1", "V", (2.5, 3.5)), Signal("v2", "V", (2.5, 3.5))],
        outputs=[Signal("level_1", "V"), Signal("level_2", "V")],
        parameters={
            **{f"A{k}": Parameter(area, "cm^2") for k, area in enumerate((28.0, 32.0, 28.0, 32.0), 1)},
            **{f"a{k}": Parameter(hole, "cm^2") for k, hole in enumerate((0.071, 0.057, 0.071, 0.057), 1)},
            "k1": Parameter(3.33, "cm^3/(V s)", (3.0, 3.6)),
            "k2": Parameter(3.35, "cm^3/(V s)", (3.0, 3.6)),
            "g1": Parameter(0.70, "", (0.6, 0.8)),
            "g2": Parameter(0.60, "", (0.5, 0.7)),
            "g": Parameter(981.0, "cm/s^2"),
            "kc": Parameter(0.5, "V/cm"),
        },
        dynamics=dynamics, output=lambda x, p: [p["kc"] * x[0], p["kc"] * x[1]], dt=2.0, duration=600.0,
    )  # fmt: skip
