"""``observer experiment echo_state``: control under |u| <= 5 by a convex program over a random contracting network.

The published example: the Youla parameter is a contracting REN with random fixed dynamics and a free output layer, so that
every output layer gives a stable closed loop and the best one is a convex program. Beside it the best linear Youla parameter.
What the published example leaves open is whether |u| <= 5, imposed on the samples of one disturbance, holds on others. Here
the program is checked on steps from each level of a grid to each other and on random ones; samples where it fails are added.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.runner import Measured, Parts, Size, at_least_one, one_thread

if TYPE_CHECKING:
    from observer.networks import ContractingREN

LATE = 10  # samples at the end of each held level


@dataclass(frozen=True)
class EchoStateSize(Size):
    """States, neurons and rate of the REN; taps of the linear one; levels of the disturbances; rounds of the program.

    ``levels``: whose samples make the cost. Where the limit must hold besides: ``grid`` levels from each to each, and ``more``
    random ones, both over a range wider by the factor ``wider``. ``fresh``: levels of the test. ``margin``: share of the limit
    that is kept free from the second round on.
    """

    nx: int = 50
    neurons: int = 100
    rate: float = 0.95
    taps: int = 60
    levels: int = 40
    grid: int = 25
    more: int = 1500
    wider: float = 1.05
    fresh: int = 1000
    rounds: int = 8
    margin: float = 0.03


FULL = EchoStateSize()
SMOKE = EchoStateSize(3, 6, 0.9, 12, 8, 3, 5, 1.05, 10, 1, 0.02, name="smoke")


@one_thread()
def measure(size: EchoStateSize, seed: int, parts: Parts) -> Measured:
    """Solve both programs; it passes when the limit holds on every test and the REN is better than the linear one.

    Raises InputError without CVXPY and Clarabel (extra ``sdp``), before anything is written.
    """
    from experiments.named.echo_state.program import solver

    at_least_one(neurons=size.neurons)
    solver()
    found = {}
    for kind in ("linear", "REN"):
        key = {"size": size.to_data(), "seed": seed, "kind": kind}
        found[kind] = parts.keep(f"parts/{kind}", key, design, kind, size, seed, parts.say)
        tests = found[kind]["tests"]
        parts.say(
            f"{kind}: mean |z| {tests['fresh']['mean']:.4f} on fresh steps, {tests['squares']['mean']:.4f} on squares; "
            f"|u| at most {max(test['largest'] for test in tests.values()):.4f}"
        )
    return Measured(size, seed, found)


def random_network(size: EchoStateSize, seed: int) -> "ContractingREN":
    """A contracting REN at random, whose neurons have their kinks spread over the range of the input.

    By default the initial biases are small and all kinks lie near zero: no sum of such neurons saturates at |u| = 5.
    """
    import torch

    from observer.networks import ContractingREN

    network = ContractingREN(1, size.nx, size.neurons, 1, contraction_rate=size.rate, activation="relu", seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        spread = 5.0 * network.explicit().D12.abs().mean()
        network.bv.copy_(spread * torch.randn(size.neurons, generator=generator, dtype=torch.float64))
    return network


def design(kind: str, size: EchoStateSize, seed: int, report: Callable[[str], None]) -> dict[str, Any]:
    """One Youla parameter: the program with its rounds, and the closed loop on the three disturbances."""
    from experiments.named.echo_state import program

    proof = None
    if kind == "REN":
        network = random_network(size, seed)
        proof, features = network.verify(), program.echo_state(network)
    else:
        features = program.finite_impulse(size.taps)
    train = program.steps(size.levels, program.REACH, seed)
    reach = size.wider * program.REACH
    more = np.concatenate([program.pairs(size.grid, reach), program.steps(size.more, reach, seed + 1)])
    solution, course = program.solve_with_cuts(
        features, train, more, size.rounds, size.margin, lambda text: report(f"{kind}, {text}")
    )
    disturbances = {
        "squares": program.squares(np.linspace(0.0, 8.0, 9)),
        "fresh": program.steps(size.fresh, program.REACH, seed + 2),
        "training": train,
    }
    tests = {name: closed_loop_numbers(features, solution.theta, d) for name, d in disturbances.items()}
    z, u = program.closed_loop(features, solution.theta, disturbances["squares"])
    return {
        "tests": tests, "course": course, "status": solution.status, "parameters": len(solution.theta),
        "proved": None if proof is None else proof.holds, "margin": None if proof is None else proof.margin,
        "z": z, "u": u, "d": disturbances["squares"], "seconds": sum(row["seconds"] for row in course),
    }  # fmt: skip


def closed_loop_numbers(features: Any, theta: np.ndarray, d: np.ndarray) -> dict[str, float]:
    """Mean |z|, largest |u|, how far z still moves at the end of a held level, and how far it is from the attainable rest."""
    from experiments.named.echo_state.program import HOLD, LIMIT, attainable, closed_loop

    z, u = closed_loop(features, theta, d)
    late = z.reshape(-1, HOLD)[:, -LATE:]
    off = np.abs(late[:, -1] - attainable(d).reshape(-1, HOLD)[:, -1])
    return {
        "mean": float(np.abs(z).mean()), "largest": float(np.abs(u).max()),
        "violated": float(np.mean(np.abs(u) > LIMIT * (1 + 1e-6))), "moves": float(np.ptp(late, axis=1).max()),
        "off_mean": float(off.mean()), "off_largest": float(off.max()),
    }  # fmt: skip
