"""The compiled filters give the numbers of the NumPy ones: with missing outputs, angles, limits and unknown inputs."""

from types import SimpleNamespace

import numpy as np
import pytest
from linear_gaussian import drawn, linear_case, textbook

from observer.estimators import compiled, compiled_particles, make
from observer.estimators.extended_kalman import ExtendedKalman
from observer.estimators.kernels import gains, kalman, particles
from observer.estimators.kernels import plant as plant_kernels
from observer.estimators.parameters import Covariances
from observer.estimators.unscented_kalman import UnscentedKalman
from systems import Signal, System, discretize, simulate
from systems.trajectories import draw_initial_states

COMPILED = ("open_loop", "steady_kalman", "projection", "high_gain", "extended_kalman", "unscented_kalman", "particle")
# LAPACK knows the smallest eigenvalue of C M^-1 C' to a rounding of the largest one, and the projection divides by it.
CLOSE = {"projection": 1e-7}
VALUES = {"projection": {"relaxation": 0.6}}  # not at the default, where a kernel could forget it


@pytest.fixture(scope="module")
def swing():
    turn = 2 * np.pi
    system = System(
        name="swing",
        states=[
            Signal("angle", "rad", (-3.0, 3.0), initial=(-1.0, 1.0), period=turn),
            Signal("rate", "rad/s", (-4.0, 4.0), initial=(-1.0, 1.0), limits=(-4.1, 4.1)),
            Signal("lag", "", (-2.0, 2.0)),
        ],
        inputs=[Signal("wind", "", (-0.1, 0.3), role="disturbance"), Signal("torque", "", (-1.0, 1.0))],
        outputs=[Signal("y", "rad", noise=0.1, period=turn), Signal("z", "", noise=0.2)],
        parameters={"g": 4.0},
        dynamics=lambda x, u, p: [x[1], -p["g"] * np.sin(x[0]) - 0.3 * x[1] + u[0] + u[1], x[0] * x[1] - x[2]],
        output=lambda x, u: [x[0], x[2] * x[1] + 0.1 * u[1]],
        dt=0.05,
        duration=1.5,
    )
    return discretize(system, method="euler")  # a short graph is soon compiled


def interpreted(text, entry, warm):
    """The kernels run by Python itself, on the graphs as the text has them."""
    namespace: dict = {}
    exec("njit = lambda **options: lambda function: function\n" + text.replace("from numba import njit", ""), namespace)
    for name in ("step", "step_slope", "output", "output_slope", "slopes"):
        plant_kernels.plain[name] = namespace.get(name)
    module = SimpleNamespace(**vars(gains) | vars(kalman) | vars(particles))
    warm(module)
    return module, 0.0, False


@pytest.fixture(params=["interpreted", pytest.param("machine code", marks=pytest.mark.slow)])
def kernels(request, monkeypatch):
    """Every run goes through the kernels, by Python or (slow: a compiler takes seconds for each) as machine code."""
    monkeypatch.setattr(compiled, "WORTH", 0)
    if request.param == "interpreted":
        monkeypatch.setattr(compiled, "compile_text", interpreted)
    for module in (compiled, compiled_particles):
        module._compiled.cache_clear()
    yield
    for module in (compiled, compiled_particles):
        module._compiled.cache_clear()


@pytest.mark.parametrize("name", COMPILED)
def test_kernels_and_numpy_agree(name, swing, kernels, monkeypatch):
    data = simulate(swing, 6, seed=3)
    rng = np.random.default_rng(0)
    y = (
        data.y
        + 0.3 * rng.standard_normal(data.y.shape)
        + 2 * np.pi * np.array([1.0, 0.0]) * rng.integers(-1, 2, (6, 31, 1))
    )
    y = np.where(rng.random(y.shape) < 0.2, np.nan, y)
    starts = 2 * draw_initial_states(swing.system, 6, 5).reshape(2, 3, 3)
    u, y = data.u.reshape(2, 3, 31, 2), y.reshape(2, 3, 31, 2)
    assert compiled.serves(swing, np.eye(2), 1)
    fast = make(name, swing, **VALUES.get(name, {})).run(starts, u, y)
    monkeypatch.setattr(compiled, "WORTH", 10**9)
    slow = make(name, swing, **VALUES.get(name, {})).run(starts, u, y)
    assert np.isfinite(fast).all() and np.abs(fast - slow).max() < CLOSE.get(name, 1e-9)


@pytest.mark.parametrize("kind", [ExtendedKalman, UnscentedKalman])
def test_correlated_sensors_are_left_to_numpy(kind, monkeypatch):
    """One output after the other is the joint update only where R is diagonal."""
    plant, a, b, c, noise = linear_case()
    _, u, y, x_hat0 = drawn(a, b, c, noise, 10, 2, seed=4)
    coupled = Covariances(noise.q, noise.r + 0.01, noise.p0)
    monkeypatch.setattr(compiled, "WORTH", 0)
    assert compiled.serves(plant, noise.r, 1) and not compiled.serves(plant, coupled.r, 10**9)
    means, _ = textbook(a, b, c, coupled, x_hat0, u, y)
    assert np.abs(kind(plant, coupled).run(x_hat0, u, y) - means).max() < 1e-9


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_the_kernels_least_squares_are_the_pseudo_inverse(rank):
    """Also where a singular value is as good as zero, which must not be divided by."""
    rng = np.random.default_rng(rank)
    a = rng.standard_normal((4, rank)) @ rng.standard_normal((rank, 4)) + 1e-12 * rng.standard_normal((4, 4))
    b, solution = rng.standard_normal(4), np.empty(4)
    gains.least_squares(a.copy(), b, 1e-8, np.empty((4, 4)), solution)
    np.testing.assert_allclose(solution, np.linalg.pinv(a, rcond=1e-8) @ b, rtol=1e-8, atol=1e-8)
