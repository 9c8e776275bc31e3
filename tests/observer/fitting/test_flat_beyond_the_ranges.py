"""A table that is flat beyond its points: motions that reach there are no reason to refuse an observer for the ranges."""

import numpy as np

from observer.fitting.decision import decide
from observer.fitting.options import FitOptions
from systems import Signal, System, discretize, simulate, table

EMPTY = ("settling_time", "contraction_rate", "iterations", "budget", "tolerance", "condition")


def plant(points):
    system = System(
        name="tank", states=[Signal("q", "", (0, 1), (0.3, 0.7))], inputs=[Signal("u", "", (-1, 1))], outputs=[Signal("y")],
        dynamics=lambda x, u: [0.02 * u[0]], output=lambda x: [table(x[0], points, [0.0, 0.8, 1.0])], dt=1.0,
    )  # fmt: skip
    return discretize(system)


def decided(plant):
    count, samples = 12, 60
    u = np.where(np.arange(count)[:, None, None] < 3, 1.0, 0.1) * np.ones((count, samples, 1))
    data = simulate(plant, x0=np.linspace(0.3, 0.7, count)[:, None], u=u, duration=samples - 1.0)
    return decide(
        plant,
        data,
        FitOptions(
            **(
                dict.fromkeys(EMPTY)
                | {"activation": "tanh", "solver": "auto", "dtype": "float64", "neurons": 2, "samples": 60}
            )
        ),
    )


def test_the_observer_is_for_the_ranges():
    found = decided(plant([0.0, 0.5, 1.0]))
    np.testing.assert_array_equal(found.region, [[0, 1]])
    assert "of 12 trajectories leave the ranges, and out there, near q=1" in found.warnings[0] and found.rate < 1
