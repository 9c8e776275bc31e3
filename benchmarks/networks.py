"""Times of REN, R2DN and torch's LSTM at equal parameter count: ``python -m benchmarks.networks``.

For each number of neurons: one step, one step with gradients, and a rollout with gradients, once with the explicit
matrices built once and once with them built at every step, which is the mistake that the two types are there to prevent.
Float32, one torch thread. Prints one table and writes it to ``docs/network_timings.md``.
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import Timing, measure
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
    seconds: float = 2.0


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
        run, again = (_lstm_run(network), None) if name == "LSTM" else (_once(network), _always(network))
        jobs: dict[str, Callable[[], object]] = {
            "one step": lambda run=run: run(u[:, :1]).detach(),
            "one step, with gradients": lambda run=run, network=network: _gradients(network, run(u[:, :1])),
            f"{sizes.steps} steps": lambda run=run: run(u).detach(),
            f"{sizes.steps} steps, with gradients": lambda run=run, network=network: _gradients(network, run(u)),
        }
        if again is not None:
            jobs[f"{sizes.steps} steps, explicit() at each, with gradients"] = lambda again=again, network=network: (
                _gradients(network, again(u))
            )
        found += [Row(nv, name, count(network), what, measure(job, sizes.seconds)) for what, job in jobs.items()]
    return found


def _gradients(network: torch.nn.Module, y: torch.Tensor) -> object:
    return torch.autograd.grad(y.square().mean(), list(network.parameters()), allow_unused=True)


def _lstm_run(network: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    return network


def _once(network: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda u: unroll(network.explicit(), u.new_zeros(len(u), network.nx), u)[1]


def _always(network: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    def run(u: torch.Tensor) -> torch.Tensor:
        x, outputs = u.new_zeros(len(u), network.nx), []
        for k in range(u.shape[1]):
            x, y = network(x, u[:, k])
            outputs.append(y)
        return torch.stack(outputs, 1)

    return run


def page(lines: list[Row], sizes: Sizes) -> str:
    """The table and how to read it, as Markdown."""
    head = ("nv", "network", "parameters", "what", "ms: least (median)")
    table = ["| " + " | ".join(cells) + " |" for cells in (head, ("---",) * len(head), *(row.cells for row in lines))]
    return f"""# Times of the networks

Written by `python -m benchmarks.networks`; figures of one run on {os.cpu_count()} cores. Float32, batch {sizes.batch}, \
{sizes.nu} inputs, {sizes.ny} outputs, one torch thread; nx = {sizes.states_per_neuron:g} nv. R2DN (two hidden layers) and \
torch's LSTM have the width that brings their number of free parameters nearest to that of the REN with nv neurons. \
"Least" comes nearest to a quiet machine. Compare rows of one run.

{chr(10).join(table)}

A REN and an R2DN are built from their parameters once per update (`explicit()`) and then stepped; "explicit() at each" \
builds them at every step.
"""


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=PAGE, help="the page to write")
    parser.add_argument("--toy", action="store_true", help="tiny sizes, to see that all runs")
    options = parser.parse_args(arguments)
    sizes = Sizes((4, 6), 0.5, 3, 2, 2, 5, 0.005) if options.toy else Sizes()
    start, threads = time.perf_counter(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        lines = [row for nv in sizes.neurons for row in rows(nv, sizes)]
    finally:
        torch.set_num_threads(threads)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(page(lines, sizes), encoding="utf-8")
    for row in lines:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row.cells, (4, 6, 10, 50, 20), strict=True)))
    print(f"{time.perf_counter() - start:.0f} s; written to {options.out}")


if __name__ == "__main__":
    main()
