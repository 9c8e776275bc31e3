"""``observer experiment curve_fit``: an LBDN of bound 10 fits a step; how much of the allowed slope does it use?

The published example (RobustNeuralNetworks.jl, arXiv 2306.12612): a step on [-0.3, 0.3], gamma = 10, four hidden layers of
16 neurons. A network that is bounded by construction could be conservative: its slope would then stay well below gamma.
Here the largest slope is measured from inside (a fine grid, then ascent: a lower bound that is attained), and the loss is
held against the least loss of any function of that slope, which is a convex problem with a known answer.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.runner import finish, interruptible, kept, one_thread, refuse
from systems.base.errors import InputError

REACH, POINTS, PUBLISHED, REQUIRED = 0.3, 61, 0.94, 0.97


@dataclass(frozen=True)
class Size:
    """``epochs`` of full-batch Adam from ``rate`` down to a hundredth of it; the shape of the network; seeds."""

    gamma: float = 10.0
    hidden: tuple[int, ...] = (16, 16, 16, 16)
    epochs: int = 3000
    rate: float = 1e-2
    seeds: int = 5
    activation: str = "relu"
    name: str = "full"


SMOKE = Size(hidden=(8, 8), epochs=120, seeds=1, name="smoke")


def run(
    out: Path,
    *,
    full: bool = False,
    seed: int = 0,
    quiet: bool = False,
    report: Callable[[str], None] = print,
    **options: Any,
) -> int:
    """Fit the step for seeds ``seed`` to ``seed + 4`` into ``out``; 0 when each uses 97 % of the slope, and none more than all.

    ``options``: epochs, fresh. ``full`` changes nothing: the published size takes seconds.
    """
    refuse(options, ("epochs", "activation"))
    size: Size = options.get("size") or Size()
    changes = {key: options[key] for key in ("epochs", "activation") if options.get(key)}
    size = Size(**{**asdict(size), **changes})
    if size.epochs < 1:
        raise InputError(f"--epochs is {size.epochs}; expected at least 1")
    rows = []
    with interruptible(out), one_thread():
        for s in range(seed, seed + size.seeds):
            key = {"size": asdict(size), "seed": s}
            row = kept(out, f"seed-{s}", key, lambda s=s: fit_step(size, s), bool(options.get("fresh")))
            rows.append(row)
            report(
                f"seed {s}: slope {row['slope']:.4f} of {size.gamma:g} ({100 * row['slope'] / size.gamma:.2f} %), "
                f"{row['seconds']:.1f} s"
            )
    asked = "".join(f" --{key} {value}" for key, value in changes.items())
    return _end(out, rows, size, seed, f"observer experiment curve_fit{asked} --seed {seed} --out {out}", report)


def step(u: np.ndarray) -> np.ndarray:
    """The target: 0 for u < 0, 1 from 0 on."""
    return (u >= 0).astype(float)


def least_loss(u: np.ndarray, target: np.ndarray, gamma: float) -> tuple[float, np.ndarray]:
    """The least mean square error of any function with slopes of at most ``gamma`` at increasing u, and its values.

    Such a function is a sequence of values whose differences are at most gamma du: bounded linear least squares.
    """
    from scipy.optimize import lsq_linear

    n, reach = len(u), gamma * np.diff(u)
    matrix = np.tril(np.ones((n, n)))  # the first value, then differences
    bounds = (np.concatenate([[-np.inf], -reach]), np.concatenate([[np.inf], reach]))
    values = matrix @ lsq_linear(matrix, target, bounds, tol=1e-12).x
    return float(np.mean((values - target) ** 2)), values


def largest_slope(explicit: Any, low: float, high: float, points: int = 20001) -> tuple[float, float]:
    """(|dy/du|, u) where the slope of a network with one input and one output is largest: a fine grid, then ascent.

    The slope is exact (the derivative, not a difference). Ascent: the surroundings of the ten steepest places are
    sampled ever more finely. What is returned is attained, so that it is a lower bound of the Lipschitz constant.
    """
    import torch

    def slopes(u: np.ndarray) -> np.ndarray:
        v = torch.from_numpy(u)[:, None].requires_grad_(True)
        (gradient,) = torch.autograd.grad(explicit(v).sum(), v)
        return gradient.abs()[:, 0].numpy()

    u = np.linspace(low, high, points)
    found, width = slopes(u), (high - low) / (points - 1)
    for _ in range(6):
        best = u[np.argsort(found)[-10:]]
        u = np.clip((best[:, None] + width * np.linspace(-1, 1, 41)).ravel(), low, high)
        found, width = slopes(u), width / 20
    k = int(np.argmax(found))
    return float(found[k]), float(u[k])


def fit_step(size: Size, seed: int) -> dict[str, Any]:
    """One fit by Adam: losses, the largest slope, the certificate, the fitted curve on a fine grid."""
    import torch

    from observer.networks import LBDN
    from observer.networks.kernels.optimizer import Adam

    u = np.linspace(-REACH, REACH, POINTS)
    target = step(u)
    begin, network = (
        time.process_time(),
        LBDN(1, size.hidden, 1, gamma=size.gamma, activation=size.activation, seed=seed),
    )
    optimizer, x, y = Adam(network.parameters(), size.rate), torch.from_numpy(u)[:, None], torch.from_numpy(target)
    losses = []
    for k in range(size.epochs):
        optimizer.zero_grad()
        loss = (network(x)[:, 0] - y).square().mean()
        loss.backward()
        for entry in optimizer.entries:
            entry.rate = size.rate * 0.01 ** (k / size.epochs)
        optimizer.step()
        losses.append(float(loss.detach()))
    seconds = time.process_time() - begin
    explicit, verdict = network.explicit(), network.verify()
    with torch.no_grad():
        final = float((explicit(x)[:, 0] - y).square().mean())
        fine = np.linspace(-REACH, REACH, 601)
        curve = explicit(torch.from_numpy(fine)[:, None])[:, 0].numpy()
    frozen = network.requires_grad_(False).explicit()
    slope, place = largest_slope(frozen, -REACH, REACH)
    return {
        "slope": slope, "place": place, "loss": final, "least_loss": least_loss(u, target, size.gamma)[0],
        "losses": losses[:: max(1, size.epochs // 200)], "every": max(1, size.epochs // 200), "seconds": seconds,
        "proved": verdict.holds, "margin": verdict.margin, "claim": verdict.guarantee, "u": fine, "curve": curve,
    }  # fmt: skip


def _end(
    out: Path, rows: list[dict[str, Any]], size: Size, seed: int, command: str, report: Callable[[str], None]
) -> int:
    from reports.experiment_page import Chart, ChartFigure, Criterion, Curve
    from reports.quantities import Number
    from reports.tables import Table

    slopes = np.array([row["slope"] for row in rows])
    share = 100 * slopes / size.gamma
    criteria = [
        Criterion("slope used, worst seed", Number(share.min(), "%", 5), f"at least {100 * REQUIRED:g} % of gamma",
                  bool(share.min() >= 100 * REQUIRED)),
        Criterion("steepest slope of any seed over gamma", Number(slopes.max() / size.gamma, "", 7), "at most 1",
                  bool(slopes.max() <= size.gamma * (1 + 1e-9))),
        Criterion("seeds whose bound is proved", Number(sum(row["proved"] for row in rows)), f"all {len(rows)}",
                  all(row["proved"] for row in rows)),
    ]  # fmt: skip
    rows_ours = [
        (
            f"seed {seed + k}", Number(row["slope"], "", 5), Number(share[k], "%", 4), Number(row["loss"]),
            Number(row["loss"] / row["least_loss"], "", 5), Number(row["margin"], "", 3), Number(row["seconds"], "s", 3),
        )
        for k, row in enumerate(rows)
    ]  # fmt: skip
    published = ("published (a square wave)", "–", Number(100 * PUBLISHED, "%", 3), "–", "–", "–", "–")
    table = Table(
        (*rows_ours, published),
        ("", "largest slope", "of the bound", "mean square error", "over the least possible", "margin of the proof", "processor time"),
        f"Step on [-{REACH:g}, {REACH:g}], {POINTS} points, gamma = {size.gamma:g}, hidden layers {list(size.hidden)}",
    )  # fmt: skip
    u = np.linspace(-REACH, REACH, POINTS)
    best = least_loss(u, step(u), size.gamma)[1]
    shown = max(rows, key=lambda row: -row["loss"])
    curves = (
        Curve("step", u, step(u), "points", "published"),
        Curve(f"best function of slope {size.gamma:g}", u, best, "line", "bound"),
        Curve("LBDN, seed of the least loss", shown["u"], shown["curve"]),
    )
    ratio = tuple(
        Curve(f"seed {seed + k}", np.arange(len(row["losses"])) * row["every"] + 1,
              np.maximum(np.asarray(row["losses"]) / row["least_loss"] - 1, 1e-9))
        for k, row in enumerate(rows)
    )  # fmt: skip
    figure = ChartFigure(
        "fit",
        "The fitted step, and how fast it is found",
        "Left: the dotted line is the best that any function of this slope can do; the network should lie on it. Right: the "
        "loss over the least possible one, minus 1. A conservative bound would leave a gap that no training closes.",
        (
            Chart("Fit", "u", "y", curves),
            Chart("Loss over the least possible, minus 1", "epoch", "excess", ratio, log="y"),
        ),
    )
    page = {
        "title": "Curve fit: how much of the allowed slope an LBDN uses", "tables": [table], "figures": [figure],
        "sentence": f"The bound of {size.gamma:g} holds for every value of the parameters, and the fitted networks use "
        f"{share.min():.4g} % of it or more.",
        "notes": ["The largest slope is attained (a grid of 20,001 points and ascent from the steepest places), so that it "
                  "bounds the true Lipschitz constant from below as gamma does from above.",
                  "Published: tightness of 94 % on a square wave (arXiv 2301.11526); the example of RobustNeuralNetworks.jl "
                  "is this step."],
        "command": command, "toy": size.name != "full",
    }  # fmt: skip
    metrics = {
        "gamma": size.gamma, "published_share": PUBLISHED, "share": share / 100,
        "seeds": [{k: v for k, v in row.items() if k not in ("u", "curve", "losses")} for row in rows],
    }  # fmt: skip
    return finish(out, "curve_fit", criteria, metrics, page, report)
