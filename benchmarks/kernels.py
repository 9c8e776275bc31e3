"""Times of the network kernels beside the machine's own matrix products: ``python -m benchmarks.kernels``.

Prints one table and writes it to ``docs/performance.md``. Everything runs in float32 on one torch thread with a batch of
500, nx = 51 and tanh; the ideal of a row is its number of multiply-adds at the rate of ``torch.mm`` on square matrices
of the size of the network, measured in the same run.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.timing import Timing, markdown, measure, write_timings
from observer.fitting.solvers.direct import one_thread
from observer.networks import ContractingREN, ExplicitREN, solve_equilibrium
from observer.networks.kernels.optimizer import Adam
from observer.networks.ren.one_step_training import OneStepTraining
from observer.networks.ren.rollout import rollout

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
FIRST_STEP = """
import time
start = time.perf_counter()
import torch
from observer.networks import ContractingREN
from observer.networks.ren.one_step_training import OneStepTraining
ren = ContractingREN({nu}, {nx}, {nv}, contraction_rate=0.95, identity_output=True, dtype="float32")
x, u = torch.rand({batch}, {nx}), torch.rand({batch}, {nu})
OneStepTraining(ren).update(x, u, x)
print(time.perf_counter() - start)
"""


@dataclass(frozen=True)
class Sizes:
    """What is measured: networks, samples, states, inputs, steps of a rollout, seconds per figure."""

    neurons: tuple[int, ...] = (50, 200, 500)
    batch: int = 500
    nx: int = 51
    nu: int = 2
    steps: int = 2000
    seconds: float = 2.0


@dataclass(frozen=True)
class Row:
    """One line of the table; ``flops`` zero where no count is sensible."""

    what: str
    neurons: int
    timing: Timing
    flops: float = 0.0
    rate: float = 1.0

    @property
    def cells(self) -> tuple[str, ...]:
        """The line as text."""
        if not self.flops:
            return (self.what, str(self.neurons), self.timing.text, "", "")
        ideal = self.flops / self.rate
        return (
            self.what, str(self.neurons), self.timing.text, f"{1e3 * ideal:.3g}", f"{self.timing.least / ideal:.1f}",
        )  # fmt: skip


def matrix_rate(n: int, seconds: float) -> float:
    """Floating-point operations per second of torch.mm on n x n float32 matrices, the best of the run."""
    left, right = torch.randn(n, n), torch.randn(n, n)
    return 2 * n**3 / measure(lambda: left @ right, seconds).least


def equilibrium_rows(nv: int, rate: float, sizes: Sizes) -> list[Row]:
    """Forward, and forward with backward, of the compiled kernel and of the reference."""
    generator = torch.Generator().manual_seed(0)
    D11 = torch.randn(nv, nv, generator=generator) / nv**0.5
    b = torch.randn(nv, sizes.batch, generator=generator).T  # neurons-major, as the network computes it
    g = torch.randn(nv, sizes.batch, generator=generator).T
    D11_leaf, b_leaf = D11.clone().requires_grad_(), b.clone().requires_grad_()

    def both(kernel: str) -> object:
        return torch.autograd.grad(solve_equilibrium(D11_leaf, b_leaf, "tanh", kernel), (D11_leaf, b_leaf), g)

    flops, rows = float(nv * nv * sizes.batch), []
    for kernel, name in (("cpu", "compiled"), ("cuda", "blocked torch"), ("reference", "reference")):
        seconds = sizes.seconds if kernel == "cpu" else sizes.seconds / 2
        ahead = measure(lambda k=kernel: solve_equilibrium(D11, b, "tanh", k), seconds)
        rows.append(Row(f"equilibrium forward, {name}", nv, ahead, flops, rate))
        if kernel != "reference" or nv <= 200:
            timing = measure(lambda k=kernel: both(k), seconds)
            rows.append(Row(f"equilibrium forward and backward, {name}", nv, timing, 3 * flops, rate))
    return rows


def training_flops(nx: int, nu: int, nv: int, batch: int) -> float:
    """Operations of one update that cannot be avoided by structure: X'X below its block diagonal, X times a symmetric
    matrix, the affine maps and their gradients, the triangular sweeps."""
    size = 2 * nx + nv
    gram = size * (2 * nx * nx + 2 * nx * nv + nv * nv + 2 * nx * (nx + nv)) + 2.0 * size**3
    affine = 2.0 * batch * (nx + nv) * (nx + nu) * 2 + 2.0 * batch * nx * nv * 3
    return gram + affine + 3.0 * nv * nv * batch


def training_rows(nv: int, rate: float, sizes: Sizes) -> list[Row]:
    """The whole update and its parts."""
    ren = ContractingREN(sizes.nu, sizes.nx, nv, contraction_rate=0.95, identity_output=True, dtype="float32")
    optimizer = Adam(ren.parameters(), 1e-4)
    generator = torch.Generator().manual_seed(0)
    x, x_next = (torch.rand(sizes.batch, sizes.nx, generator=generator) for _ in range(2))
    u = torch.rand(sizes.batch, sizes.nu, generator=generator)

    def update(kernel: str = "auto") -> None:
        optimizer.zero_grad()
        explicit = ren.explicit("reference" if kernel == "reference" else "auto")
        (explicit.next_state(x, u, kernel) - x_next).square().sum(1).mean().backward()
        optimizer.step()

    flops, training = training_flops(sizes.nx, sizes.nu, nv, sizes.batch), OneStepTraining(ren, 1e-4)
    compiled = measure(lambda: training.update(x, u, x_next), 2 * sizes.seconds)
    gradients = measure(lambda: training.gradients(x, u, x_next), sizes.seconds)
    rows = [
        Row("training step", nv, compiled, flops, rate),
        Row("of it: loss and gradients", nv, gradients),
        Row("of it: Adam", nv, measure(optimizer.step, sizes.seconds / 2)),
        Row("training step, autograd", nv, measure(update, sizes.seconds), flops, rate),
    ]
    if nv <= 200:
        rows.append(Row("training step, reference", nv, measure(lambda: update("reference"), sizes.seconds)))
    return [*rows, Row("direct to explicit", nv, measure(ren.explicit, sizes.seconds / 2))]


def rollout_rows(nv: int, sizes: Sizes) -> list[Row]:
    """One trajectory in float64: the fused loop and the loop over steps, per 1000 steps."""
    ren: ExplicitREN = ContractingREN(sizes.nu, sizes.nx, nv, identity_output=True).explicit().to_numpy()
    u = np.random.default_rng(0).normal(size=(sizes.steps, sizes.nu))
    x0 = np.zeros(sizes.nx)

    def loop() -> None:
        x = x0
        for row in u:
            x = ren.next_state(x, row)

    rows = []
    for name, function in (("rollout", lambda: rollout(ren, x0, u)), ("loop over steps", loop)):
        timing, scale = measure(function, sizes.seconds / 2), 1000 / sizes.steps
        rows.append(Row(f"{name}, 1000 steps", nv, Timing(timing.least * scale, timing.median * scale)))
    return rows


def first_step(nv: int, sizes: Sizes, repetitions: int = 3) -> Row:
    """From the start of a process to the end of its first update, imports included, machine code from the disk cache."""
    program = FIRST_STEP.format(nu=sizes.nu, nx=sizes.nx, nv=nv, batch=sizes.batch)
    times = []
    for _ in range(repetitions + 1):  # the first fills the cache
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        times.append(float(done.stdout))
    return Row("first step of a process", nv, Timing(min(times[1:]), float(np.median(times[1:]))))


def run(sizes: Sizes) -> tuple[list[Row], dict[int, float]]:
    """All rows, and the matrix rates they are compared with."""
    rows: list[Row] = []
    rates: dict[int, float] = {}
    with one_thread():
        for nv in sizes.neurons:
            rates[nv] = matrix_rate(2 * sizes.nx + nv, sizes.seconds / 2)
            rows += equilibrium_rows(nv, rates[nv], sizes) + training_rows(nv, rates[nv], sizes)
            rows += rollout_rows(nv, sizes)
            rates[nv] = max(rates[nv], matrix_rate(2 * sizes.nx + nv, sizes.seconds / 2))
        rows.append(first_step(sizes.neurons[-1], sizes, 3 if sizes.seconds > 0.1 else 1))
    return rows, rates


def page(rows: list[Row], rates: dict[int, float], sizes: Sizes) -> str:
    """The table and how to read it, as Markdown."""
    measured = ", ".join(f"{rate / 1e9:.0f} GFLOP/s at nv = {nv}" for nv, rate in rates.items())
    head = ("what", "nv", "ms: least (median)", "ideal, ms", "least / ideal")
    return f"""# Performance

Written by `make benchmark` (`python -m benchmarks.kernels`); figures of one run on {os.cpu_count()} \
cores. Float32, batch {sizes.batch}, nx = {sizes.nx}, tanh, one torch thread. "Least" of many repetitions comes \
nearest to an idle machine, the median is what this run gave. Other work on the machine raises both, up to severalfold: \
compare rows of one run, not runs. "Ideal" is the number of operations at the rate of `torch.mm` on one thread, measured in the \
same run on square matrices of the size of the network: {measured}. The compiled sweeps share large batches among all \
cores, so that a ratio below one is possible.

{markdown([head, *(row.cells for row in rows)])}

What the figures depend on, and how to reach them:

- Build `explicit = ren.explicit()` once per update or simulation, not per step; `rollout(explicit, x0, u)` takes all \
steps in one compiled loop.
- `torch.set_num_threads(1)` is faster for networks of this size: matrices are small, and idle threads of one pool spin \
for milliseconds on the cores that another needs. The compiled sweeps have threads of their own and use them when torch \
has one (`NUMBA_NUM_THREADS` limits them).
- `observer.networks.ren.one_step_training.OneStepTraining` is a whole update (direct to explicit, neurons, loss, back, Adam) in a few \
compiled calls on two threads; under autograd the same takes about twice as long, most of it outside arithmetic. What \
is left above the ideal: the sweeps, whose triangles and activations run at half of the matrix rate; building H and \
spreading its gradient, which are bound by memory; one thread waking another.
- `observer.networks.kernels.optimizer.Adam` does an update in one pass. `torch.optim.Adam(..., fused=True)` is as fast later \
on, but imports torch's compiler when it is made, more than a second.
- `observer.networks.unroll(explicit, x0, u)` is the differentiable rollout: `network_timings.md` has its times beside R2DN \
and torch's LSTM.
- Never call `numba.get_num_threads()` or `parallel=True` code next to torch: both share an OpenMP library, and it sets \
torch's threads back to all cores.
- Denormals are flushed inside the kernels; `without_denormals()` of `observer.networks.kernels.equilibrium.cpu_autograd` does it \
for a whole training loop.
"""


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, write."""

    def measured(sizes: Sizes) -> tuple[str, list[Row]]:
        rows, rates = run(sizes)
        return page(rows, rates, sizes), rows

    sizes = Sizes(), Sizes((4, 7), 20, 3, 2, 10, 0.01)
    write_timings(arguments, __doc__, PAGE, sizes, measured, (48, 5, 20, 10, 6))


if __name__ == "__main__":
    main()
