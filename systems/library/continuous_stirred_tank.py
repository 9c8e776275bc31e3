"""An exothermic reactor with a cooling jacket: the concentration, from a thermometer."""

import numpy as np

from systems.library.facts import Facts
from systems.signals import Parameter, Signal
from systems.system import System

HOUR = 3600.0  # s; rates are given per hour

# The three steady states of the source (8.564, 311.2), (5.518, 339.1), (2.359, 368.1), to rounding.
FACTS = Facts(
    equilibria=(
        ((8.563565609819378, 311.17099840842536), (298.0,)),
        ((5.517931134913703, 339.0971237475605), (298.0,)),
        ((2.358917104364103, 368.0628523969076), (298.0,)),
    )
)


def continuous_stirred_tank() -> System:
    """C' = F/V (C_f - C) - r, T' = F/V (T_f - T) + (-dH)/(rho cp) r - UA/(V rho cp) (T - T_j), r = k0 exp(-E/(R T)) C.

    Concentration C [kmol/m^3], temperature T [K] measured, jacket temperature T_j [K] as the input. Source: Bequette,
    Process Dynamics: Modeling, Analysis, and Simulation (1998), the module on diabatic stirred tanks, case 2: at
    T_j = 298 K three steady states, the middle one a saddle.
    """

    def dynamics(x, u, p):  # type: ignore[no-untyped-def]
        c, temperature = x
        rate = p["k0"] * np.exp(-p["E"] / (p["R"] * temperature)) * c
        return [
            (p["F_V"] * (p["C_f"] - c) - rate) / HOUR,
            (
                p["F_V"] * (p["T_f"] - temperature)
                + p["dH"] / p["rho_cp"] * rate
                - p["UA"] / p["rho_cp"] * (temperature - u[0])
            )
            / HOUR,
        ]

    return System(
        name="continuous_stirred_tank", source="Bequette (1998), diabatic stirred tanks, case 2",
        description="Exothermic stirred-tank reactor with a cooling jacket, temperature measured",
        states=[
            Signal("concentration", "kmol/m^3", (0.5, 9.5), initial=(2.0, 6.0), limits=(0.0, 10.0)),
            Signal("temperature", "K", (300.0, 410.0), initial=(320.0, 360.0), limits=(200.0, 600.0)),
        ],
        inputs=[Signal("jacket", "K", (293.0, 303.0))],
        outputs=[Signal("thermometer", "K")],
        parameters={
            "F_V": Parameter(1.0, "1/h", (0.9, 1.1)),
            "k0": Parameter(9703 * 3600.0, "1/h"),
            "E": Parameter(11843.0, "kcal/kmol"),
            "R": Parameter(1.987, "kcal/(kmol K)"),
            "dH": Parameter(5960.0, "kcal/kmol", (5500.0, 6500.0)),
            "rho_cp": Parameter(500.0, "kcal/(m^3 K)"),
            "UA": Parameter(150.0, "kcal/(m^3 K h)", (130.0, 170.0)),
            "C_f": Parameter(10.0, "kmol/m^3", (9.0, 11.0)),
            "T_f": Parameter(298.0, "K", (293.0, 303.0)),
        },
        dynamics=dynamics, output=lambda x: [x[1]], dt=30.0, duration=5 * HOUR,
    )  # fmt: skip
