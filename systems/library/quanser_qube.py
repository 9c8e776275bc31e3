"""A rotary pendulum on a motor (the Quanser QUBE-Servo 2), hanging: both encoders measured, both rates to be known."""

import numpy as np

from systems.library.facts import Facts, Invariant
from systems.signals import Parameter, Signal
from systems.system import System


def _energy(x: np.ndarray, p) -> np.ndarray:  # type: ignore[no-untyped-def]
    _, angle, w, v = np.moveaxis(x, -1, 0)
    l = p["Lp"] / 2
    s, c = np.sin(angle), np.cos(angle)
    # A rod on a turning arm: centre of mass (radial, tangential, vertical) and rotation about it.
    radial, tangential, vertical = -w * l * s, p["Lr"] * w + l * c * v, l * s * v
    spin = p["mp"] * p["Lp"] ** 2 / 12 * (v**2 + (s * w) ** 2) + p["mr"] * p["Lr"] ** 2 / 12 * w**2
    return 0.5 * (p["mp"] * (radial**2 + tangential**2 + vertical**2) + spin) - p["mp"] * p["g"] * l * c


FACTS = Facts(
    equilibria=(
        ((0.0, 0.0, 0.0, 0.0), (0.0,)),
        ((0.7, 0.0, 0.0, 0.0), (0.0,)),
        ((0.0, float(np.pi), 0.0, 0.0), (0.0,)),
    ),
    invariants=(Invariant("energy without motor and friction", _energy, {"km": 0.0, "Dr": 0.0, "Dp": 0.0}),),
)


def quanser_qube() -> System:
    """Arm angle theta and pendulum angle alpha (from hanging) [rad], motor voltage V; y = (theta, alpha).

    (Jr + mp Lr^2 + J s^2) theta'' + mp Lr l c alpha'' + 2 J s c theta' alpha' - mp Lr l s alpha'^2 = tau - Dr theta'
    mp Lr l c theta'' + J alpha'' - J s c theta'^2 + mp g l s = -Dp alpha'

    s, c = sin, cos alpha; l = Lp/2, J = mp Lp^2/3, Jr = mr Lr^2/12, tau = km (V - km theta') / Rm. Source: Quanser QUBE-Servo 2
    courseware (data; the arm's inertia as there). The equations are Lagrange's with alpha from hanging, and keep the energy.
    """

    def dynamics(x, u, p):  # type: ignore[no-untyped-def]
        _, angle, w, v = x
        s, c = np.sin(angle), np.cos(angle)
        l = p["Lp"] / 2
        inertia = p["mp"] * p["Lp"] ** 2 / 3
        coupling = p["mp"] * p["Lr"] * l
        m11 = p["mr"] * p["Lr"] ** 2 / 12 + p["mp"] * p["Lr"] ** 2 + inertia * s**2
        m12 = coupling * c
        torque = p["km"] * (u[0] - p["km"] * w) / p["Rm"]
        t1 = torque - p["Dr"] * w - 2 * inertia * s * c * w * v + coupling * s * v**2
        t2 = -p["Dp"] * v + inertia * s * c * w**2 - p["mp"] * p["g"] * l * s
        determinant = m11 * inertia - m12**2
        return [w, v, (inertia * t1 - m12 * t2) / determinant, (m11 * t2 - m12 * t1) / determinant]

    return System(
        name="quanser_qube", description="Rotary pendulum on a motor (Quanser QUBE-Servo 2), both angles measured",
        source="Quanser QUBE-Servo 2 courseware",
        states=[
            Signal("arm", "rad", (-2.5, 2.5), initial=(-0.3, 0.3)),
            Signal("pendulum", "rad", (-1.5, 1.5), initial=(-0.6, 0.6)),
            Signal("arm_rate", "rad/s", (-20.0, 20.0), initial=(-1.0, 1.0)),
            Signal("pendulum_rate", "rad/s", (-20.0, 20.0), initial=(-1.0, 1.0)),
        ],
        inputs=[Signal("voltage", "V", (-0.8, 0.8), excitation="sine")],
        outputs=[Signal("measured_arm", "rad"), Signal("measured_pendulum", "rad")],
        parameters={
            "Rm": Parameter(8.4, "ohm"),
            "km": Parameter(0.042, "V s/rad"),
            "mr": Parameter(0.095, "kg"),
            "Lr": Parameter(0.085, "m"),
            "mp": Parameter(0.024, "kg"),
            "Lp": Parameter(0.129, "m"),
            "Dr": Parameter(0.0015, "N m s/rad", (0.0005, 0.0025)),
            "Dp": Parameter(0.0005, "N m s/rad", (0.0001, 0.0008)),
            "g": Parameter(9.81, "m/s^2"),
        },
        dynamics=dynamics, output=lambda x: [x[0], x[1]], dt=0.01, duration=10.0,
    )  # fmt: skip
