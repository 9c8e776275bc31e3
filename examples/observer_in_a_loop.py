"""An observer inside a control loop: a mass on a spring is brought to rest by feedback of a speed that is not measured.

The controller u = -K x needs position and velocity. The sensor gives the position only, so the loop closes over the
observer's estimate, whose initial error is large. Run it with `python examples/observer_in_a_loop.py`.
"""

import numpy as np
from scipy.linalg import solve_discrete_are

from observer import fit
from systems import discretize, mass_spring_damper, simulate


def main(steps: int = 120) -> dict[str, float]:
    """Close the loop; returns the distance from rest, without control, with the true state, and with the estimate."""
    plant = discretize(mass_spring_damper())
    data = simulate(plant, trajectories=10, duration=10.0, seed=0)
    # The plant is linear, so that a linear observer (no neurons) is enough. It must be faster than the loop.
    observer = fit(plant, data, neurons=0, settling_time=0.8).observer

    a, b = (jacobian[0] for jacobian in plant.jacobian(np.zeros((1, 2)), np.zeros((1, 1))))
    cost = solve_discrete_are(a, b, np.diag([10.0, 1.0]), np.eye(1))
    gain = np.linalg.solve(np.eye(1) + b.T @ cost @ b, b.T @ cost @ a)  # LQR

    left = {}
    for feedback in ("none", "true state", "estimate"):
        x, x_hat = np.array([1.0, 0.5]), np.zeros(2)  # the observer does not know where the mass is
        for _ in range(steps):
            state = {"none": np.zeros(2), "true state": x, "estimate": x_hat}[feedback]
            u = np.clip(-gain @ state, -1, 1)
            y = plant.output(x, u)
            # Both lines use u and y of this sample, and give the state of the next one.
            x_hat = observer.step(x_hat, u, y)
            x = plant.step(x, u)
        left[feedback] = float(np.linalg.norm(x))
        print(f"feedback of {feedback:<10}: {1000 * left[feedback]:8.3f} mm from rest after {steps * plant.dt:g} s")
    return left


if __name__ == "__main__":
    main()
