"""The reaction-diffusion plant against its published scheme, written down independently as a plain loop."""

import numpy as np
import pytest

from systems import InputError, discretize, reaction_diffusion, reaction_diffusion_parity, simulate
from systems.library.reaction_diffusion_parity import PUBLISHED_SENSORS


def _published(profile, boundary, euler_steps):
    """Explicit Euler on 51 nodes; the ends are overwritten by b after every step."""
    profile = profile.copy()
    for _ in range(euler_steps):
        before = profile.copy()
        for k in range(1, 50):
            curvature = (before[k - 1] - 2 * before[k] + before[k + 1]) / 0.04
            profile[k] = before[k] + 0.004 * (curvature + 0.5 * before[k] * (1 - before[k]) * (before[k] - 0.5))
        profile[0] = profile[50] = boundary
    return profile


@pytest.mark.parametrize(("factory", "euler_steps"), [(reaction_diffusion, 5), (reaction_diffusion_parity, 4)])
def test_one_sample_is_the_published_scheme(factory, euler_steps, rng):
    plant = discretize(factory())
    x, b = rng.uniform(0, 1, 51), rng.uniform(0, 1, 1)
    np.testing.assert_allclose(plant.step(x, b), _published(x, b[0], euler_steps), atol=1e-14)
    assert np.isclose(plant.dt, 0.004 * euler_steps)


def test_the_parity_plant_stops_one_euler_step_early(rng):
    correct, parity = discretize(reaction_diffusion()), discretize(reaction_diffusion_parity())
    x, b = rng.uniform(0, 1, 51), np.array([0.3])
    single = discretize(reaction_diffusion(substeps=1))
    np.testing.assert_allclose(single.step(parity.step(x, b), b), correct.step(x, b), atol=1e-14)


def test_sensors():
    x = np.arange(51.0)
    assert reaction_diffusion().measure(x, [0.0]) == 25  # the true middle: as many nodes on either side
    assert reaction_diffusion_parity().measure(x, [0.0]) == 24
    assert reaction_diffusion_parity(PUBLISHED_SENSORS["jax"]).measure(x, [0.0]) == 25
    assert reaction_diffusion(sensor=3).measure(x, [0.0]) == 3


def test_jacobian_against_differences(rng):
    plant = discretize(reaction_diffusion())
    x, b, h = rng.uniform(0, 1, 51), np.array([0.4]), 1e-6
    by_x, by_b = plant.jacobian(x, b)
    numeric = np.stack([(plant.step(x + h * e, b) - plant.step(x - h * e, b)) / (2 * h) for e in np.eye(51)], axis=1)
    np.testing.assert_allclose(by_x, numeric, atol=1e-8)
    np.testing.assert_allclose(by_b[:, 0], (plant.step(x, b + h) - plant.step(x, b - h)) / (2 * h), atol=1e-8)


def test_it_stays_between_zero_and_one_and_symmetric():
    """The maximum principle: profile and boundary in [0, 1] stay there; a symmetric profile stays symmetric."""
    plant = discretize(reaction_diffusion())
    data = simulate(plant, 3, 100 * plant.dt, seed=2, x0=np.array([np.zeros(51), np.full(51, 0.5), np.ones(51)]))
    assert data.x.min() >= 0 and data.x.max() <= 1
    np.testing.assert_allclose(data.x, data.x[:, :, ::-1], atol=1e-13)
    np.testing.assert_array_equal(data.x[:, 1:, 0], data.u[:, :-1, 0])  # the ends follow b, one sample later


@pytest.mark.parametrize(
    ("arguments", "words"), [({"substeps": 0}, "substeps is 0"), ({"sensor": 51}, "sensor is 51; .* from 0 to 50")]
)
def test_bad_arguments(arguments, words):
    with pytest.raises(InputError, match=words):
        reaction_diffusion(**arguments)
