"""``observer experiment contracting``: two solutions of a contracting REN converge, within the certified envelope.

For several rates and kinds of initial weights, networks at random parameters run pairs of states under the same random
input. The certificate is recomputed from the explicit matrices: metric M and the smallest rate alpha* that it proves, so that

    |x_a[t] - x_b[t]|_M <= alpha*^t |x_a[0] - x_b[0]|_M     for every input and any two states.

From below, the largest factor |dx+|_M / |dx|_M of one step is climbed to over states and inputs: it says how tight alpha* is.
The published example (RobustNeuralNetworks.jl) draws two such runs; it has no envelope.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.runner import Measured, Parts, Size, one_thread

if TYPE_CHECKING:
    from observer.networks import ContractingREN, ExplicitREN

ROUNDING = 1e-13  # of |x|_M: below it two runs differ by rounding, not by what they remember


@dataclass(frozen=True)
class ContractingSize(Size):
    """Networks (one per rate and kind of initial weights, ``starts``), pairs of runs, their length, and the points from which
    the search for the largest factor of one step sets out.
    """

    rates: tuple[float, ...] = (0.5, 0.8, 0.95, 0.99)
    starts: tuple[str, ...] = ("random", "long_memory")
    nx: int = 6
    nv: int = 24
    pairs: int = 1000
    steps: int = 600
    points: int = 4096
    activation: str = "relu"


FULL = ContractingSize()
SMOKE = ContractingSize(rates=(0.95,), nx=3, nv=6, pairs=20, steps=120, points=256, name="smoke")


@one_thread()
def measure(size: ContractingSize, seed: int, parts: Parts) -> Measured:
    """Run pairs of every network; it passes when none leaves its envelope and every certificate holds."""
    rows = []
    for start in size.starts:
        for rate in size.rates:
            key = {"size": size.to_data(rates=rate, starts=start), "seed": seed}
            row = parts.keep(f"parts/{start}-{rate:g}", key, run_pairs, size, start, rate, seed)
            rows.append(row)
            parts.say(
                f"{start}, bound {rate:g}: alpha* {row['rate']:.5f}, one step attains {row['attained']:.5f}; largest "
                f"distance over its envelope {row['closest']:.6f}, {row['left']} of {size.pairs} pairs leave it"
            )
    return Measured(size, seed, rows)


def network(size: ContractingSize, start: str, rate: float, seed: int) -> "ContractingREN":
    """A contracting REN with initial weights of this kind, moved away from them at random."""
    from observer.networks import ContractingREN
    from observer.networks.network import disturb

    options = {"contraction_rate": rate, "initial": start, "activation": size.activation, "seed": seed}
    return disturb(ContractingREN(2, size.nx, size.nv, 1, **options), seed + 1, 0.02)


def run_pairs(size: ContractingSize, start: str, rate: float, seed: int) -> dict[str, Any]:
    """Certificate, runs and the ascent of one network; distances (steps + 1) as quantiles over the pairs."""
    from observer.certification.contraction import contraction_rate, metric_norm
    from observer.networks.ren.rollout import rollout

    ren = network(size, start, rate, seed)
    explicit, guaranteed, proof = ren.explicit().to_numpy(), ren.guarantee(), ren.verify()
    M, alpha = guaranteed.metric, contraction_rate(explicit, guaranteed.metric, guaranteed.multipliers)
    rng = np.random.default_rng([seed, 5])
    u = np.cumsum(rng.normal(size=(size.pairs, size.steps, 2)), axis=1) * 0.3  # random walks: slow and large
    first = 3 * rng.normal(size=(2, size.pairs, size.nx))
    a, b = (rollout(explicit, x0, u)[0] for x0 in first)
    distance = metric_norm(a - b, M)
    floor = ROUNDING / (1 - alpha) * (1 + np.maximum(metric_norm(a, M), metric_norm(b, M)).max(axis=1, keepdims=True))
    envelope = alpha ** np.arange(size.steps + 1) * distance[:, :1]
    share = distance / (envelope * (1 + 1e-9) + floor)
    relative = distance / distance[:, :1]
    return {
        "start": start, "bound": rate, "rate": alpha, "attained": climb(explicit, M, size.points, rng), "holds": proof.holds,
        "margin": proof.margin, "closest": float(share[:, 1:].max()), "left": int((share > 1).any(axis=1).sum()),
        "condition": float(np.linalg.cond(M)), "floor": float((floor / distance[:, :1]).max()),
        "largest": relative.max(axis=0), "median": np.median(relative, axis=0),
        "states": np.stack([a[0, :80, 0], b[0, :80, 0]]),
    }  # fmt: skip


def one_step(explicit: "ExplicitREN", M: np.ndarray, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The largest |dx+|_M / |dx|_M of infinitely small dx at each x (m, nx) and u (m, nu)."""
    from observer.networks.activations import get_activation

    slope = get_activation(explicit.activation).slope(explicit.equilibrium(x, u))
    eye = np.eye(explicit.nv)
    dw_dx = np.linalg.solve(eye - slope[:, :, None] * explicit.D11, slope[:, :, None] * explicit.C1)
    root = np.linalg.cholesky(M)
    jacobian = root.T @ (explicit.A + explicit.B1 @ dw_dx) @ np.linalg.inv(root.T)
    return np.linalg.norm(jacobian, 2, axis=(1, 2))


def climb(
    explicit: "ExplicitREN", M: np.ndarray, points: int, rng: np.random.Generator, climbs: int = 12, rounds: int = 25
) -> float:
    """The largest factor of one step that is found, hence attained: random points, then random steps from the best ones.

    A single climb ends in one basin (the patterns of relu are many), so that ``climbs`` of them begin anew.
    """
    best, copies = 0.0, max(8, points // 128)
    for _ in range(climbs):
        x, u = 5 * rng.normal(size=(points // 4, explicit.nx)), 5 * rng.normal(size=(points // 4, explicit.nu))
        found, width = one_step(explicit, M, x, u), 3.0
        for _ in range(rounds):
            top = np.argsort(found)[-8:]
            x, u = (np.concatenate([v[top], np.repeat(v[top], copies, axis=0)]) for v in (x, u))
            x[8:] += width * rng.normal(size=x[8:].shape)  # the best ones themselves stay
            u[8:] += width * rng.normal(size=u[8:].shape)
            found, width = one_step(explicit, M, x, u), 0.016 ** (1 / rounds) * width
        best = max(best, float(found.max()))
    return best
