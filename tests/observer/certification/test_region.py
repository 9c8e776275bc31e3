"""The region of a certificate: the ranges, enlarged with a margin exactly where trajectories go beyond them."""

from itertools import product

import numpy as np
import pytest

from observer.certification.region import given_region, reached_region
from systems import discretize, lotka_volterra, simulate, van_der_pol
from systems.base.errors import InputError
from systems.trajectories import draw_initial_states


@pytest.fixture(scope="module")
def narrow():
    """Van der Pol started over ranges that its limit cycle leaves in x2, and does not in x1."""
    system = van_der_pol().with_states(
        x1={"range": (-3.0, 3.0), "initial": (-2.0, 2.0)}, x2={"range": (-1.0, 1.0), "initial": (-1.0, 1.0)}
    )
    return discretize(system, dt=0.05)


@pytest.mark.parametrize("margin", [0.0, 0.02, 0.1])
def test_what_is_reached_is_held_with_its_margin_and_ranges_are_never_cut(narrow, margin):
    region = reached_region(narrow, seed=3, trajectories=10, duration=10.0, margin=margin)
    starts = np.concatenate(
        [draw_initial_states(narrow.system, 10, 3), np.array(list(product(*narrow.system.initial_ranges)), dtype=float)]
    )
    x = simulate(narrow, len(starts), 10.0, 3, x0=starts, leave=True).x  # each until it leaves the doubled ranges
    x = x[np.isfinite(x).all(axis=2)]
    assert region.holds(x).all()
    low, high = x[..., 1].min(), x[..., 1].max()
    assert low < -1.0 and high > 1.0
    np.testing.assert_allclose(region.box[1], [low - 2 * margin, high + 2 * margin], rtol=1e-12)
    np.testing.assert_array_equal(region.box[0], (-3.0, 3.0))
    np.testing.assert_array_equal(region.box[2:], narrow.system.input_ranges)
    assert "enlarged in x2:" in region.sentence and "not proved" in region.sentence


def test_the_same_seed_finds_the_same_region_and_another_one_need_not(narrow):
    one, two, other = (reached_region(narrow, seed=seed, trajectories=10, duration=2.0).box for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_a_physical_limit_is_not_crossed_by_the_margin():
    system = lotka_volterra()
    starts = {
        x.name: {"initial": x.initial, "range": x.initial} for x in system.states
    }  # the cycles leave it, downwards too
    system = system.with_states(**starts)
    region = reached_region(discretize(system), trajectories=10, margin=1.0)
    low, ranges = region.box[: system.nx, 0], system.state_ranges
    assert (low < ranges[:, 0]).any()
    assert all(value >= signal.limits[0] for signal, value in zip(system.states, low, strict=True))
    unlimited = [bottom - (top - bottom) for bottom, top in ranges]
    assert any(value < signal.limits[0] for signal, value in zip(system.states, unlimited, strict=True))


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([[-1.0, 1.0]], "shape"),
        ([[-1.0, 1.0], [1.0, -1.0]], "region of 'x2'"),
        ([[-np.inf, 1.0], [-1.0, 1.0]], "region of 'x1'"),
    ],
)
def test_a_region_that_cannot_be_meant_is_refused_by_the_name_of_its_state(narrow, box, message):
    with pytest.raises(InputError, match=message):
        given_region(narrow, box)
