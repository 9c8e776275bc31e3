"""``observer experiment scaling``: how large the direct parameterisations can be made, what limits them, and what helps.

For growing nx and nv, at the start of training: the condition number of H, the margin of the certificate recomputed from the
explicit matrices, the same after the map was evaluated in float32, and the time of the map. The papers leave the question open.
H = X'X with a square random X has a condition number that grows like n^2 and more, beyond what float32 can hold; whether that
matters is what the recomputed certificate says. What may push the limit is tried: an orthogonal X, a larger eps, a start with
long memory (small slack by design), and the R2DN, whose H is (2 nx, 2 nx) whatever the number of neurons.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.runner import finish, interruptible, kept, one_thread, refuse

RATE = 0.95
LONG = "REN, long memory"
MOST_LONG = 1600  # rows of H: this start searches with eigenvalues of H, and takes minutes beyond


@dataclass(frozen=True)
class Size:
    """Pairs (nx, nv), how many seconds the time of a map is repeated for; ``squeezed``: nx = nv of the ill-conditioned H,
    and by which powers of ten the singular values of its X fall.
    """

    pairs: tuple[tuple[int, int], ...] = (
        (16, 16), (64, 64), (256, 256), (512, 512), (1024, 1024), (16, 2048), (2048, 16), (2048, 2048),
    )  # fmt: skip
    seconds: float = 1.0
    squeezed: int = 128
    powers: tuple[float, ...] = (0, 1, 2, 3, 3.5, 4, 4.25, 4.5, 4.75, 5, 6)
    name: str = "full"


SMOKE = Size(((2, 2), (4, 4), (6, 2)), 0.0, 3, (0, 2, 6), "smoke")


def networks() -> dict[str, Callable[[int, int, str, int], Any]]:
    """What is compared: name -> (nx, nv, dtype, seed) -> network. eps is beside entries of H of the size of 1."""
    from observer.networks import R2DN, ContractingREN

    def ren(start: str, eps: float) -> Callable[[int, int, str, int], Any]:
        return lambda nx, nv, dtype, seed: ContractingREN(
            4, nx, nv, 4, contraction_rate=RATE, initial=start, eps=eps, dtype=dtype, seed=seed
        )

    return {
        "REN, X random": ren("random", 1e-9),
        "REN, X random, eps 1e-3": ren("random", 1e-3),
        "REN, X orthogonal": ren("random_qr", 1e-9),
        LONG: ren("long_memory", 1e-9),
        "R2DN, X random": lambda nx, nv, dtype, seed: R2DN(
            4, nx, min(nx, nv), 4, hidden=(nv,), activation="tanh", contraction_rate=RATE, dtype=dtype, seed=seed
        ),
    }


def run(
    out: Path,
    *,
    full: bool = False,
    seed: int = 0,
    quiet: bool = False,
    report: Callable[[str], None] = print,
    **options: Any,
) -> int:
    """Measure every network at every size into ``out``; 0 when all certificates hold in float64.

    ``options``: fresh. ``full`` changes nothing: the largest pair is (2048, 2048).
    """
    refuse(options, ())
    size: Size = options.get("size") or Size()
    rows = []
    with interruptible(out), one_thread():
        for nx, nv in size.pairs:
            for name, make in networks().items():
                if name == LONG and 2 * nx + nv > MOST_LONG:
                    continue
                key = {"nx": nx, "nv": nv, "name": name, "seed": seed, "seconds": size.seconds}
                part = f"{name.replace(', ', '_').replace(' ', '_')}-{nx}-{nv}"
                row = kept(
                    out, part, key, lambda make=make, nx=nx, nv=nv: measure(make, nx, nv, seed, size.seconds),
                    bool(options.get("fresh")),
                )  # fmt: skip
                rows.append({"name": name, **row})
                report(
                    f"{name}, nx {nx}, nv {nv}: cond H {row['condition']:.2e}, margin {row['margin']:.1e}, in float32 "
                    f"{row['margin32']:.1e} ({'proved' if row['holds32'] else 'not proved'}), {row['milliseconds']:.3g} ms"
                )
        squeezed = []
        for power in size.powers:
            row = kept(
                out, f"squeezed-{power:g}".replace(".", "_"), {"size": size.squeezed, "power": power, "seed": seed},
                lambda power=power: squeeze(size.squeezed, power, seed), bool(options.get("fresh")),
            )  # fmt: skip
            squeezed.append(row)
            report(f"cond H {row['condition']:.1e}: margin {row['margin']:.1e}, in float32 {row['margin32']:.1e}")
    return _end(out, rows, squeezed, size, f"observer experiment scaling --seed {seed} --out {out}", report)


def measure(make: Callable[[int, int, str, int], Any], nx: int, nv: int, seed: int, seconds: float) -> dict[str, Any]:
    """One network: cond H, margins, how far the float32 map is off, and the time of the map in float32."""
    import torch

    exact, single = (make(nx, nv, dtype, seed) for dtype in ("float64", "float32"))
    with torch.no_grad():
        wide, narrow = exact.explicit().to_numpy(), single.explicit().to_numpy()
    off = max(_off(getattr(narrow, name), getattr(wide, name)) for name in ("A", "B1"))
    proof, proof32 = exact.verify(), exact.verify(narrow)
    parameters = list(single.parameters())

    def job() -> None:
        with torch.no_grad():
            single.explicit()

    def back() -> None:
        total: Any = sum(value.square().sum() for value in single.explicit().weights().values())
        torch.autograd.grad(total, parameters, allow_unused=True)

    return {
        "nx": nx, "nv": nv, "parameters": sum(p.numel() for p in parameters), "condition": condition(implicit(exact)),
        "margin": proof.margin, "holds": proof.holds, "margin32": proof32.margin, "holds32": proof32.holds, "off": off,
        "milliseconds": 1e3 * _least(job, seconds), "milliseconds_back": 1e3 * _least(back, seconds),
    }  # fmt: skip


def squeeze(size: int, power: float, seed: int) -> dict[str, Any]:
    """What float32 makes of a REN of nx = nv = ``size`` whose X has singular values from 1 down to 10^-power, without eps."""
    from observer.networks import ContractingREN

    def network(dtype: str) -> Any:
        made = ContractingREN(
            4, size, size, 4, contraction_rate=RATE, initial="random_qr", eps=0.0, dtype="float64", seed=seed
        )
        direct = made.direct()
        direct["X"] = (
            direct["X"] * np.geomspace(1.0, 10.0**-power, 3 * size)[np.random.default_rng(seed).permutation(3 * size)]
        )
        left = np.linalg.qr(np.random.default_rng(seed + 1).normal(size=(3 * size, 3 * size)))[0]
        direct["X"] = direct["X"] @ left  # else H would be diagonal
        direct["p"] = np.sqrt(np.square(direct["X"]).sum())[None]
        return ContractingREN.from_direct(direct, contraction_rate=RATE, eps=0.0, dtype=dtype)

    exact = network("float64")
    wide, narrow = exact.explicit().to_numpy(), network("float32").explicit().to_numpy()
    proof, proof32 = exact.verify(), exact.verify(narrow)
    off = _off(narrow.A, wide.A)
    return {
        "power": power, "condition": 10.0 ** (2 * power), "margin": proof.margin, "holds": proof.holds,
        "margin32": proof32.margin, "holds32": proof32.holds, "off": off,
    }  # fmt: skip


def implicit(network: Any) -> np.ndarray:
    """H in float64, by its formula (MATH 2a, 2c) from the direct parameters."""
    from observer.networks import R2DN

    direct = {name: value.astype(float) for name, value in network.direct().items()}
    X = direct["X"]
    H = direct["p"] ** 2 * (X.T @ X) / (np.square(X).sum() + network.norm_eps) + network.eps * np.eye(len(X))
    if isinstance(network, R2DN):
        n = network.nx
        H[:n, :n] += direct["C1"].T @ direct["C1"]
        H[n:, n:] += direct["B1"] @ direct["B1"].T
    return H


def condition(H: np.ndarray, iterations: int = 60) -> float:
    """lambda_max / lambda_min of a positive definite H, by the power method and by inverse iteration with one factorisation.

    Both are lower bounds of what they stand for; exact to some per cent after ``iterations``. Infinite where the
    factorisation breaks down.
    """
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    rng = np.random.default_rng(0)
    try:
        factor = cho_factor(H, check_finite=False)
    except LinAlgError:
        return float("inf")
    high, low = rng.normal(size=(2, len(H)))
    largest = smallest = 1.0
    for _ in range(iterations):
        high, low = high / np.linalg.norm(high), low / np.linalg.norm(low)
        above, below = H @ high, cho_solve(factor, low, check_finite=False)
        largest, smallest = float(high @ above), 1 / float(low @ below)
        high, low = above, below
    return largest / smallest


def _off(found: np.ndarray, exact: np.ndarray) -> float:
    """|found - exact| / max(|exact|, 1), Frobenius: where X is orthogonal, A and B1 are 0."""
    return float(np.linalg.norm(found - exact) / max(np.linalg.norm(exact), 1.0))


def _least(job: Callable[[], None], seconds: float) -> float:
    """Processor seconds, the least of as many calls as fit into ``seconds``, one at least."""
    found: list[float] = []
    while not found or sum(found) < seconds:
        start = time.process_time()
        job()
        found.append(time.process_time() - start)
    return min(found)


def failure(rows: list[dict[str, Any]], name: str) -> str:
    """The smallest size of equal nx and nv at which the float32 map of ``name`` was not proved, in words."""
    square = [row for row in rows if row["name"] == name and row["nx"] == row["nv"]]
    failed = [row["nx"] for row in square if not row["holds32"]]
    return f"nx = nv = {min(failed)}" if failed else "none of these" if square else "not tried"


def _end(
    out: Path,
    rows: list[dict[str, Any]],
    squeezed: list[dict[str, Any]],
    size: Size,
    command: str,
    report: Callable[[str], None],
) -> int:
    from reports.experiment_page import Chart, ChartFigure, Criterion, Curve
    from reports.quantities import Number, number_text
    from reports.tables import Table

    proved = sum(row["holds"] for row in rows)
    criteria = [Criterion("certificates that hold in float64", Number(proved), f"all {len(rows)}", proved == len(rows))]
    names = list(networks())
    table = Table(
        tuple(
            (
                f"{row['name']}", f"{row['nx']}, {row['nv']}", Number(row["parameters"]), Number(row["condition"], "", 3),
                Number(row["margin"], "", 3), Number(row["margin32"], "", 3), "proved" if row["holds32"] else "not proved",
                Number(row["off"], "", 2), Number(row["milliseconds"], "ms", 3), Number(row["milliseconds_back"], "ms", 3),
            )
            for row in rows
        ),
        ("network", "nx, nv", "parameters", "cond H", "margin", "margin, float32 map", "float32", "off by", "map", "with gradients"),
        "Start of training, rate 0.95; margins are smallest eigenvalues of the form scaled to unit diagonal",
    )  # fmt: skip
    limits = Table(
        tuple((name, failure(rows, name)) for name in names),
        ("network", "first size that float32 does not prove"),
        "Float32 failure point",
    )

    lost = [row for row in squeezed if not row["holds32"]]
    point = min((row["condition"] for row in lost), default=float("inf"))
    conditions = Table(
        tuple(
            (
                number_text(row["condition"], 2), Number(row["margin"], "", 2), "proved" if row["holds"] else "not proved",
                Number(row["margin32"], "", 2), "proved" if row["holds32"] else "not proved", Number(row["off"], "", 2),
            )
            for row in squeezed
        ),
        ("cond H", "margin", "float64", "margin, float32 map", "float32", "A off by"),
        f"An ill-conditioned H: nx = nv = {size.squeezed}, singular values of X falling geometrically, eps = 0",
    )  # fmt: skip

    failing = [f"{name} at {failure(rows, name)}" for name in names if failure(rows, name).startswith("nx")]
    start = (
        f"At the start of training float32 fails for {'; '.join(failing)}."
        if failing
        else "At the start of training every network is proved in float32 as well, at every size."
    )

    def series(field: str, transform: Callable[[float], float] = lambda v: v) -> tuple[Curve, ...]:
        curves = []
        for name in names:
            square = [row for row in rows if row["name"] == name and row["nx"] == row["nv"]] or rows[:0]
            curves.append(Curve(name, [r["nx"] for r in square], [transform(r[field]) for r in square], "both"))
        return tuple(curves)

    figure = ChartFigure(
        "scaling", "Growing networks of equal nx and nv",
        "Condition: float32 keeps about seven digits, so that beyond 10⁷ nothing of the smallest direction of H is left. Margin: "
        "what the recomputed certificate has to spare; where the map was evaluated in float32, a negative margin is not shown. "
        "Time: one core, without gradients, float32.",
        (
            Chart("Condition number of H", "nx = nv", "cond H", series("condition"), log="xy"),
            Chart("Margin, evaluated in float64", "nx = nv", "margin", series("margin"), log="xy"),
            Chart("Margin, evaluated in float32", "nx = nv", "margin", series("margin32"), log="xy"),
            Chart("Time of the map direct to explicit", "nx = nv", "time", series("milliseconds"), "", "ms", log="xy"),
        ),
    )  # fmt: skip
    page = {
        "title": "How large a robust network can be",
        "sentence": f"{proved} of {len(rows)} certificates hold in float64. {start} What makes float32 fail is the conditioning that "
        + f"training may bring: {f'from cond H = {number_text(point, 2)} on' if lost else 'not reached here'}.",
        "summary": "Promises hold for every parameter in exact arithmetic. In floating point the condition of H says what the map may "
        "lose, and the margin of the recomputed certificate what the network has to spare; training moves X away from its start.",
        "tables": [limits, conditions, table],
        "notes": [
            "The float32 map is judged in float64, with the metric and the multipliers of the same parameters in float64. 'Off by': "
            "relative error of A or B1, whichever is larger.",
            "The hidden layer of the R2DN has nv neurons, its coupling min(nx, nv).",
            "No figures of this kind are published.",
        ],
        "figures": [figure], "command": command, "toy": size.name != "full",
    }  # fmt: skip
    metrics = {
        "sizes": asdict(size)["pairs"],
        "rows": rows,
        "squeezed": squeezed,
        "float32_fails_at_condition": point,
        "float32_fails_at": {n: failure(rows, n) for n in names},
    }
    return finish(out, "scaling", criteria, metrics, page, report)
