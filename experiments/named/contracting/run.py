"""``observer experiment contracting``: two initial states of a contracting REN forget each other, within the certified envelope.

For several rates and starts, networks at random parameters run pairs of states under the same random input. The certificate
is recomputed from the explicit matrices: metric M and the smallest rate alpha* that it proves, so that

    |x_a[t] - x_b[t]|_M <= alpha*^t |x_a[0] - x_b[0]|_M     for every input and any two states.

From below, the largest factor |dx+|_M / |dx|_M of one step is climbed to over states and inputs: it says how tight alpha* is.
The published example (RobustNeuralNetworks.jl) draws two such runs; it has no envelope.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.runner import finish, interruptible, kept, one_thread, refuse

ROUNDING = 1e-13  # of |x|_M: below it two runs differ by rounding, not by what they remember


@dataclass(frozen=True)
class Size:
    """Networks (one per rate and start), pairs of runs, their length, and the points from which one step is climbed."""

    rates: tuple[float, ...] = (0.5, 0.8, 0.95, 0.99)
    starts: tuple[str, ...] = ("random", "long_memory")
    nx: int = 6
    nv: int = 24
    pairs: int = 1000
    steps: int = 600
    points: int = 4096
    activation: str = "relu"
    name: str = "full"


SMOKE = Size(rates=(0.95,), nx=3, nv=6, pairs=20, steps=120, points=256, name="smoke")


def run(
    out: Path,
    *,
    full: bool = False,
    seed: int = 0,
    quiet: bool = False,
    report: Callable[[str], None] = print,
    **options: Any,
) -> int:
    """Run pairs of every network into ``out``; 0 when none leaves its envelope and every certificate holds.

    ``options``: activation, fresh. ``full`` changes nothing.
    """
    refuse(options, ("activation",))
    size: Size = options.get("size") or Size()
    changes = {key: options[key] for key in ("activation",) if options.get(key)}
    size, rows = Size(**{**asdict(size), **changes}), []
    with interruptible(out), one_thread():
        for start in size.starts:
            for rate in size.rates:
                key = {"size": asdict(size) | {"rates": rate, "starts": start}, "seed": seed}

                def measured(start: str = start, rate: float = rate) -> dict[str, Any]:
                    return measure(size, start, rate, seed)

                row = kept(out, f"{start}-{rate:g}", key, measured, bool(options.get("fresh")))
                rows.append(row)
                report(
                    f"{start}, bound {rate:g}: alpha* {row['rate']:.5f}, one step attains {row['attained']:.5f}; largest "
                    f"distance over its envelope {row['closest']:.6f}, {row['left']} of {size.pairs} pairs leave it"
                )
    asked = "".join(f" --{key} {value}" for key, value in changes.items())
    return _end(out, rows, size, f"observer experiment contracting{asked} --seed {seed} --out {out}", report)


def network(size: Size, start: str, rate: float, seed: int) -> Any:
    """A contracting REN of this start, moved away from it at random."""
    from observer.networks import ContractingREN
    from observer.networks.network import disturb

    options = {"contraction_rate": rate, "initial": start, "activation": size.activation, "seed": seed}
    return disturb(ContractingREN(2, size.nx, size.nv, 1, **options), seed + 1, 0.02)


def measure(size: Size, start: str, rate: float, seed: int) -> dict[str, Any]:
    """Certificate, runs and the ascent of one network; distances (steps + 1) as quantiles over the pairs."""
    from observer.certification.contraction import contraction_rate
    from observer.networks.ren.rollout import rollout

    ren = network(size, start, rate, seed)
    explicit, proof, verdict = ren.explicit().to_numpy(), ren.guarantee(), ren.verify()
    M, alpha = proof.metric, contraction_rate(explicit, proof.metric, proof.multipliers)
    rng = np.random.default_rng([seed, 5])
    u = np.cumsum(rng.normal(size=(size.pairs, size.steps, 2)), axis=1) * 0.3  # random walks: slow and large
    first = 3 * rng.normal(size=(2, size.pairs, size.nx))
    a, b = (rollout(explicit, x0, u)[0] for x0 in first)
    distance = norm(a - b, M)
    floor = ROUNDING / (1 - alpha) * (1 + np.maximum(norm(a, M), norm(b, M)).max(axis=1, keepdims=True))
    envelope = alpha ** np.arange(size.steps + 1) * distance[:, :1]
    share = distance / (envelope * (1 + 1e-9) + floor)
    relative = distance / distance[:, :1]
    return {
        "start": start, "bound": rate, "rate": alpha, "attained": climb(explicit, M, size.points, rng), "holds": verdict.holds,
        "margin": verdict.margin, "closest": float(share[:, 1:].max()), "left": int((share > 1).any(axis=1).sum()),
        "condition": float(np.linalg.cond(M)), "floor": float((floor / distance[:, :1]).max()),
        "largest": relative.max(axis=0), "median": np.median(relative, axis=0),
        "states": np.stack([a[0, :80, 0], b[0, :80, 0]]),
    }  # fmt: skip


def norm(v: np.ndarray, M: np.ndarray) -> np.ndarray:
    """|v|_M over the last axis."""
    return np.sqrt(np.maximum(np.einsum("...i,ij,...j->...", v, M, v), 0.0))


def one_step(explicit: Any, M: np.ndarray, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The largest |dx+|_M / |dx|_M of infinitely small dx at each x (m, nx) and u (m, nu)."""
    from observer.networks.activations import get_activation

    slope = get_activation(explicit.activation).slope(explicit.equilibrium(x, u))
    eye = np.eye(explicit.nv)
    dw_dx = np.linalg.solve(eye - slope[:, :, None] * explicit.D11, slope[:, :, None] * explicit.C1)
    root = np.linalg.cholesky(M)
    jacobian = root.T @ (explicit.A + explicit.B1 @ dw_dx) @ np.linalg.inv(root.T)
    return np.linalg.norm(jacobian, 2, axis=(1, 2))


def climb(
    explicit: Any, M: np.ndarray, points: int, rng: np.random.Generator, climbs: int = 12, rounds: int = 25
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


def _end(out: Path, rows: list[dict[str, Any]], size: Size, command: str, report: Callable[[str], None]) -> int:
    from reports.experiment_page import Chart, ChartFigure, Criterion, Curve
    from reports.quantities import Number
    from reports.tables import Table

    left, excess = sum(row["left"] for row in rows), max(row["attained"] / row["rate"] for row in rows)
    criteria = [
        Criterion("pairs outside the certified envelope", Number(left), f"0 of {size.pairs * len(rows)}", left == 0),
        Criterion("networks whose certificate holds", Number(sum(row["holds"] for row in rows)), f"all {len(rows)}",
                  all(row["holds"] for row in rows)),
        Criterion("alpha* over the bound it was built for", Number(max(row["rate"] / row["bound"] for row in rows), "", 6),
                  "at most 1", all(row["rate"] <= row["bound"] * (1 + 1e-9) for row in rows)),
        Criterion("attained in one step over alpha*", Number(excess, "", 6), "at most 1", excess <= 1 + 1e-9),
    ]  # fmt: skip
    table = Table(
        tuple(
            (
                f"{row['start']}, {row['bound']:g}", Number(row["rate"], "", 5), Number(row["attained"], "", 5),
                Number(row["attained"] / row["rate"], "", 4), Number(row["closest"], "", 4), Number(row["condition"], "", 3),
                Number(row["margin"], "", 2),
            )
            for row in rows
        ),
        ("start and rate bound", "alpha*, proved", "one step, attained", "attained / proved", "distance / envelope, largest",
         "condition of M", "margin of the proof"),
        f"Contracting RENs, nx = {size.nx}, nv = {size.nv}, {size.activation}; {size.pairs} pairs of {size.steps} steps each",
    )  # fmt: skip
    t, charts = np.arange(size.steps + 1), []
    for row in rows:
        largest, level = np.asarray(row["largest"]), float(row["floor"])
        seen = slice(0, min(size.steps + 1, int(np.argmax(largest < 2 * level)) or size.steps + 1))
        charts.append(
            Chart(
                f"{row['start'].replace('_', ' ')}, bound {row['bound']:g}", "step", "distance, first = 1",
                (
                    Curve("largest of all pairs", t[seen], largest[seen]), Curve("median", t[seen], row["median"][seen]),
                    Curve("certified, alpha*^t", t[seen], row["rate"] ** t[seen], role="bound"),
                ),
                log="y",
            )
        )  # fmt: skip
    states = ChartFigure(
        "states",
        "Two runs under the same input",
        "One state of the first pair, for the slowest network: what the runs share after a while is what the input made.",
        (Chart("Two initial states", "step", "first state", (
            Curve("first run", np.arange(len(rows[-1]["states"][0])), rows[-1]["states"][0]),
            Curve("second run", np.arange(len(rows[-1]["states"][1])), rows[-1]["states"][1]))),),
    )  # fmt: skip
    envelopes = ChartFigure(
        "envelopes",
        "Distances, and the certified envelope",
        "Distances are measured in M and over the first one. No line may lie above the dotted one; they are drawn until rounding "
        "is all that is left. A long memory leaves little between them, random parameters forget faster than is proved.",
        tuple(charts), 3,
    )  # fmt: skip
    page = {
        "title": "Contraction: two initial states forget each other", "tables": [table], "figures": [envelopes, states],
        "sentence": f"{left} of {size.pairs * len(rows)} pairs of runs leave the certified envelope.",
        "notes": ["alpha*: the smallest rate that M and the multipliers prove, from the explicit matrices in closed form. Attained: "
                  "the spectral norm of the Jacobian in M at the worst states and inputs found, so that no rate below it can be "
                  f"proved in this M. Rounding is allowed for with {ROUNDING:g} |x|_M / (1 - alpha*).",
                  "Published: RobustNeuralNetworks.jl draws such a pair at the rate bound 1, which proves no rate."],
        "command": command, "toy": size.name != "full",
    }  # fmt: skip
    drawn = ("largest", "median", "states")
    metrics = {"networks": [{k: v for k, v in row.items() if k not in drawn} for row in rows]}
    return finish(out, "contracting", criteria, metrics, page, report)
