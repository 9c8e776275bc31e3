"""What the benchmark of the GPU found, and its page docs/gpu.md."""

from dataclasses import dataclass, field
from typing import Any

from benchmarks.timing import Timing, markdown
from observer.networks.kernels.equilibrium import triton_autograd

NX, NU = 51, 2
BARS = {50: 0.6e-3, 200: 0.9e-3, 500: 1.6e-3}  # seconds of a training step with 500 samples, on an H100 or H200


@dataclass(frozen=True)
class Sizes:
    """What is checked and measured."""

    shapes: tuple[tuple[int, int], ...] = ((1, 1), (7, 5), (33, 17), (64, 512), (200, 500), (500, 333), (1000, 100))
    neurons: tuple[int, ...] = (50, 200, 500)
    batches: tuple[int, ...] = (500, 8192)
    steps: int = 128
    seconds: float = 0.4


TOY = Sizes(((1, 1), (7, 5)), (4,), (6,), 3, 0.01)


@dataclass
class Found:
    """All that was found: how far values are off, times, what JAX took, blocks that were tried.

    ``kernel`` is that of the GPU, ``exact`` the one on the CPU that it is compared with.
    """

    device: str
    versions: str
    kernel: str
    exact: str = "cpu"
    checks: list[tuple[str, float, float]] = field(default_factory=list)  # what, relative error, bound
    times: list[tuple[str, int, int, Timing]] = field(default_factory=list)  # what, neurons, batch
    jax: list[dict[str, Any]] = field(default_factory=list)
    tuned: list[tuple[dict[str, int], dict[str, float]]] = field(default_factory=list)

    def check(self, what: str, error: float, bound: float) -> None:
        """Add an error and print it."""
        self.checks.append((what, error, bound))
        print(f"{'ok  ' if error <= bound else 'FAIL'} {what}: {error:.2g} (bound {bound:.1g})", flush=True)

    def time(self, what: str, neurons: int, batch: int, timing: Timing) -> None:
        """Add a time and print it."""
        self.times.append((what, neurons, batch, timing))
        print(f"{what:<44} nv={neurons:<5} batch={batch:<6} {timing.text} ms", flush=True)

    @property
    def failed(self) -> list[str]:
        """The checks beyond their bounds; nan is beyond."""
        return [what for what, error, bound in self.checks if not error <= bound]


def page(found: Found, sizes: Sizes) -> str:
    """docs/gpu.md."""
    best: dict[str, dict[tuple[int, int], Timing]] = {}
    for what, nv, batch, timing in found.times:
        best.setdefault(what, {})[nv, batch] = timing
    columns = [(nv, batch) for nv in sizes.neurons for batch in sizes.batches]
    head = ["", *(f"nv={nv}, batch {batch}" for nv, batch in columns)]

    def table(prefix: str) -> str:
        rows = [
            [what, *(row[column].text if column in row else "–" for column in columns)]
            for what, row in best.items()
            if what.startswith(prefix)
        ]
        return markdown([head, *rows])

    bars = [
        [str(nv), f"{1e3 * bar:.1f}", f"{1e3 * best['training step, graph'][nv, 500].least:.3g}"]
        for nv, bar in BARS.items()
        if (nv, 500) in best.get("training step, graph", {})
    ]
    rest = [
        [what, str(nv), str(batch), timing.text]
        for what, nv, batch, timing in found.times
        if not what.startswith(("training step", "equilibrium"))
    ]
    ratios = [
        [
            str(row["nv"]),
            str(row["batch"]),
            f"{row['least'] / best['training step, graph'][row['nv'], row['batch']].least:.1f}",
            f"{row['compile_s']:.0f}",
        ]
        for row in found.jax
        if (row["nv"], row["batch"]) in best.get("training step, graph", {})
    ]
    jax = (
        markdown([["nv", "batch", "JAX / ours", "JAX compiles, s"], *ratios])
        if ratios
        else "no row: not importable where this ran, or not done in its time."
    )
    checks = [[what, f"{error:.2g}", f"{bound:.1g}"] for what, error, bound in found.checks]
    return f"""# Networks on a GPU

Written by `python -m benchmarks.gpu` on {found.device} ({found.versions}), equilibrium kernel `{found.kernel}`. Float32, \
TF32 off, nx = {NX}, nu = {NU}, tanh. Milliseconds, least (median).

## A training step: direct to explicit, forward, loss, backward, Adam

{table("training step")}

"Graph" is `OneStepTraining.update` with parameters and samples on the GPU: its copies of the samples and of the loss are \
counted. "Recorded" is the same loss under autograd, launched operation by operation.

{markdown([["nv, batch 500", "bar, ms", "graph, ms"], *bars])}

Beside the JAX package: {"" if ratios else jax}

{jax if ratios else ""}

## The equilibrium alone

One launch of the Triton kernel, in a graph.

{table("equilibrium")}

## Other networks, and a process

{markdown([["what", "nv", "batch", "ms: least (median)"], *rest])}

## Against the CPU kernel in float64

Errors are norms, relative to those of the exact tensor.

{markdown([["what", "error", "bound"], *checks])}

## What it depends on

- Parameters on the GPU (`ren.to("cuda")`), then `OneStepTraining(ren).update(x, u, x_next)`: one CUDA graph per shape of \
the samples (the last {8} are kept). The loss stays on the GPU; `float(loss)` waits for it. Any other loss: \
`observer.networks.kernels.captured_training.CapturedTraining(pairs, recorded(loss, parameters))`.
- Triton comes with CUDA builds of torch (`pip install 'ren-observer[gpu]'` otherwise) and needs a C compiler. Without it \
blocked operations of torch are used, two launches per neuron.
- A singular matrix E is not looked for on the GPU, which would wait for it: the loss is then not finite, and the update is left out.
- Blocks of the kernel: `{triton_autograd.FEW}` up to {triton_autograd.FEW_PER_PROCESSOR} programs per multiprocessor, \
`{triton_autograd.MANY}` beyond.
"""
