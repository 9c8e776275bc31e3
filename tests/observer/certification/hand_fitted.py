"""A nonlinear plant with an input, and an observer written down for it: small enough to be certified in part of a second."""

import numpy as np

from observer.certification.contraction import contraction_rate
from observer.networks.ren.explicit import ExplicitREN
from observer.scaling import Scaling
from observer.state_observer import RENObserver
from systems import Signal, System, discretize


def swing():
    """A damped pendulum that is pushed."""
    return discretize(
        System(
            name="swing",
            states=[Signal("angle", "rad", (-1.0, 1.0)), Signal("speed", "rad/s", (-1.0, 1.0))],
            inputs=[Signal("push", "N", (-0.5, 0.5))],
            outputs=[Signal("y", "rad")],
            dynamics=lambda x, u: [x[1], -np.sin(x[0]) - 0.5 * x[1] + u[0]],
            output=lambda x: [x[0]],
            dt=0.1,
            duration=4.0,
        ),
        method="rk4",
    )


def swinging_observer(plant):
    """Luenberger's, of the plant at rest, with two neurons that bend a little."""
    x, u = np.zeros((1, 2)), np.zeros((1, 1))
    A, B = (part[0] for part in plant.jacobian(x, u))
    L, B1 = np.array([[0.7], [0.9]]), np.array([[0.0, 0.0], [0.004, -0.003]])
    A = A - L @ np.array([[1.0, 0.0]])
    C1, D11 = np.array([[0.3, 0.1], [0.0, -0.2]]), np.array([[0.0, 0.0], [0.1, 0.0]])
    weights = ExplicitREN.with_identity_output(
        A, B1, np.hstack([B, L]), C1, D11, np.zeros((2, 2)), np.zeros(2), np.array([0.1, -0.1])
    )
    M = np.eye(2)
    for _ in range(300):
        M = np.eye(2) + A.T @ M @ A / 0.9**2
    multipliers = 0.1 * np.ones(2)
    rate = contraction_rate(weights, M, multipliers)
    scaling = Scaling(np.zeros(2), np.ones(2), np.zeros(2), np.ones(2))
    return RENObserver(weights, M, multipliers, min(rate * 1.01, 0.99), scaling, {}, plant)
