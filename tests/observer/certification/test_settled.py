"""Where a plant settles: closed forms, trajectories that must stay in the cover, and what a certificate makes of it."""

import dataclasses
import json

import numpy as np
import pytest

from observer.certification.bounds import SettledPart
from observer.certification.envelope import envelope, ultimate_bound
from observer.certification.local import LocalResidual
from observer.certification.residual import bound_horizon, bound_residual
from observer.certification.residual.flow import OutOfTimeError, enclose_flow, flow_cost
from observer.certification.running import running_envelope
from observer.certification.settled import LONG, OutOfWorkError, Settled, settled_set
from systems import load_system
from systems.base.records import from_plain, to_plain
from systems.discretization import discretize
from systems.toml_files import system_from_toml
from tests.observer.certification.residual.hand_made import inside, observer_of, plant_of, random_cells
from tests.observer.certification.test_envelope import certificate, proof, residual_bound

BOX = np.array([[-1.0, 1.0], [-2.0, 2.0]])


def shrinking(push=0.0):
    """x_0 halves in a step, x_1 doubles: after K samples in X, |x_0| <= 2^-K + 2 push and |x_1| anything that was in X."""
    return plant_of(lambda x, u: [0.5 * x[0] + push * u[0], 2.0 * x[1]], [(-1, 1), (-2, 2)], [(-1, 1)])


@pytest.mark.parametrize("push", [0.0, 0.05])
def test_a_contracting_state_settles_where_algebra_says(push):
    box = np.array([*BOX, [-1.0, 1.0]])
    found = settled_set(shrinking(push), box, 16, stride=1, shape=(64, 16))
    assert found is not None and found.samples % LONG == 0
    exact = 2 * push if push else 0.0
    ends = found.boxes()[:, 0]
    cell = 2 / 64
    assert -exact - 3 * cell <= ends.min() <= -exact and exact <= ends.max() <= exact + 3 * cell
    assert found.count == found.mask.sum() and found.share == found.count / found.mask.size
    held = settled_set(shrinking(push), np.array([*BOX, [0.3, 0.3]]), 16, stride=1, shape=(64, 16))
    assert held is not None and held.holds(np.array([0.6 * push, 0.0])) and held.count < found.count + (push == 0)


@pytest.mark.parametrize("name, excited", [("van_der_pol", True), ("van_der_pol", False), ("pendulum", True)])
def test_trajectories_that_stay_in_the_region_end_in_the_settled_set(name, excited):
    system = load_system(name)
    plant = discretize(system)
    box = np.concatenate([1.5 * np.array(system.state_ranges), np.array(system.input_ranges).reshape(-1, 2) * excited])
    found = settled_set(plant, box, 40, cells=4000)
    assert found is not None and found.share < 0.8
    rng, inputs = np.random.default_rng(0), box[plant.nx :]
    x = rng.uniform(box[: plant.nx, 0], box[: plant.nx, 1], (4000, plant.nx))
    alive, seen = np.ones(len(x), dtype=bool), 0
    u = rng.uniform(inputs[:, 0], inputs[:, 1], (len(x), plant.nu))
    for k in range(found.samples + 30):
        alive &= np.all((x >= box[: plant.nx, 0]) & (x <= box[: plant.nx, 1]), axis=1)
        if k >= found.samples:
            assert found.holds(x[alive]).all()
            seen += alive.sum()
        if k % 7 == 0:  # jumps between the ends: arbitrary inputs
            u = inputs[np.arange(plant.nu), rng.integers(2, size=(len(x), plant.nu))]
        x = plant.step(x, u)
    assert seen > 1000


@pytest.mark.parametrize("steps", [1, 3])
def test_images_hold_every_trajectory_with_a_new_input_at_every_step(steps):
    plant = plant_of(
        lambda x, u: [x[0] + 0.2 * x[1], x[1] + 0.2 * (np.sin(x[0]) * u[0] - x[1] * x[0])],
        [(-2, 2), (-2, 2)],
        [(-1, 1)],
    )
    cells = random_cells(np.array([[-2.0, 2.0], [-2.0, 2.0], [-1.0, 1.0]]), 50, seed=steps)
    images = enclose_flow(plant, cells, steps, threads=1)
    rng, points = np.random.default_rng(0), inside(cells, 80)
    x = points[..., :2]
    for _ in range(steps):
        u = rng.choice([0.0, 1.0], points[..., 2:].shape)
        x = plant.step(x, cells[:, None, 2:, 0] + u * (cells[:, None, 2:, 1] - cells[:, None, 2:, 0]))
    assert (x >= images[:, None, :, 0]).all() and (x <= images[:, None, :, 1]).all()
    width = np.ptp(images, axis=2) / np.maximum(np.ptp(x, axis=1), 1e-9)
    assert np.median(width) < 1.6


def test_boxes_cover_the_cells_and_nothing_is_said_of_the_whole():
    rng = np.random.default_rng(1)
    mask = rng.random((13, 7)) < 0.4
    some = Settled(BOX, mask.shape, 4, 1, int(mask.sum()), mask.mean(), np.zeros((1, 2)), mask)
    x = rng.uniform(BOX[:, 0], BOX[:, 1], (3000, 2))
    for coarsen, exact in ((1, True), (4, False)):
        boxes = some.boxes(coarsen)[:, :2]
        covered = ((x[:, None] >= boxes[..., 0]) & (x[:, None] <= boxes[..., 1])).all(axis=2).any(axis=1)
        assert covered[some.holds(x)].all() and (not exact or (covered == some.holds(x)).all())
        assert len(boxes) < mask.sum() + 1
    assert not some.holds(np.array([[3.0, 0.0], [np.nan, 0.0]])).any()
    still = plant_of(lambda x: [1.0 * x[0]], [(-1, 1)])
    assert settled_set(still, np.array([[-1.0, 1.0]]), 8, shape=(20,)) is None


def test_bounds_within_it_bracket_the_supremum_there_and_resume():
    """r = x_0^2 / 2 where |x_0| <= 1 halves each step: its supremum over the settled set, not over X."""
    plant = plant_of(lambda x, u: [0.5 * x[0] + 0.1 * u[0], 0.5 * x[1]], [(-1, 1), (-2, 2)], [(-1, 1)])
    observer = observer_of(plant, A=[[0.5, 0.0], [0.1, 0.4]], B2=[[0.1, 0.0], [0.0, 0.0]])  # r = (0, .1 x_0 - .1 x_1)
    area = settled_set(plant, np.array([*BOX, [-1.0, 1.0]]), 12, stride=1, shape=(40, 40))
    assert area is not None
    boxes = area.boxes()
    worst = np.abs(0.1 * boxes[:, 0, :, None] - 0.1 * boxes[:, 1, None, :]).max()
    whole = bound_residual(observer, plant, threads=1)
    found = bound_residual(observer, plant, within=area, threads=1)
    assert whole.upper == pytest.approx(0.3, rel=0.06)
    assert worst * (1 - 1e-9) <= found.upper <= 1.06 * worst and 0.9 * worst <= found.lower <= worst * (1 + 1e-12)
    many = bound_horizon(observer, plant, rate=0.6, steps=3, within=area, input="held", threads=1)
    alone = bound_horizon(observer, plant, rate=0.6, steps=3, input="held", threads=1)
    assert many.lower <= many.upper < alone.lower


def test_starts_from_which_the_plant_leaves_do_not_count_when_it_is_said_to_stay():
    """x grows by a factor a: only |x_0| <= a^-(N-1) stays for N samples, and d(N) is linear in x_0."""
    a, steps, d = 1.9, 4, 0.0
    plant = plant_of(lambda x: [a * x[0]], [(-1, 1)])
    observer = observer_of(plant, A=0.5, B2=a - 0.49)  # r = 0.01 x
    for k in range(steps):
        d = 0.5 * d + 0.01 * a**k
    every = bound_horizon(observer, plant, rate=0.5, steps=steps, gap=0.01, threads=1)
    stays = bound_horizon(observer, plant, rate=0.5, steps=steps, stays=True, gap=0.01, threads=1)
    assert every.state_upper[0] == pytest.approx(d, rel=0.02)
    exact = d * a ** -(steps - 1)
    assert exact * (1 - 1e-9) <= stays.state_upper[0] <= 1.05 * exact and stays.state_lower[0] <= exact * (1 + 1e-9)


def test_what_one_step_makes_of_the_ball_is_used_where_it_is_less():
    """A state that forgets at once: |x_0+ difference| is 0, so that only its own remainder is left in its bound."""
    plant = plant_of(lambda x: [np.tanh(x[1]), 0.9 * x[1]], [(-1, 1), (-1, 1)])
    observer = observer_of(
        plant, A=[[0.0, 0.0], [0.0, 0.9]], B2=[[0.0], [0.0]], B1=[[0.5], [0.0]], C1=[[0.0, 2.0]], nv=1
    )
    cells = np.array([[[-1.0, 1.0], [-1.0, 1.0]]])
    from observer.certification.residual.model import make_model

    model = make_model(observer, plant, None, None, 1)
    loose, sharp = (model.bound(cells, 0.95, 6, gains).bounds[0] for gains in (None, np.array([0.0, 0.95])))
    assert sharp[1] <= loose[1] and sharp[2] <= loose[2] and sharp[0] == loose[0]
    x = np.linspace(-1, 1, 400)[:, None] * np.array([[0.0, 1.0]])
    estimate = x
    for _ in range(6):
        y = plant.output(x, np.zeros((400, 0)))
        x, estimate = plant.step(x, np.zeros((400, 0))), observer.step(estimate, np.zeros((400, 0)), y)
    assert np.abs(estimate - x).max(axis=0)[0] <= sharp[1]


def late(rho, before, after, **changes):
    M = np.eye(2)
    return proof(
        M,
        0.9,
        rho,
        name="settled",
        settled=SettledPart(after, residual_bound(M, before, np.full(2, before))),
        **changes,
    )


def test_the_envelope_uses_the_smaller_residual_only_from_its_sample_on():
    """e+ = 0.9 e + r with r = 1 until sample 12 and 0.1 from there: met exactly along a worst direction."""
    p = late(0.1, 1.0, 12, step_gain=[10.0, 10.0])
    bound = envelope(certificate(p), np.array([0.5, 0.0]), 60).bound[:, 0]
    e = 0.5
    for k in range(60):
        assert bound[k] == pytest.approx(e, rel=1e-12)
        e = 0.9 * e + (1.0 if k < 12 else 0.1)
    assert ultimate_bound(certificate(p))[0][0] == pytest.approx(1.0)
    sharp = envelope(certificate(late(0.1, 1.0, 12, step_gain=[0.2, 0.2])), np.array([0.5, 0.0]), 60).bound[:, 0]
    etas = np.concatenate([[0.0], bound[:-1]])
    stated = 0.2 * etas + np.where(np.arange(60) <= 12, 1.0, 0.1)  # r_k-1 is still a large one at k = 12
    assert np.allclose(sharp[1:], np.minimum(stated, bound)[1:])
    assert envelope(certificate(p), np.array([0.5, 0.0]), 5).bound[4, 0] > 3  # too short to settle


def test_the_running_envelope_waits_for_it_too():
    p = late(0.1, 1.0, 3)
    plant = plant_of(lambda x: [0.9 * x[0], 0.9 * x[1]], [(-1, 1), (-1, 1)])
    observer = observer_of(plant, A=0.9 * np.eye(2), B2=np.zeros((2, 1)))
    now = running_envelope(observer, certificate(p), np.zeros(2), 0.0, disturbance=0.0)
    eta = 0.0
    for k in range(8):
        assert float(now.eta) == pytest.approx(eta)
        now, eta = now.step(np.zeros(0), np.zeros(1)), 0.9 * eta + (1.0 if k < 3 else 0.1)


def test_a_certificate_keeps_the_numbers_and_not_the_cells():
    found = settled_set(shrinking(), np.array([*BOX, [-1.0, 1.0]]), 8, stride=1, shape=(16, 16))
    assert found is not None
    plain = to_plain(found)
    again = from_plain(Settled, json.loads(json.dumps(plain)))
    assert len(json.dumps(plain)) < 600 and again.shape == found.shape and again.count == found.count
    anew = settled_set(
        shrinking(), np.array([*BOX, [-1.0, 1.0]]), again.samples, stride=again.stride, shape=again.shape
    )
    assert anew is not None and anew.count == found.count and anew.samples == found.samples


def test_a_local_bound_holds_over_the_set_and_is_small_where_the_residual_is():
    """r = (0, x_0^3 / 10): large at the ends of X only; every point of the set is below the bound, the middle far below."""
    plant = plant_of(
        lambda x, u: [0.9 * x[0], 0.5 * x[1] + 0.1 * x[0] ** 3 + 0.0 * u[0]], [(-1, 1), (-1, 1)], [(-1, 1)]
    )
    observer = observer_of(plant, A=[[0.9, 0.0], [0.0, 0.5]], B2=np.zeros((2, 2)))
    p = proof(np.diag([1.0, 4.0]), 0.9, 0.2)
    c = certificate(p)
    region = dataclasses.replace(c.bounds.region, box=np.tile([-1.0, 1.0], (3, 1)))
    local = LocalResidual(observer, plant, dataclasses.replace(c.bounds, region=region), cells=400)
    rng = np.random.default_rng(0)
    x_hat, eta = rng.uniform(-1, 1, (200, 2)), 10.0 ** rng.uniform(-3, 0, 200)
    found = local(x_hat, eta)
    v = rng.normal(size=(200, 500, 2))
    v *= (eta[:, None] * rng.random((200, 500)) / np.sqrt((v**2 * [1.0, 4.0]).sum(axis=2)))[..., None]
    x = x_hat[:, None] + v
    size = np.where(np.all(np.abs(x) <= 1, axis=2), 0.2 * np.abs(x[..., 0]) ** 3, 0.0).max(axis=1)
    assert (size <= found).all() and (found <= 0.2).all()
    assert local(np.zeros(2), 0.01) < 2e-3 and local(np.array([1.0, 0.0]), 0.01) > 0.17
    assert local(np.full(2, np.nan), 0.1) == pytest.approx(0.2) and local(np.zeros(2), np.inf) == pytest.approx(0.2)


BOX_OF_RELAY = np.tile([-1.0, 1.0], (3, 1))


def relay(substeps):
    """A plant with Coulomb friction, whose map is long: each image of a cell takes as many operations as it has nodes."""
    x = "x1 = { range = [-1, 1] }\nx2 = { range = [-1, 1] }"
    text = f'[states]\n{x}\n[inputs]\nu = {{ range = [-1, 1] }}\n[dynamics]\nx1 = "x2"\nx2 = "-x1 - .3*sign(x2) + u"\n[outputs]\ny = "x1"'
    return discretize(system_from_toml(f"{text}\n[sampling]\ndt = 0.05\nduration = 2", "relay.toml"), substeps=substeps)


def test_the_work_of_a_settled_set_is_counted_and_bounded():
    plant, box = shrinking(0.05), np.array([*BOX, [-1.0, 1.0]])
    assert flow_cost(relay(4), BOX_OF_RELAY) > 3.5 * flow_cost(relay(1), BOX_OF_RELAY)
    whole = settled_set(plant, box, 20, cells=4000)
    assert whole is not None
    less = settled_set(plant, box, 20, cells=4000, work=0.85 * whole.operations)
    assert less is not None and less.operations <= 0.85 * whole.operations and less.samples < whole.samples
    with pytest.raises(OutOfWorkError):
        settled_set(plant, box, 20, cells=4000, work=0.01 * whole.operations)


def test_a_settled_set_ends_by_the_clock():
    with pytest.raises(OutOfTimeError):
        settled_set(relay(1), BOX_OF_RELAY, 20, cells=4000, budget=0.0)
