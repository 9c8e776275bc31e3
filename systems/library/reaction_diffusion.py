"""A reaction-diffusion equation on a line with one sensor in its middle: the published large example of REN observers.

    xi_t = D xi_zz + r xi (1 - xi) (xi - a),    0 <= z <= 10,    xi(0, t) = xi(10, t) = b(t),    y = xi(z_s, t)

51 nodes, dz = 0.2, explicit Euler steps of h = 0.1 dz^2 = 0.004 s, and five of them (0.02 s) per sample. The boundary is
overwritten at the end of each Euler step, so that the first of them still sees the previous b. Dimensionless throughout.
"""

import numpy as np

from systems.base.errors import InputError
from systems.library.facts import Facts
from systems.signals import Parameter, Signal
from systems.system import System

NODES, LENGTH = 51, 10.0
SPACING = LENGTH / (NODES - 1)
EULER_STEP = 0.004  # s: 0.1 SPACING^2
MIDDLE = NODES // 2  # zero-based

# Constant profiles at the roots of the reaction term, with the boundary held there.
FACTS = Facts(dimensionless=True, equilibria=tuple(((level,) * NODES, (level,)) for level in (0.0, 0.5, 1.0)))


def reaction_diffusion(substeps: int = 5, sensor: int = MIDDLE, *, name: str = "reaction_diffusion") -> System:
    """51 states, the boundary value b in [0, 1] as known input, one node measured. A discrete map.

    Source: arXiv 2306.12612 and 2104.05942, whose published simulators differ from their text: see
    :func:`systems.library.reaction_diffusion_parity.reaction_diffusion_parity`. ``substeps`` Euler steps make a sample;
    ``sensor`` is the zero-based node that is measured. In training data b is a random walk of 0.05 per sample, clipped.
    """
    if isinstance(substeps, bool) or not isinstance(substeps, int) or substeps < 1:
        raise InputError(f"substeps is {substeps!r}; expected a whole number, 1 or more (the published plant has 5)")
    if isinstance(sensor, bool) or not isinstance(sensor, int) or not 0 <= sensor < NODES:
        raise InputError(f"sensor is {sensor!r}; expected a node from 0 to {NODES - 1} (the middle is {MIDDLE})")

    def dynamics(x, u, p):  # type: ignore[no-untyped-def]
        for _ in range(substeps):
            inner = x[1:-1]
            diffusion = p["D"] * (x[:-2] - 2 * inner + x[2:]) / SPACING**2
            reaction = p["r"] * inner * (1 - inner) * (inner - p["a"])
            x = np.concatenate([u, inner + EULER_STEP * (diffusion + reaction), u])
        return x

    return System(
        name=name,
        kind="discrete",
        description=f"Reaction-diffusion on a line, node {sensor} of 0..{NODES - 1} measured, {substeps} Euler steps a sample",
        source="arXiv 2306.12612, 2104.05942",
        states=[Signal(f"xi_{k}", "", (0.0, 1.0)) for k in range(NODES)],
        inputs=[Signal("b", "", (0.0, 1.0), excitation="drift")],
        outputs=[Signal("xi_sensor", "", (0.0, 1.0))],
        parameters={
            "D": Parameter(1.0, "1/s", (0.8, 1.2)),
            "r": Parameter(0.5, "1/s", (0.4, 0.6)),
            "a": Parameter(0.5, "", (0.4, 0.6)),
        },
        dynamics=dynamics,
        output=lambda x: [x[sensor]],
        dt=round(substeps * EULER_STEP, 12), duration=round(2000 * substeps * EULER_STEP, 9),
    )  # fmt: skip
