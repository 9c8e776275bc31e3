"""``observer experiment scaling``: how large the direct parameterisations can be made, what limits them, and what helps.

For growing nx and nv, before training: the condition number of H, the margin of the certificate recomputed from the
explicit matrices, the same after the map was evaluated in float32, and the time of the map. The papers leave the question open.
H = X'X with a square random X has a condition number that grows like n^2 and more, beyond what float32 can hold; whether that
matters is what the recomputed certificate says. What may push the limit is tried: an orthogonal X, a larger eps, initial weights
with long memory (small slack by design), and the R2DN, whose H is (2 nx, 2 nx) whatever the number of neurons.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.runner import Measured, Parts, Size, one_thread

RATE = 0.95
LONG = "REN, long memory"
MOST_LONG = 1600  # rows of H: these initial weights are found with eigenvalues of H, and takes minutes beyond


@dataclass(frozen=True)
class ScalingSize(Size):
    """Pairs (nx, nv), how many seconds the time of a map is repeated for; ``squeezed``: nx = nv of the ill-conditioned H,
    and by which powers of ten the singular values of its X fall.
    """

    pairs: tuple[tuple[int, int], ...] = (
        (16, 16), (64, 64), (256, 256), (512, 512), (1024, 1024), (16, 2048), (2048, 16), (2048, 2048),
    )  # fmt: skip
    seconds: float = 1.0
    squeezed: int = 128
    powers: tuple[float, ...] = (0, 1, 2, 3, 3.5, 4, 4.25, 4.5, 4.75, 5, 6)


FULL = ScalingSize()
SMOKE = ScalingSize(((2, 2), (4, 4), (6, 2)), 0.0, 3, (0, 2, 6), name="smoke")


@dataclass(frozen=True)
class Growth(Measured):
    """Networks of growing size, and ``squeezed``: one of a fixed size whose H is ever worse conditioned."""

    squeezed: Sequence[Mapping[str, Any]]


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


@one_thread()
def measure(size: ScalingSize, seed: int, parts: Parts) -> Growth:
    """Measure every network at every size; it passes when all certificates hold in float64."""
    rows = []
    for nx, nv in size.pairs:
        for name, make in networks().items():
            if name == LONG and 2 * nx + nv > MOST_LONG:
                continue
            key = {"nx": nx, "nv": nv, "name": name, "seed": seed, "seconds": size.seconds}
            part = f"parts/{name.replace(', ', '_').replace(' ', '_')}-{nx}-{nv}"
            row = {"name": name, **parts.keep(part, key, examine, make, nx, nv, seed, size.seconds)}
            rows.append(row)
            parts.say(
                f"{name}, nx {nx}, nv {nv}: cond H {row['condition']:.2e}, margin {row['margin']:.1e}, in float32 "
                f"{row['margin32']:.1e} ({'proved' if row['holds32'] else 'not proved'}), {row['milliseconds']:.3g} ms"
            )
    squeezed = []
    for power in size.powers:
        key = {"size": size.squeezed, "power": power, "seed": seed}
        part = f"parts/squeezed-{power:g}".replace(".", "_")
        row = parts.keep(part, key, squeeze, size.squeezed, power, seed)
        squeezed.append(row)
        parts.say(f"cond H {row['condition']:.1e}: margin {row['margin']:.1e}, in float32 {row['margin32']:.1e}")
    return Growth(size, seed, rows, squeezed)


def examine(make: Callable[[int, int, str, int], Any], nx: int, nv: int, seed: int, seconds: float) -> dict[str, Any]:
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
    """Precision in float32 of a REN of nx = nv = ``size`` whose X has singular values from 1 down to 10^-power, without eps."""
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
