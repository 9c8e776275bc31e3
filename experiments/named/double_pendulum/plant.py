"""The double pendulum as a plant: two links on one axis after the other, both angles measured, friction in both joints and in the air.

    a th1'' + b cos(d) th2'' + b sin(d) w2^2 + g1 sin(th1) = -T1 - T2,      d = th1 - th2
    b cos(d) th1'' + c th2'' - b sin(d) w1^2 + g2 sin(th2) = T2 - drag2

Angles from the upright position, so that it hangs at pi; without a torque only ratios are seen, and a = 1. T1, T2: viscous and dry
friction of the joints. Source: Kaheman et al., arXiv 2209.08146 (the pendulum); its logs are of dynamicslab/MultiArm-Pendulum, MIT.
"""

import math

import numpy as np

from systems import Signal, System
from systems.signals import Parameter

PERIOD = 2 * math.pi
DT = 0.004
SMOOTH = 0.05  # rad/s, in which the dry friction changes sign
PARAMETERS = {
    "b": Parameter(0.3, "", (0.05, 0.8)),
    "c": Parameter(0.3, "", (0.05, 1.2)),
    "g1": Parameter(50.0, "1/s^2", (15.0, 150.0)),
    "g2": Parameter(15.0, "1/s^2", (2.0, 80.0)),
    "d1": Parameter(0.01, "1/s", (0.0, 0.2)),
    "d2": Parameter(0.005, "1/s", (0.0, 0.1)),
    "dry1": Parameter(0.05, "1/s^2", (0.0, 2.0)),
    "dry2": Parameter(0.02, "1/s^2", (0.0, 1.0)),
    "air1": Parameter(0.002, "", (0.0, 0.05)),
    "air2": Parameter(0.002, "", (0.0, 0.05)),
    "zero1": Parameter(0.0, "rad", (-0.05, 0.05)),
    "zero2": Parameter(0.0, "rad", (-0.05, 0.05)),
}


def double_pendulum(angle1=(1.9, 4.4), angle2=(1.2, 5.1), rate1=12.0, rate2=16.0) -> System:  # type: ignore[no-untyped-def]
    """The plant over ranges of the angles [rad] and rates up to so many rad/s."""

    def dynamics(x, p):  # type: ignore[no-untyped-def]
        th1, th2, w1, w2 = x
        s, c = np.sin(th1 - th2), np.cos(th1 - th2)
        joint = p["d2"] * (w1 - w2) + p["dry2"] * np.tanh((w1 - w2) / SMOOTH)
        t1 = -p["b"] * s * w2**2 + p["g1"] * np.sin(th1) - p["d1"] * w1 - p["dry1"] * np.tanh(w1 / SMOOTH) - joint
        t2 = p["b"] * s * w1**2 + p["g2"] * np.sin(th2) + joint
        t1, t2 = t1 - p["air1"] * w1 * np.abs(w1), t2 - p["air2"] * w2 * np.abs(w2)
        m12 = p["b"] * c
        determinant = p["c"] - m12**2
        return [w1, w2, (p["c"] * t1 - m12 * t2) / determinant, (t2 - m12 * t1) / determinant]

    return System(
        name="double_pendulum", description="A real double pendulum that swings freely, both angles measured",
        source="arXiv 2209.08146; data: dynamicslab/MultiArm-Pendulum",
        states=[
            Signal("theta1", "rad", angle1), Signal("theta2", "rad", angle2),
            Signal("omega1", "rad/s", (-rate1, rate1)), Signal("omega2", "rad/s", (-rate2, rate2)),
        ],
        outputs=[Signal("angle1", "rad"), Signal("angle2", "rad")], parameters=PARAMETERS,
        dynamics=dynamics, output=lambda x, p: [x[0] + p["zero1"], x[1] + p["zero2"]], dt=DT, duration=2.0,
    )  # fmt: skip
