"""``observer experiment rl_box``: a controller for the box learned through its simulation, with a bound on its gain.

The published example: an LBDN with gain at most 20 and two layers of 32 neurons, Adam 1e-3, 250 iterations, 80 references. A plain
dense network of the same layers is trained beside it, and both are compared with the least cost that any input can reach. Then
the price of building explicit weights at every call instead of once per update, for layers of 2 to 512 neurons.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.runner import Parts, Size, at_least_one, one_thread

PUBLISHED_RATIOS = {2: 1.8, 256: 11.4, 512: 9.0}
SETTLED = 0.05  # m, of references up to 1 m, at the end of the run
NOISES = (0.0, 0.02, 0.05, 0.1, 0.2)


@dataclass(frozen=True)
class RLBoxSize(Size):
    """References, iterations of training, neurons per layer, seeds; points of the search for the slope, iterations of that for
    the least cost (``least``); what is timed, and for how long each.
    """

    references: int = 80
    iterations: int = 250
    neurons: int = 32
    seeds: int = 3
    duration: float = 4.0
    points: int = 20_000
    least: int = 150
    timed: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 128, 256, 512)
    timed_steps: int = 200
    seconds: float = 2.0


FULL = RLBoxSize()
SMOKE = RLBoxSize(4, 3, 4, 1, 0.4, 200, 3, (2, 4), 5, 0.0, name="smoke")


@dataclass(frozen=True)
class Controllers:
    """kind -> one row per seed; the least cost that any inputs reach; the price of rebuilding, per number of neurons."""

    size: RLBoxSize
    seed: int
    trained: Mapping[str, Sequence[Mapping[str, Any]]]
    least_cost: float
    timings: Sequence[Mapping[str, Any]]


@one_thread()
def measure(size: RLBoxSize, seed: int, parts: Parts) -> Controllers:
    """Train both controllers for seeds ``seed`` to ``seed + 2`` and time the rebuilding.

    It passes when the LBDN's bound is proved and not exceeded by any slope found, and the box settles at every fresh reference.
    """
    from experiments.named.rl_box.timing import times

    at_least_one(neurons=size.neurons)
    learning = {k: v for k, v in size.to_data().items() if k not in ("timed", "timed_steps", "seconds", "seeds")}
    trained: dict[str, list[dict[str, Any]]] = {"LBDN": [], "dense": []}
    for s in range(seed, seed + size.seeds):
        for kind, rows in trained.items():
            key = {"size": learning, "seed": s, "kind": kind, "references": seed}
            row = parts.keep(f"parts/{kind}-{s}", key, learn, kind, size, s, seed, parts.say)
            rows.append(row)
            parts.say(f"{kind}, seed {s}: cost {row['test_cost']:.4f} on fresh references, {row['seconds']:.0f} s")
    best = parts.keep("parts/least_cost", {"size": learning, "seed": seed}, _least, size, seed)["cost"]
    timings = []
    for width in size.timed:
        key = {"steps": size.timed_steps, "seconds": size.seconds, "references": size.references}
        row = parts.keep(f"parts/times-{width}", key, times, width, size.references, size.timed_steps, size.seconds)
        timings.append(row)
        parts.say(f"layers of {width}: once {1e3 * row['once']:.3g} ms, at every call {row['ratio']:.3g} times as long")
    return Controllers(size, seed, trained, best, timings)


def learn(kind: str, size: RLBoxSize, seed: int, first: int, report: Callable[[str], None]) -> dict[str, Any]:
    """One controller: its training, its cost on fresh references, its steepest slope, and what noise does to it.

    ``first``: seed of the fresh references, the same for all controllers.
    """
    import torch

    from experiments.named.rl_box import control

    begin, last = time.process_time(), [0.0]

    def progress(iteration: int, cost: float) -> None:
        if time.perf_counter() - last[0] > 5.0:
            last[0] = time.perf_counter()
            report(f"{kind}, seed {seed}: iteration {iteration + 1}/{size.iterations}, cost {cost:.4g}")

    steps = control.steps_of(size.duration)
    network: Any = (control.lbdn if kind == "LBDN" else control.dense)(size.neurons, seed)
    costs = control.train(network, control.references(size.references, seed), size.iterations, 1e-3, steps, progress)
    seconds = time.process_time() - begin
    network = network.requires_grad_(False)
    controller, fresh = control.once(network), control.references(size.references, _fresh(first))
    motion = control.simulate(controller, fresh, steps)
    shown = fresh.argsort()[:: max(1, len(fresh) // 7)]
    noise = [control.noisy_cost(controller, fresh, level, steps, seed + 1) for level in NOISES]
    proof = network.verify() if kind == "LBDN" else None
    return {
        "costs": costs, "test_cost": float(motion.cost(fresh)), "seconds": seconds,
        "slope": control.steepest(controller, size.points, seed), "end_error": float((motion.q[-1] - fresh).abs().max()),
        "noise": [{"deviation": d, "cost": c, "control": u} for d, (c, u) in zip(NOISES, noise, strict=True)],
        "proved": None if proof is None else proof.holds, "margin": None if proof is None else proof.margin,
        "parameters": sum(p.numel() for p in network.parameters()),
        "motion": {name: getattr(motion, name)[:, shown].T.tolist() for name in "qvu"}, "references": fresh[shown].tolist(),
        "finite": bool(torch.isfinite(motion.q).all()),
    }  # fmt: skip


def _fresh(seed: int) -> int:
    return seed + 10_000


def _least(size: RLBoxSize, seed: int) -> dict[str, float]:
    from experiments.named.rl_box import control

    fresh = control.references(size.references, _fresh(seed))
    return {"cost": control.least_cost(fresh, control.steps_of(size.duration), size.least)}
