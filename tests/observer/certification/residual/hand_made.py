"""Observers and plants by hand, small enough that what is to be proved about them can be worked out another way."""

import numpy as np

from observer.networks import ExplicitREN
from observer.scaling import Scaling
from observer.state_observer import RENObserver
from systems import Signal, System, discretize


def plant_of(dynamics, states, inputs=(), output=lambda x: [x[0]]):
    """A discrete plant x+ = dynamics(x, u) with the given ranges."""
    system = System(
        name="hand made",
        states=[Signal(f"x{i}", "", tuple(r)) for i, r in enumerate(states)],
        inputs=[Signal(f"u{i}", "", tuple(r)) for i, r in enumerate(inputs)],
        outputs=[Signal("y", "")],
        dynamics=dynamics,
        output=output,
        kind="discrete",
        dt=1.0,
    )
    return discretize(system)


def observer_of(
    plant, A=0.0, B1=0.0, B2=0.0, C1=0.0, D11=0.0, D12=0.0, bx=0.0, bv=0.0, *, nv=0, activation="tanh", M=None
):
    """An observer with these weights (numbers fill whole matrices)."""
    nx, nz = plant.nx, len(plant.system.known) + plant.ny
    shapes = {"A": (nx, nx), "B1": (nx, nv), "B2": (nx, nz), "C1": (nv, nx), "D11": (nv, nv), "D12": (nv, nz)}
    given = {"A": A, "B1": B1, "B2": B2, "C1": C1, "D11": D11, "D12": D12, "bx": bx, "bv": bv}
    shapes |= {"bx": (nx,), "bv": (nv,)}
    weights = {k: np.array(np.broadcast_to(np.asarray(v, dtype=float), shapes[k])) for k, v in given.items()}
    return RENObserver(
        weights=ExplicitREN.with_identity_output(**weights, activation=activation),
        metric=np.eye(nx) if M is None else np.asarray(M, dtype=float),
        multipliers=np.ones(nv),
        contraction_rate=0.9,
        scaling=Scaling(np.zeros(nx), np.ones(nx), np.zeros(nz), np.ones(nz)),
        direct={},
        plant=plant,
    )


def random_observer(plant, seed, nv, activation, scale=1.0):
    """Weights at random, the metric too: nothing is known about them but what is computed."""
    rng = np.random.default_rng(seed)
    nx, nz = plant.nx, len(plant.system.known) + plant.ny
    root = np.eye(nx) + 0.4 * rng.normal(size=(nx, nx))
    return observer_of(
        plant, A=0.4 * rng.normal(size=(nx, nx)), B1=scale * rng.normal(size=(nx, nv)), B2=rng.normal(size=(nx, nz)),
        C1=scale * rng.normal(size=(nv, nx)), D11=np.tril(0.5 * rng.normal(size=(nv, nv)), -1), D12=rng.normal(size=(nv, nz)),
        bx=rng.normal(size=nx), bv=rng.normal(size=nv), nv=nv, activation=activation, M=root @ root.T + 0.1 * np.eye(nx),
    )  # fmt: skip


def inside(cells, count, seed=0):
    """Random points (n, count, d) of cells (n, d, 2): insides, faces and corners."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(-0.3, 1.3, (len(cells), count, cells.shape[1])).clip(0, 1)
    return cells[:, None, :, 0] + share * (cells[..., 1] - cells[..., 0])[:, None]


def random_cells(region, count, seed, smallest=-4.0):
    """Cells (n, d, 2) of a region (d, 2), from all of it down to 10^smallest of its width."""
    rng = np.random.default_rng(seed)
    region = np.asarray(region, dtype=float)
    width = region[:, 1] - region[:, 0]
    size = width * 10 ** rng.uniform(smallest, 0, (count, 1)) * rng.uniform(0.3, 1, (count, len(region)))
    low = region[:, 0] + rng.random((count, len(region))) * (width - size)
    return np.ascontiguousarray(np.stack([low, np.minimum(low + size, region[:, 1])], axis=-1))
