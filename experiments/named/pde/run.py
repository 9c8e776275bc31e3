"""The reaction-diffusion experiment: the published observer on its own plant, and ours on the correct one.

Published test: x0 = 0.5 and b(0) = 0.5, x_hat0 = 0, 2000 samples, boundary a clipped random walk; one-step loss along the
run and RMSE over all nodes, samples 1000 to 2000. The spread over boundary draws is large, so medians of five are given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.pipeline.console import Console
from experiments.pipeline.prepare import run_in
from experiments.pipeline.recipe import build
from experiments.runner import Parts, Size
from observer.runs import Run
from systems.base.arrays import read_arrays

if TYPE_CHECKING:
    from observer.networks.ren.explicit import ExplicitREN
    from systems import DiscreteSystem

RATE, SAMPLES, WINDOW = 0.998, 2001, slice(1000, 2000)
LOSS_BAR, RMSE_BAR = 1e-9, 5.5e-4
#: arXiv 2306.12612, the authors' trained weights on the plant of their own code (four Euler steps, sensor at node 24).
PUBLISHED = {"one_step_loss": 6.2e-6, "rmse": 4.3e-3}
GOLDEN = Path(__file__).resolve().parents[4] / "shared" / "golden" / "authors_pde_observer.npz"


@dataclass(frozen=True)
class PdeSize(Size):
    """Neurons and iterations of our fit, trials of its validation, draws of the boundary in the published test."""

    neurons: int = 30
    iterations: int = 30
    trials: int = 10
    draws: int = 5


FULL = PdeSize()


@dataclass(frozen=True)
class Pde:
    """Our run, and the published tests of ours and, where they are at hand, of the authors' weights: name -> one per draw."""

    size: PdeSize
    ours: Run
    tests: Mapping[str, Sequence[Mapping[str, Any]]]


def measure(size: PdeSize, seed: int, parts: Parts, **options: Any) -> Pde:
    """Fit ours and run the published test; it passes when loss and RMSE (medians) meet the bars and the run passes.

    ``options``: budget of the fit. The authors' weights are not part of this project; their column is measured where the file
    ``shared/golden/authors_pde_observer.npz`` lies beside the project.
    """
    from systems import discretize, reaction_diffusion_parity

    values: dict[str, Any] = {
        "system": "reaction_diffusion", "seed": seed, "fit.contraction_rate": RATE,
        "fit.neurons": size.neurons, "fit.iterations": size.iterations,
        "data.trajectories": 20, "validation.trials": size.trials, "validation.truth": "model",
    }  # fmt: skip
    values |= {f"fit.{key}": value for key, value in options.items()}
    parts.out.mkdir(parents=True, exist_ok=True)
    ours = run_in(parts.out / "ours", build(values), fresh=parts.fresh, console=Console(parts.quiet))
    assert ours.observer is not None
    tests = {"ours": [published_test(ours.plant, ours.observer.weights, draw) for draw in range(size.draws)]}
    if GOLDEN.is_file():
        parity, theirs = discretize(reaction_diffusion_parity()), authors_network(GOLDEN)
        tests["published"] = [published_test(parity, theirs, draw) for draw in range(size.draws)]
    return Pde(size, ours, tests)


def published_test(plant: "DiscreteSystem", network: "ExplicitREN", draw: int) -> dict[str, Any]:
    """One published test run: truth, estimate ``(2001, 51)``, one-step loss and RMSE."""
    from systems.trajectories import simulate

    rng = np.random.default_rng([draw, 17])
    b = np.full(SAMPLES, 0.5)
    for k in range(1, SAMPLES):
        b[k] = np.clip(b[k - 1] + 0.05 * rng.standard_normal(), 0.0, 1.0)
    data = simulate(plant, x0=np.full((1, plant.nx), 0.5), u=b[None, :, None], duration=(SAMPLES - 1) * plant.dt)
    x, y = data.x[0], data.y[0]
    # The published network is fed [b; b; y], ours [b; y].
    v = np.concatenate([b[:, None]] * (network.nu - 1) + [y], axis=1)
    x_hat = np.zeros_like(x)
    for k in range(SAMPLES - 1):
        x_hat[k + 1] = network.next_state(x_hat[k], v[k])
    one_step = network.next_state(x[:-1], v[:-1]) - x[1:]
    error = x_hat - x
    return {
        "x": x, "x_hat": x_hat, "t": data.t,
        "one_step_loss": float(np.mean(np.sum(one_step**2, axis=1))), "rmse": float(np.sqrt(np.mean(error[WINDOW] ** 2))),
    }  # fmt: skip


def authors_network(path: Path) -> "ExplicitREN":
    """The authors' trained observer: its direct parameters mapped to explicit matrices. Its output is its state (C2 = I)."""
    from observer.networks.ren.contracting import ContractingREN

    data = read_arrays(path)
    direct = {name.removeprefix("direct."): value for name, value in data.items() if name.startswith("direct.")}
    rate, eps, activation = float(data["meta.abar"]), float(data["meta.eps"]), str(data["meta.activation"])
    direct = {name: direct[name] for name in ("X", "Y1", "B2", "D12", "bx", "bv", "p") if name in direct}
    ren = ContractingREN.from_direct(
        direct, contraction_rate=rate, activation=activation, eps=eps, polar="p" in direct, identity_output=True
    )
    return ren.explicit().to_numpy()
