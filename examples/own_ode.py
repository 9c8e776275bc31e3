"""Your own ODE in Python, from the equations to a validated observer.

Two tanks, one above the other: a pump fills the upper one, it drains into the lower one, and only the lower level is
measured. How full is the upper tank? Run it with `python examples/own_ode.py`.
"""

import numpy as np

from observer import certify, fit, validate
from systems import Signal, System, discretize, simulate


def dynamics(x, u, p):
    """Torricelli: the outflow of a tank grows with the root of its level. Levels in m, flows in m^3/s."""
    upper, lower = x
    falling = p["hole"] * np.sqrt(2 * 9.81 * (upper + 0.05))
    leaving = p["hole"] * np.sqrt(2 * 9.81 * (lower + 0.05))
    return [(u[0] - falling) / p["area"], (falling - leaving) / p["area"]]


tanks = System(
    name="two tanks",
    states=[Signal("upper", "m", (0.1, 1.2)), Signal("lower", "m", (0.1, 1.2))],  # the operating region
    inputs=[Signal("pump", "m^3/s", (0.02, 0.05))],
    outputs=[Signal("level", "m")],
    parameters={"hole": 0.01, "area": 0.3},
    dynamics=dynamics,
    output=lambda x: [x[1]],
    dt=1.0,
)


def main(neurons: int = 4, iterations: int = 30, trials: int = 20) -> str:
    """Fit, certify, validate; returns the verdict."""
    plant = discretize(tanks)  # rk4, with its measured error
    data = simulate(plant, trajectories=20, duration=100.0, seed=0)
    fitted = fit(plant, data, neurons, iterations=iterations)
    proof = certify(fitted.observer, plant)  # from the matrices that are shipped
    check = validate(fitted.observer, plant, trials=trials, seed=1)  # against the ODE, integrated by an adaptive method
    print(f"errors shrink by the factor {proof.rate:.3f} per second, proved: {proof.holds}")
    for name, rms in zip(tanks.state_names, check.rms_error, strict=True):
        print(f"RMS error of {name}: {1000 * rms:.2f} mm")
    print("verdict:", check.verdict)
    return check.verdict


if __name__ == "__main__":
    main()
