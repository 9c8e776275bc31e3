"""Times of REN, R2DN and torch's LSTM at equal parameter count: ``python -m benchmarks.networks``.

For each number of neurons: direct to explicit, one step, one step with gradients, and a rollout with gradients, by the
fused operation and by a loop that torch records; and with the explicit matrices built at every step of that loop, which
is the mistake that the two types are there to prevent. Float32, one torch thread. Prints one table and writes it, with
the ratios that it is about, to ``docs/network_timings.md``.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import Timing, markdown, measure, write_timings
from observer.fitting.solvers.direct import one_thread
from observer.networks import R2DN, ContractingREN, unroll

PAGE = Path(__file__).parents[1] / "docs" / "network_timings.md"


@dataclass(frozen=True)
class Sizes:
    """What is measured: neurons of the REN, states per neuron, samples, inputs, steps of a rollout, seconds a figure."""

    neurons: tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    states_per_neuron: float = 0.25
    batch: int = 64
    nu: int = 4
    ny: int = 4
    steps: int = 128
    seconds: float = 1.0


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    neurons: int
    network: str
    parameters: int
    what: str
    timing: Timing

    @property
    def cells(self) -> tuple[str, ...]:
        """The line as text."""
        return str(self.neurons), self.network, str(self.parameters), self.what, self.timing.text


def count(module: torch.nn.Module) -> int:
    """Free parameters."""
    return sum(value.numel() for value in module.parameters())


def nearest(make: Callable[[int], torch.nn.Module], target: int, most: int = 8192) -> torch.nn.Module:
    """The module of the family ``make(width)`` whose parameter count comes nearest to ``target``."""
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(make(middle)) <= target else (low, middle)
    return min((make(low), make(high)), key=lambda module: abs(count(module) - target))


class LSTM(torch.nn.Module):
    """torch's LSTM and a linear output."""

    def __init__(self, nu: int, width: int, ny: int) -> None:
        super().__init__()
        self.cell = torch.nn.LSTM(nu, width, batch_first=True)
        self.output = torch.nn.Linear(width, ny)

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        """y (batch, N, ny) for u (batch, N, nu)."""
        return self.output(self.cell(u)[0])


def networks(nv: int, sizes: Sizes) -> dict[str, torch.nn.Module]:
    """The three, of about the same number of parameters."""
    nx = max(1, round(sizes.states_per_neuron * nv))
    options: dict[str, Any] = {"contraction_rate": 0.95, "dtype": "float32"}
    ren = ContractingREN(sizes.nu, nx, nv, sizes.ny, **options)
    coupled = max(1, nx)

    def deep(width: int) -> torch.nn.Module:
        return R2DN(sizes.nu, nx, coupled, sizes.ny, hidden=(width, width), activation="tanh", **options)

    return {
        "REN": ren,
        "R2DN": nearest(deep, count(ren), 2048),
        "LSTM": nearest(lambda width: LSTM(sizes.nu, width, sizes.ny), count(ren)),
    }


def rows(nv: int, sizes: Sizes) -> list[Row]:
    """All lines for one number of neurons."""
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(sizes.batch, sizes.steps, sizes.nu, generator=generator)
    found: list[Row] = []
    for name, network in networks(nv, sizes).items():
        found += [
            Row(nv, name, count(network), what, measure(job, sizes.seconds, clock=time.process_time))
            for what, job in jobs(name, network, u).items()
        ]
    return found


ONE, ONE_BACK = "one step", "one step, with gradients"
ROLL, BACK, LOOP, ALWAYS = (
    "rollout",
    "rollout, with gradients",
    "the same, recorded by torch",
    "the same, explicit() at each step",
)
MAP = "direct to explicit, with gradients"


def jobs(name: str, network: torch.nn.Module, u: torch.Tensor) -> dict[str, Callable[[], object]]:
    """What is timed of one network, by name; each includes explicit(), once or at every step."""
    short = u[:, :1]

    def back(y: torch.Tensor) -> object:
        return torch.autograd.grad(y.square().mean(), list(network.parameters()), allow_unused=True)

    if name == "LSTM":
        run: Any = network
        return {
            ONE: lambda: run(short).detach(),
            ONE_BACK: lambda: back(run(short)),
            ROLL: lambda: run(u).detach(),
            BACK: lambda: back(run(u)),
        }
    once = _once(network)
    return {
        MAP: lambda: back(sum(v.square().sum() for v in network.explicit().weights().values())),  # type: ignore[operator]
        ONE: lambda: once(short, "auto").detach(),
        ONE_BACK: lambda: back(once(short, "auto")),
        ROLL: lambda: once(u, "auto").detach(),
        BACK: lambda: back(once(u, "auto")),
        LOOP: lambda: back(once(u, "loop")),
        ALWAYS: lambda: back(_always(network)(u)),
    }


def _once(network: Any) -> Callable[[torch.Tensor, str], torch.Tensor]:
    return lambda u, kernel: unroll(network.explicit(), u.new_zeros(len(u), network.nx), u, kernel)[1]


def _always(network: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    def run(u: torch.Tensor) -> torch.Tensor:
        x, outputs = u.new_zeros(len(u), network.nx), []
        for k in range(u.shape[1]):
            x, y = network(x, u[:, k])
            outputs.append(y)
        return torch.stack(outputs, 1)

    return run


def products(network: Any) -> int:
    """Multiply-adds of one step for one sample, the explicit weights given."""
    if isinstance(network, LSTM):
        return sum(value.numel() for name, value in network.named_parameters() if "weight" in name)
    explicit = network.explicit()
    dense = [value for name, value in explicit.weights().items() if value.ndim == 2 and name != "D11"]
    triangle = network.nv * (network.nv - 1) // 2 if isinstance(network, ContractingREN) else 0
    return sum(value.numel() for value in dense) + triangle


def ratios(lines: list[Row], sizes: Sizes) -> list[tuple[str, ...]]:
    """Per number of neurons: multiply-adds of each, what a rebuild costs, and the networks beside each other."""
    table: list[tuple[str, ...]] = [
        ("nv", "multiply-adds a step: REN, R2DN, LSTM", "explicit() at each step / once, same loop: REN, R2DN",
         "... / once, fused: REN, R2DN", "loop, R2DN / REN", "fused, R2DN / REN", "LSTM / REN, fused")
    ]  # fmt: skip
    for nv in sizes.neurons:
        least = {(row.network, row.what): row.timing.least for row in lines if row.neurons == nv}

        def over(above: tuple[str, str], below: tuple[str, str], least: Any = least) -> str:
            return f"{least[above] / least[below]:.2g}"

        pairs = [", ".join(over((name, ALWAYS), (name, what)) for name in ("REN", "R2DN")) for what in (LOOP, BACK)]
        work = ", ".join(f"{products(network)}" for network in networks(nv, sizes).values())
        beside = [over(("R2DN", what), ("REN", what)) for what in (LOOP, BACK)]
        table.append((str(nv), work, *pairs, *beside, over(("LSTM", BACK), ("REN", BACK))))
    return table


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def page(lines: list[Row], sizes: Sizes) -> str:
    """The tables and how to read them, as Markdown."""
    head = ("nv", "network", "parameters", "what", "ms of one core: least (median)")
    table = [head, *(row.cells for row in lines)]
    return f"""# Times of the networks

Written by `python -m benchmarks.networks`; figures of one run on {_cores()} of {os.cpu_count()} cores. Float32, batch {sizes.batch}, \
{sizes.nu} inputs, {sizes.ny} outputs, one torch thread; a rollout is {sizes.steps} steps; nx = {sizes.states_per_neuron:g} nv. R2DN (two \
hidden layers) and torch's LSTM have the width that brings their number of free parameters nearest to that of the REN with nv \
neurons. Times are processor time; "least" of many \
repetitions comes nearest to an idle machine. Compare rows of one run.

{markdown(ratios(lines, sizes))}

How the ratios are read:

- A REN and an R2DN are built from their parameters once per update (`explicit()`) and then stepped; building them at each step \
takes much longer (9 to 11 times as long in the published reference implementation).
- `unroll` takes all steps in one operation with a backward pass of its own ("fused"): the gradient of every matrix is one product \
over all steps. Recorded by torch, the gradient of D11 is one product and one addition of the size of D11 per step, which an R2DN \
does not have. That is where an R2DN is ahead of a REN, and more so the larger they are.
- Fused, only arithmetic is left, and at equal parameter counts REN and R2DN have nearly the same number of multiply-adds, for \
the REN half of them in a triangle that the compiled sweep does at the rate of a matrix product. On one core an R2DN then has no \
advantage in a rollout; its layers avoid the evaluation of one neuron after another, which matters on a GPU. Its own map from the \
direct parameters takes about twice as long as that of the REN: one Cayley transform with its inverse per layer, recorded by torch.

{markdown(table)}
"""


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, write."""

    def measured(sizes: Sizes) -> tuple[str, list[Row]]:
        with one_thread():
            lines = [row for nv in sizes.neurons for row in rows(nv, sizes)]
        return page(lines, sizes), lines

    sizes = Sizes(), Sizes((4, 6), 0.5, 3, 2, 2, 5, 0.005)
    write_timings(arguments, __doc__, PAGE, sizes, measured, (4, 6, 10, 50, 20))


if __name__ == "__main__":
    main()
