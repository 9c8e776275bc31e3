"""A planar arm of two links hanging under gravity: joint angles measured, joint rates to be known."""

import numpy as np

from systems.library.facts import Facts, Invariant
from systems.signals import Parameter, Signal
from systems.system import System


def _energy(x: np.ndarray, p) -> np.ndarray:  # type: ignore[no-untyped-def]
    q1, q2, w1, w2 = np.moveaxis(x, -1, 0)
    l1, r1, r2 = p["l1"], p["l1"] / 2, p["l2"] / 2
    # Velocities of the two centres of mass, written down from the geometry and not from the mass matrix.
    first = (r1 * w1) ** 2
    across, along = l1 * w1 + r2 * (w1 + w2) * np.cos(q2), r2 * (w1 + w2) * np.sin(q2)
    kinetic = p["m1"] * first + p["m2"] * (across**2 + along**2)
    kinetic = kinetic + p["m1"] * l1**2 / 12 * w1**2 + p["m2"] * p["l2"] ** 2 / 12 * (w1 + w2) ** 2
    height = -p["m1"] * r1 * np.cos(q1) - p["m2"] * (l1 * np.cos(q1) + r2 * np.cos(q1 + q2))
    return 0.5 * kinetic + p["g"] * height


# Hanging; the upper arm level with the forearm hanging, where the shoulder carries (m1/2 + m2) g l1.
_LEVEL = (1.0 / 2 + 1.0) * 9.81 * 0.5
FACTS = Facts(
    equilibria=(((0.0, 0.0, 0.0, 0.0), (0.0, 0.0)), ((float(np.pi / 2), float(-np.pi / 2), 0.0, 0.0), (_LEVEL, 0.0))),
    invariants=(Invariant("energy without friction", _energy, {"c": 0.0}),),
)


def two_link_arm() -> System:
    """M(q) q'' + C(q, q') q' + G(q) + c q' = torque, y = q; uniform rods, q1 from hanging, q2 relative to the first link.

    M11 = a + 2 b cos q2, M12 = d + b cos q2, M22 = d; a = m1 l1^2/3 + m2 l1^2 + d, b = m2 l1 l2/2, d = m2 l2^2/3. Radians,
    newton metres. Source: Spong, Hutchinson, Vidyasagar, Robot Modeling and Control (2006), the planar elbow
    manipulator; sizes and friction are ours. Angles stay within
    less than one turn about hanging.
    """

    def dynamics(x, u, p):  # type: ignore[no-untyped-def]
        q1, q2, w1, w2 = x
        m1, m2, l1, l2 = p["m1"], p["m2"], p["l1"], p["l2"]
        d, b = m2 * l2**2 / 3, m2 * l1 * l2 / 2
        a = m1 * l1**2 / 3 + m2 * l1**2 + d
        m11, m12 = a + 2 * b * np.cos(q2), d + b * np.cos(q2)
        pull = m2 * p["g"] * l2 / 2 * np.sin(q1 + q2)
        whirl = b * np.sin(q2)
        t1 = u[0] - p["c"] * w1 + whirl * (2 * w1 + w2) * w2 - (m1 / 2 + m2) * p["g"] * l1 * np.sin(q1) - pull
        t2 = u[1] - p["c"] * w2 - whirl * w1**2 - pull
        determinant = m11 * d - m12**2
        return [w1, w2, (d * t1 - m12 * t2) / determinant, (m11 * t2 - m12 * t1) / determinant]

    return System(
        name="two_link_arm", description="Planar two-link arm hanging under gravity, both joint angles measured",
        source="Spong, Hutchinson, Vidyasagar (2006)",
        states=[
            Signal("shoulder", "rad", (-1.4, 1.4), initial=(-0.6, 0.6)),
            Signal("elbow", "rad", (-1.4, 1.4), initial=(-0.6, 0.6)),
            Signal("shoulder_rate", "rad/s", (-6.0, 6.0), initial=(-0.5, 0.5)),
            Signal("elbow_rate", "rad/s", (-11.0, 11.0), initial=(-0.5, 0.5)),
        ],
        inputs=[Signal("shoulder_torque", "N m", (-2.0, 2.0)), Signal("elbow_torque", "N m", (-0.5, 0.5))],
        outputs=[Signal("measured_shoulder", "rad"), Signal("measured_elbow", "rad")],
        parameters={
            "m1": Parameter(1.0, "kg", (0.8, 1.2)),
            "m2": Parameter(1.0, "kg", (0.8, 1.2)),
            "l1": Parameter(0.5, "m"),
            "l2": Parameter(0.5, "m"),
            "g": Parameter(9.81, "m/s^2"),
            "c": Parameter(0.2, "N m s/rad", (0.1, 0.3)),
        },
        dynamics=dynamics, output=lambda x: [x[0], x[1]], dt=0.01, duration=10.0,
    )  # fmt: skip
