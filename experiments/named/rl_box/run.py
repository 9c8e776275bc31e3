"""``observer experiment rl_box``: a controller for the box learned through its simulation, with a bound on its gain.

The published example: an LBDN with gain at most 20 and two layers of 32 neurons, Adam 1e-3, 250 epochs, 80 references. A plain
dense network of the same layers is trained beside it, and both are held against the least cost that any input can reach. Then
the price of building explicit weights at every call instead of once per update, for layers of 2 to 512 neurons.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from experiments.runner import finish, interruptible, kept, one_thread, refuse
from systems.base.errors import InputError

PUBLISHED_RATIOS = {2: 1.8, 256: 11.4, 512: 9.0}
SETTLED = 0.05  # m, of references up to 1 m, at the end of the run
NOISES = (0.0, 0.02, 0.05, 0.1, 0.2)


@dataclass(frozen=True)
class Size:
    """References, epochs, neurons per layer, seeds; points for the slope; what is timed, and for how long each."""

    references: int = 80
    epochs: int = 250
    width: int = 32
    seeds: int = 3
    duration: float = 4.0
    points: int = 20_000
    iterations: int = 150
    timed: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 128, 256, 512)
    timed_steps: int = 200
    seconds: float = 2.0
    name: str = "full"


SMOKE = Size(4, 3, 4, 1, 0.4, 200, 3, (2, 4), 5, 0.0, "smoke")


def run(
    out: Path,
    *,
    full: bool = False,
    seed: int = 0,
    quiet: bool = False,
    report: Callable[[str], None] = print,
    **options: Any,
) -> int:
    """Train both controllers for seeds ``seed`` to ``seed + 2`` and time the rebuilding, into ``out``.

    0 when the LBDN's bound is proved and not exceeded by any slope found, and the box settles at every fresh reference.
    ``options``: epochs, neurons, fresh. ``full`` changes nothing. Errors: InputError for other options.
    """
    refuse(options, ("epochs", "neurons"))
    size: Size = options.get("size") or Size()
    size = replace(
        size,
        epochs=int(options.get("epochs") or size.epochs),
        width=int(options.get("neurons") or size.width),
    )
    if size.width < 1:
        raise InputError(f"--neurons is {size.width}; expected at least 1")
    fresh = bool(options.get("fresh"))
    learning = {k: v for k, v in asdict(size).items() if k not in ("timed", "timed_steps", "seconds", "seeds")}
    from experiments.named.rl_box.timing import times

    trained: dict[str, list[dict[str, Any]]] = {"LBDN": [], "dense": []}
    timings: list[dict[str, Any]] = []
    with interruptible(out), one_thread():
        for s in range(seed, seed + size.seeds):
            for kind, rows in trained.items():
                key = {"size": learning, "seed": s, "kind": kind, "references": seed}
                row = kept(out, f"{kind}-{s}", key, lambda kind=kind, s=s: learn(kind, size, s, seed, report), fresh)
                rows.append(row)
                report(f"{kind}, seed {s}: cost {row['test_cost']:.4f} on fresh references, {row['seconds']:.0f} s")
        key = {"size": learning, "seed": seed}
        best = kept(out, "least_cost", key, lambda: {"cost": _least(size, seed)}, fresh)["cost"]
        for width in size.timed:
            key = {"steps": size.timed_steps, "seconds": size.seconds, "references": size.references}
            row = kept(
                out, f"times-{width}", key,
                lambda width=width: times(width, size.references, size.timed_steps, size.seconds), fresh,
            )  # fmt: skip
            timings.append(row)
            report(
                f"layers of {width}: once {1e3 * row['once']:.3g} ms, at every call {row['ratio']:.3g} times as long"
            )
    from experiments.named.rl_box.page import content

    asked = "".join(f" --{name} {options[name]}" for name in ("epochs", "neurons") if options.get(name))
    command = f"observer experiment rl_box{asked} --seed {seed} --out {out}"
    criteria, metrics, page = content(trained, best, timings, size, command)
    return finish(out, "rl_box", criteria, metrics, page, report)


def learn(kind: str, size: Size, seed: int, first: int, report: Callable[[str], None]) -> dict[str, Any]:
    """One controller: its training, its cost on fresh references, its steepest slope, and what noise does to it.

    ``first``: seed of the fresh references, the same for all controllers.
    """
    import time

    import torch

    from experiments.named.rl_box import control

    begin, told = time.process_time(), [0.0]

    def tell(epoch: int, cost: float) -> None:
        if time.perf_counter() - told[0] > 5.0:
            told[0] = time.perf_counter()
            report(f"{kind}, seed {seed}: epoch {epoch + 1}/{size.epochs}, cost {cost:.4g}")

    steps = control.steps_of(size.duration)
    network: Any = (control.lbdn if kind == "LBDN" else control.dense)(size.width, seed)
    costs = control.train(network, control.references(size.references, seed), size.epochs, 1e-3, steps, tell)
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


def _least(size: Size, seed: int) -> float:
    from experiments.named.rl_box import control

    return control.least_cost(
        control.references(size.references, _fresh(seed)), control.steps_of(size.duration), size.iterations
    )
