"""Long simulations in one call: the same as the loop over steps."""

import numpy as np
import pytest

from observer.networks.activations import ACTIVATIONS
from observer.networks.ren.contracting import ContractingREN
from observer.networks.ren.explicit import ExplicitREN
from observer.networks.ren.rollout import rollout
from systems.base.errors import InputError


def network(nv=20, ny=2, **options):
    return ContractingREN(2, 3, nv, ny, contraction_rate=0.9, **options).explicit()


def loop(ren, x0, u):
    x, xs, ys = x0, [x0], []
    for k in range(u.shape[-2]):
        x, y = ren.step(x, u[..., k, :])
        xs.append(x)
        ys.append(y)
    return np.stack(xs, axis=-2), np.stack(ys, axis=-2)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("nv", [0, 1, 20])
@pytest.mark.parametrize("batch", [(), (1,), (7,), (2, 3), (0,)])
def test_equals_the_loop_over_steps(batch, nv, activation):
    ren, rng = network(nv, activation=activation).to_numpy(), np.random.default_rng(0)
    x0, u = rng.normal(size=(*batch, 3)), rng.normal(size=(*batch, 60, 2))
    x, y = rollout(ren, x0, u)
    expected = loop(ren, x0, u)
    assert x.shape == (*batch, 61, 3) and y.shape == (*batch, 60, 2)
    np.testing.assert_allclose(x, expected[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(y, expected[1], rtol=0, atol=1e-12)


def test_several_threads_and_broadcasting():
    ren, rng = network(80).to_numpy(), np.random.default_rng(0)
    x0, u = rng.normal(size=(40, 3)), rng.normal(size=(100, 2))
    x, _ = rollout(ren, x0, u)
    np.testing.assert_allclose(x, loop(ren, x0, np.broadcast_to(u, (40, 100, 2)))[0], rtol=0, atol=1e-12)


def test_no_steps_and_torch_weights_in_single_precision():
    ren = network(5, dtype="float32")
    x, y = rollout(ren, np.ones(3), np.zeros((0, 2)))
    assert x.shape == (1, 3) and y.shape == (0, 2) and x.dtype == np.float32
    x, _ = rollout(ren, np.ones(3), np.ones((30, 2)))
    np.testing.assert_allclose(x, loop(ren.to_numpy(), np.ones(3), np.ones((30, 2)))[0], atol=1e-5)


def test_nan_comes_through_and_errors_say_what_is_expected():
    ren = network().to_numpy()
    u = np.zeros((5, 2))
    u[2, 0] = np.nan
    x, _ = rollout(ren, np.zeros(3), u)
    assert np.isfinite(x[:3]).all() and np.isnan(x[3:]).all()
    with pytest.raises(InputError, match=r"u has shape \(2,\); expected \(\.\.\., N, nu\), one row per step"):
        rollout(ren, np.zeros(3), np.zeros(2))
    with pytest.raises(InputError, match=r"x0 has shape \(4,\); expected"):
        rollout(ren, np.zeros(4), u)
    with pytest.raises(InputError, match="are of type float16; expected float32 or float64"):
        rollout(ren.to_numpy(np.float16), np.zeros(3), u)


@pytest.mark.parametrize("missing", [False, True])
def test_an_observer_runs_as_it_steps(missing):
    """One call over a sequence, or the loop where a measurement is missing: the same estimates, row 0 the start."""
    from observer.scaling import Scaling
    from observer.state_observer import RENObserver, StateObserver
    from systems import discretize
    from systems.library.van_der_pol import van_der_pol

    system = van_der_pol()
    ren = ContractingREN(len(system.known) + system.ny, system.nx, 12, contraction_rate=0.9, identity_output=True)
    observer = RENObserver(
        ren.explicit().to_numpy(),
        np.eye(system.nx),
        np.ones(12),
        0.9,
        Scaling.from_box(np.tile([-1.0, 1.0], (system.nx, 1)), np.tile([-1.0, 1.0], (ren.nu, 1))),
        {},
        discretize(system, dt=0.1),
    )
    rng = np.random.default_rng(0)
    u, y = rng.normal(size=(4, 50, system.nu)), rng.normal(size=(4, 50, system.ny))
    if missing:
        y[1, 20] = np.nan
    y[:, -1] = np.nan  # the last row is never used
    start = rng.normal(size=system.nx)
    got = observer.run(start, u, y)
    np.testing.assert_allclose(got, StateObserver.run(observer, start, u, y), rtol=0, atol=1e-12)
    assert got.shape == (4, 50, system.nx) and (got[:, 0] == start).all()


def test_tanh_of_a_rollout_is_that_of_a_library_of_functions():
    """x+ = tanh(u): relative error of a few units in the last place from the smallest arguments to the largest, signs and nan."""
    one, none = np.ones((1, 1)), np.zeros((1, 1))
    ren = ExplicitREN.with_identity_output(none, one, none, none, none, one, np.zeros(1), np.zeros(1))
    rng = np.random.default_rng(0)
    v = np.concatenate([
        rng.uniform(-21, 21, 20_000), 10 ** rng.uniform(-300, 0, 2_000), np.arange(-22, 22, 1 / 16),  # seams of the table too
        np.nextafter(np.arange(1, 321, 2) / 16, 0), [0.0, -0.0, 1e300, -1e300],
    ])  # fmt: skip
    w = rollout(ren, np.zeros(1), v[:, None])[0][1:, 0]
    some = v != 0
    assert np.abs(w[some] / np.tanh(v[some]) - 1).max() < 4 * np.finfo(float).eps
    assert (w[~some] == 0).all() and (w[np.abs(v) >= 20] == np.sign(v[np.abs(v) >= 20])).all()
    assert np.isnan(rollout(ren, np.zeros(1), np.array([[np.nan]]))[0][1:]).all()
