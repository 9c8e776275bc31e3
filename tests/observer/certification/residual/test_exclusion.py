"""Cells that the plant's constraints exclude: never one with a feasible point, and a bound over the rest alone."""

import numpy as np
import pytest

from observer import fit
from observer.certification.residual import bound_residual
from observer.certification.residual.exclusion import Exclusion
from observer.certification.settled import settled_set
from systems import Signal, System, discretize, simulate
from systems.regions import region_points

STATES = [Signal("q", "", (-1, 1), initial=(-0.2, 0.2)), Signal("w", "", (-1, 1), initial=(-0.2, 0.2))]


def _spring(region):
    system = System(
        name="spring", states=STATES, inputs=[Signal("u", "", (-0.3, 0.3))], outputs=[Signal("y", noise=0.01)],
        dynamics=lambda x, u: [x[1], -x[0] - x[0] ** 3 - 0.5 * x[1] + u[0]], output=lambda x: [x[0]], dt=0.1, region=region,
    )  # fmt: skip
    return discretize(system)


@pytest.fixture(scope="module")
def fitted():
    plant = _spring(None)
    return fit(plant, simulate(plant, 10), neurons=3, iterations=4, samples=300, seed=1).observer


CONDITIONS = {
    "a disc": "q^2 + w^2 <= 0.3",
    "a curve": "q^2 + exp(w) = 1.1",
    "with the input": "abs(q + 2*u) <= 0.1",
    "two": ["q >= 0", "w*q <= 0.05", "sin(3*w) + q >= 0.2"],
    "on the edge of being defined": "log(q) + w >= -1",
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_no_cell_with_a_feasible_point_is_excluded(name, rng):
    plant = _spring(CONDITIONS[name])
    box = np.array([[-1, 1], [-1, 1], [-0.3, 0.3]], dtype=float)
    inside = region_points(plant.system, box, 300, 2)
    low = inside - rng.uniform(0, 0.2, inside.shape) * rng.choice([0, 1, 1e-3], inside.shape)
    cells = np.stack([low, np.maximum(inside, low + rng.uniform(0, 0.2, inside.shape))], axis=2)
    assert not Exclusion(plant, box).cells(cells).any()
    centres = rng.uniform(box[:, 0], box[:, 1], (4000, 3))
    small = np.stack([centres - 0.01, centres + 0.01], axis=2)
    gone = Exclusion(plant, box).cells(small)
    assert gone.mean() > (0.9 if name == "a curve" else 0.2)
    for cell in small[gone][:400]:
        points = rng.uniform(cell[:, 0], cell[:, 1], (20, 3))
        assert not Exclusion(plant, box).points(points).any()


def test_a_bound_over_the_region_is_that_of_its_points(fitted):
    """The proved bound holds at every feasible point, is attained at one, and is below that of the whole box."""
    condition = "q^2 + w^2 <= 0.1"
    plant = _spring(condition)
    observer = fitted
    within, whole = (
        bound_residual(observer, p, gap=0.1, work=2e8, budget=1e6, threads=1) for p in (plant, _spring(None))
    )
    points = region_points(plant.system, within.region, 4000, 5)
    x, u = points[:, :2], points[:, 2:]
    r = observer.step(x, u, plant.output(x, u)) - plant.step(x, u)
    size = np.sqrt(np.einsum("ki,ij,kj->k", r, within.metric, r))
    assert size.max() <= within.upper and within.lower <= within.upper < 0.5 * whole.upper
    assert within.status == "tight" and Exclusion(plant, within.region).points(within.attained_at[None]).all()


def test_settled_sets_lie_inside():
    free, plant = _spring(None), _spring("q <= 0.3")
    box = np.array([[-1, 1], [-1, 1], [-0.02, 0.02]], dtype=float)
    found, all_ = (settled_set(p, box, 40, cells=900, stride=4) for p in (plant, free))
    x = np.array([[0.5, 0.0]])
    assert found is not None and not found.holds(x).any() and found.count <= all_.count
    assert found.holds(np.zeros((1, 2))).all()


def test_on_an_equality_what_is_across_it_is_taken_out(fitted):
    """A bound over a curve is tight, although the residual beside it is far larger than its slack: cells need not be as thin."""
    plant = _spring("q^2 + 2*w^2 + 0.1*sin(5*q) = 0.3")
    found = bound_residual(fitted, plant, gap=0.1, work=3e8, budget=1e6, threads=1)
    points = region_points(plant.system, found.region, 4000, 5)
    x, u = points[:, :2], points[:, 2:]
    r = fitted.step(x, u, plant.output(x, u)) - plant.step(x, u)
    size = np.sqrt(np.einsum("ki,ij,kj->k", r, found.metric, r))
    assert 0.9 * found.lower < size.max() <= found.upper
    assert found.status == "tight" and found.upper <= 1.1 * found.lower + 4e-5
