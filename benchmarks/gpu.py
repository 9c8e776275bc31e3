"""Networks on a GPU, checked and timed: ``python -m benchmarks.gpu``.

Values and gradients of the GPU kernels against the CPU kernel in float64, then the times of a training step beside those
of the JAX package (where ``robustnn`` can be imported), of the equilibrium alone, of steps of other networks, and of the
first step of a process. Each line is printed as it is found; writes ``docs/gpu.md`` and, with --json, all numbers.
Without a GPU (or with --toy) everything runs at tiny sizes, by the blocked torch kernel: to see that it runs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_page import NU, NX, TOY, Found, Sizes, page
from benchmarks.timing import Timing
from observer.networks import LBDN, R2DN, ContractingREN, solve_equilibrium, unroll
from observer.networks.activations import ACTIVATIONS
from observer.networks.kernels.captured_training import CapturedTraining, recorded
from observer.networks.kernels.equilibrium import triton_autograd
from observer.networks.ren.one_step_training import OneStepTraining, _OnDevice

PAGE = Path(__file__).parents[1] / "docs" / "gpu.md"
WRONG = 0.05  # an error that is no rounding
FIRST_STEP = """
import time
start = time.perf_counter()
import torch
from observer.networks import ContractingREN
from observer.networks.ren.one_step_training import OneStepTraining
device = "cuda" if torch.cuda.is_available() else "cpu"
ren = ContractingREN({nu}, {nx}, {nv}, contraction_rate=0.95, identity_output=True, dtype="float32").to(device)
x, u = torch.rand({batch}, {nx}, device=device), torch.rand({batch}, {nu}, device=device)
float(OneStepTraining(ren).update(x, u, x))
print(time.perf_counter() - start)
"""


def measure(function: Callable[[], object], seconds: float, device: str) -> Timing:
    """Seconds per call: the least and the median of runs of calls that the GPU is waited for at the end of."""

    def run(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            function()
        if device == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / count

    run(2)
    count = max(1, min(200, int(0.02 / run(2))))
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        times.append(run(count))
    return Timing(min(times), float(np.median(times)))


def off(found: list[torch.Tensor], exact: list[torch.Tensor]) -> float:
    """The largest error relative to the largest value of its tensor; nan where anything is."""
    errors = [
        float(
            (one.detach().double().cpu() - other.detach().double().cpu()).norm()
            / max(1e-30, float(other.detach().norm()))
        )
        for one, other in zip(found, exact, strict=True)
        if other.numel()
    ]
    return float(np.max(errors)) if errors else 0.0


def check_equilibrium(found: Found, device: str, sizes: Sizes) -> None:
    """w, dL/dD11 and dL/db of every activation, precision, shape and layout."""

    def all_of(D11: torch.Tensor, b: torch.Tensor, g: torch.Tensor, activation: str, kernel: str) -> list[torch.Tensor]:
        D11, b = D11.detach().requires_grad_(), b.detach().requires_grad_()
        w = solve_equilibrium(D11, b, activation, kernel)
        return [w, *torch.autograd.grad(w, (D11, b), g)]

    layouts: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "neurons-major": lambda z: z.T.contiguous().T,
        "samples-major": lambda z: z.contiguous(),
        "strided": lambda z: z.repeat_interleave(2, 0).repeat_interleave(3, 1)[::2, ::3],
    }
    for dtype, rounding in ((torch.float64, 1e-12), (torch.float32, 2e-5)):
        for activation in ACTIVATIONS:
            # in float32 some neuron may be within rounding of the kink of relu, and have either slope
            worst, bound = 0.0, 1e-2 if (dtype, activation) == (torch.float32, "relu") else rounding
            for nv, batch in sizes.shapes:
                generator = torch.Generator().manual_seed(nv + batch)
                D11, b, g = (
                    torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
                    for shape in ((nv, nv), (batch, nv), (batch, nv))
                )
                D11 = D11 / nv**0.5
                exact = all_of(D11.double(), b.double(), g.double(), activation, found.exact)
                for layout in layouts.values():
                    matrix, inputs, outer = (layout(value.to(device)) for value in (D11, b, g))
                    ours = all_of(matrix, inputs, outer, activation, found.kernel)
                    worst = float(np.maximum(worst, off(ours, exact)))
            what = f"equilibrium and gradients, {str(dtype)[6:]}, {activation}, {len(sizes.shapes)} shapes x {len(layouts)} layouts"
            found.check(what, worst, bound)


def make_ren(nv: int, device: str, dtype: str = "float32") -> ContractingREN:
    """The network of the table."""
    return ContractingREN(NU, NX, nv, contraction_rate=0.95, identity_output=True, dtype=dtype).to(device)


def make_samples(batch: int, device: str, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """x, u, x_next."""
    generator = torch.Generator().manual_seed(batch)
    return [torch.rand(batch, size, generator=generator, dtype=dtype).to(device) for size in (NX, NU, NX)]


def check_steps(found: Found, device: str, sizes: Sizes) -> None:
    """Training steps: gradients and ten updates against those of the CPU, in float64; no update by nan; two batch sizes."""
    nv, batch = sizes.neurons[len(sizes.neurons) // 2], sizes.batches[0]
    ours, theirs = make_ren(nv, device, "float64"), make_ren(nv, "cpu", "float64")
    metric = np.diag(np.linspace(1, 2, NX))
    training, expected = (OneStepTraining(ren, 1e-3, metric=metric) for ren in (ours, theirs))
    if found.exact != "cpu":
        expected._steps = _OnDevice(theirs, dict.fromkeys(dict(theirs.named_parameters()), 1e-3), metric)
    given, exact = make_samples(batch, device, torch.float64), make_samples(batch, "cpu", torch.float64)
    loss, of_cpu = float(training.gradients(*given)), float(expected.gradients(*exact))
    found.check("training step: loss, float64", abs(loss / of_cpu - 1), 1e-10)
    pairs = list(zip(ours.parameters(), theirs.parameters(), strict=True))
    gradients = [(one.grad, other.grad) for one, other in pairs]
    found.check("training step: gradients", max(off([one], [other]) for one, other in gradients), 1e-8)  # type: ignore[list-item]
    for _ in range(10):
        for count in (batch, batch // 2):
            training.update(*(value[:count] for value in given))
            expected.update(*(value[:count] for value in exact))
    found.check("training step: parameters after 20 updates", max(off([one], [other]) for one, other in pairs), 1e-7)
    before = [value.detach().clone() for value in ours.parameters()]
    bad = [torch.full_like(given[0], float("nan")), *given[1:]]
    changed = 0.0 if np.isnan(float(training.update(*bad))) else 1.0
    found.check("training step: nan changes nothing", changed + off(list(ours.parameters()), before), 0.0)


def others(
    device: str, sizes: Sizes
) -> Iterator[tuple[str, int, int, torch.nn.Module, Callable[..., torch.Tensor], list[torch.Tensor]]]:
    """(what, neurons, batch, network, loss, samples) of other training steps; float32."""
    nv, batch, steps = sizes.neurons[min(1, len(sizes.neurons) - 1)], sizes.batches[0], sizes.steps
    x, u, x_next = make_samples(batch, device)
    hidden = (nv, nv)
    r2dn = R2DN(NU, NX, nv, NX, hidden=hidden, activation="tanh", dtype="float32").to(device)
    yield (
        "R2DN",
        nv,
        batch,
        r2dn,
        lambda x, u, z: (r2dn.explicit().step(x, u)[0] - z).square().sum(1).mean(),
        [x, u, x_next],
    )
    lbdn = LBDN(NX, hidden, NX, activation="tanh", dtype="float32").to(device)
    yield "LBDN", nv, batch, lbdn, lambda x, z: (lbdn(x) - z).square().sum(1).mean(), [x, x_next]
    generator = torch.Generator().manual_seed(0)
    rows = 64 if steps > 10 else 2
    inputs, outputs = (torch.randn(rows, steps, size, generator=generator).to(device) for size in (4, 4))
    for name, network in (
        ("REN", ContractingREN(4, nv // 4, nv, 4, dtype="float32", activation="tanh")),
        ("R2DN", R2DN(4, nv // 4, nv, 4, hidden=hidden, dtype="float32", activation="tanh")),
    ):
        network = network.to(device)

        def loss(u: torch.Tensor, y: torch.Tensor, network: Any = network) -> torch.Tensor:
            return (unroll(network.explicit(), u.new_zeros(len(u), network.nx), u)[1] - y).square().mean()

        yield f"{name}, rollout of {steps} steps", nv, rows, network, loss, [inputs, outputs]


def other_rows(found: Found, device: str, sizes: Sizes) -> None:
    """Each: gradients in a graph against those recorded on the CPU, then its time with and without a graph."""
    for what, nv, batch, network, loss, samples in others(device, sizes):
        parameters = list(network.parameters())
        training = CapturedTraining([(value, 1e-5) for value in parameters], recorded(loss, parameters))
        training.gradients(*samples)
        captured = [value.clone() for value in training.gradients_found]
        network.to("cpu")
        exact = torch.autograd.grad(
            loss(*(value.cpu() for value in samples)),
            list(network.parameters()),
            allow_unused=True,
            materialize_grads=True,
        )
        scale = max(float(value.norm()) for value in exact)
        found.check(
            f"{what}: gradients, float32",
            max(float((a.cpu() - b).norm()) for a, b in zip(captured, exact, strict=True)) / scale,
            1e-3,
        )
        network.to(device)
        parameters = list(network.parameters())
        training = CapturedTraining([(value, 1e-5) for value in parameters], recorded(loss, parameters))
        found.time(
            f"{what}, graph", nv, batch, measure(lambda t=training, s=samples: t.update(*s), sizes.seconds, device)
        )
        eager = measure(lambda t=training, s=samples: t._step(tuple(s), True), sizes.seconds, device)
        found.time(f"{what}, eager", nv, batch, eager)


def training_rows(found: Found, device: str, sizes: Sizes) -> None:
    """The table: blocked torch under autograd, Triton under autograd, Triton in a graph; and the equilibrium alone."""
    for nv in sizes.neurons:
        for batch in sizes.batches:
            ren, samples = make_ren(nv, device), make_samples(batch, device)
            training = OneStepTraining(ren, 1e-5)
            found.time(
                "training step, graph",
                nv,
                batch,
                measure(lambda t=training, s=samples: t.update(*s), sizes.seconds, device),
            )
            for kernel, what in (
                (found.kernel, "training step, recorded"),
                ("cuda", "training step, recorded, blocked torch"),
            ):

                def loss(
                    x: torch.Tensor, u: torch.Tensor, x_next: torch.Tensor, ren: Any = ren, kernel: str = kernel
                ) -> torch.Tensor:
                    return 0.5 * (ren.explicit().next_state(x, u, kernel) - x_next).square().sum(1).mean()

                parameters = list(ren.parameters())
                eager = CapturedTraining([(value, 1e-5) for value in parameters], recorded(loss, parameters))
                found.time(
                    what, nv, batch, measure(lambda t=eager, s=samples: t._step(tuple(s), True), sizes.seconds, device)
                )
            equilibrium_rows(found, device, sizes, nv, batch)


def equilibrium_rows(found: Found, device: str, sizes: Sizes, nv: int, batch: int) -> dict[str, float]:
    """The kernel alone, by graph replays of ten calls; seconds of each direction."""
    generator = torch.Generator().manual_seed(0)
    D11 = (torch.randn(nv, nv, generator=generator) / nv**0.5).to(device)
    b, g = (torch.randn(nv, batch, generator=generator).to(device) for _ in range(2))
    w, delta = torch.empty_like(b), torch.empty_like(b)
    if found.kernel != "triton":
        return {}
    seconds = {}
    for what, call in (
        ("equilibrium, forward", lambda: triton_autograd.forward_into(D11, b, w, 1)),
        ("equilibrium, backward", lambda: triton_autograd.backward_into(D11, w, g, delta, 1)),
    ):
        call()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(10):
                call()
        timing = measure(graph.replay, sizes.seconds / 2, device)
        found.time(what, nv, batch, Timing(timing.least / 10, timing.median / 10))
        seconds[f"{what.split()[1]} nv={nv} batch={batch}"] = timing.least / 10
    return seconds


def tuning(found: Found, device: str, sizes: Sizes) -> None:
    """The kernel at other sizes of its blocks."""
    kept, usual = list(found.times), (triton_autograd.FEW, triton_autograd.MANY)
    for change in (
        {}, {"num_stages": 2}, {"num_stages": 3}, {"DEPTH": 64}, {"num_warps": 2}, {"num_warps": 4}, {"num_warps": 4, "DEPTH": 64},
        {"COLS": 32}, {"COLS": 32, "num_warps": 2}, {"ROWS": 16}, {"ROWS": 16, "num_warps": 4, "DEPTH": 64},
    ):  # fmt: skip
        triton_autograd.FEW = triton_autograd.MANY = usual[1] | change
        print("blocks", change, flush=True)
        try:
            seconds: dict[str, float] = {}
            for nv in sizes.neurons:
                for batch in sizes.batches:
                    seconds |= equilibrium_rows(found, device, Sizes(seconds=0.05), nv, batch)
            found.tuned.append((change, seconds))
        except Exception as error:  # one that does not compile is no reason to lose the others
            print(f"  {type(error).__name__}: {str(error)[:200]}", flush=True)
        triton_autograd.FEW, triton_autograd.MANY = usual
    found.times = kept


def first_step(found: Found, sizes: Sizes) -> None:
    """From the start of a process to its first update, twice: at first nothing is in Triton's cache."""
    nv, batch = sizes.neurons[-1], sizes.batches[0]
    program = FIRST_STEP.format(nu=NU, nx=NX, nv=nv, batch=batch)
    with tempfile.TemporaryDirectory() as cache:
        for what in ("first step of a process", "first step, kernels in the cache"):
            start = time.perf_counter()
            environment = os.environ | {"TRITON_CACHE_DIR": cache}
            done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
            taken = time.perf_counter() - start
            if done.returncode:
                print(done.stderr[-2000:], flush=True)
                found.check(what, float("nan"), 0)
                return
            found.time(what, nv, batch, Timing(taken, taken))


def jax_rows(found: Found, sizes: Sizes, seconds: float) -> None:
    """The JAX package, in a process of its own that gets so many seconds."""
    if find_spec("robustnn") is None or find_spec("jax") is None:
        print("the JAX package (robustnn) cannot be imported: its rows are left out", flush=True)
        return
    wanted = [f"{nv},{batch}" for batch in sizes.batches for nv in sizes.neurons if nv <= 200]
    command = [sys.executable, "-u", "-m", "benchmarks.gpu_jax", " ".join(wanted)]
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        late = threading.Timer(seconds, process.kill)
        late.start()
        assert process.stdout is not None
        for line in process.stdout:  # each row as it comes, so that those before the time is up are kept
            if line.startswith("{"):
                row = json.loads(line)
                found.jax.append(row)
                found.time("training step, JAX package", row["nv"], row["batch"], Timing(row["least"], row["median"]))
                print(f"    compiled in {row['compile_s']:.0f} s on {row['device']}", flush=True)
        if process.wait():
            print(f"the JAX package ended with {process.returncode}, the time it gets is {seconds:.0f} s", flush=True)
            errors.seek(0)
            print(errors.read()[-1500:], flush=True)
        late.cancel()


def exact_kernel() -> str:
    """The compiled kernel of the CPU, or where numba cannot compile it the blocked one of torch."""
    try:
        solve_equilibrium(np.zeros((4, 4)), np.zeros((2, 4)), "tanh", "cpu")
    except Exception as error:
        print(
            f"no compiled CPU kernel here ({type(error).__name__}: {str(error)[:150]}): blocked torch on the CPU in its place"
        )
        return "cuda"
    return "cpu"


def run(sizes: Sizes, device: str, tune: bool, jax_seconds: float, after: Callable[[Found], object]) -> Found:
    """All of it, the quick checks first; ``after`` each part, so that a run that is cut short leaves its page."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    on_gpu = device == "cuda"
    kernel = "triton" if on_gpu and triton_autograd.works_on(0) else "cuda"
    triton = __import__("triton").__version__ if find_spec("triton") else "none"
    name = torch.cuda.get_device_name(0) if on_gpu else "no GPU"
    found = Found(name, f"torch {torch.__version__}, Triton {triton}", kernel, exact_kernel())
    print(f"{name}, {found.versions}, kernel {kernel}", flush=True)
    if on_gpu:
        found.check("Triton compiles for this GPU (1: it does not)", float(kernel != "triton"), 0.0)
    start = time.perf_counter()
    parts: list[Callable[[], object]] = [
        lambda: check_equilibrium(found, device, sizes),
        lambda: check_steps(found, device, sizes),
        lambda: training_rows(found, device, sizes),
        lambda: first_step(found, sizes),
        lambda: other_rows(found, device, sizes),
        lambda: jax_rows(found, sizes, jax_seconds) if jax_seconds else None,
        lambda: tuning(found, device, sizes) if tune and kernel == "triton" else None,
    ]
    for part in parts:
        try:
            part()
        except Exception as error:  # a GPU is lent for minutes: one part that fails does not cost the others
            traceback.print_exc()
            found.check(f"{type(error).__name__}: {str(error)[:200]}", float("nan"), 0.0)
        print(f"--- {time.perf_counter() - start:.0f} s", flush=True)
        after(found)
        if part in parts[:2] and any(not error <= WRONG for _, error, _ in found.checks):
            print("wrong, not only inexact: what follows would measure nothing", flush=True)
            break
    return found


def main(arguments: list[str] | None = None) -> int:
    """Check, measure, write; 1 where a check fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=PAGE, help="the page to write")
    parser.add_argument("--json", type=Path, help="all numbers")
    parser.add_argument("--toy", action="store_true", help="tiny sizes, to see that all runs")
    parser.add_argument("--tune", action="store_true", help="other sizes of the kernel's blocks too")
    parser.add_argument(
        "--jax", type=float, default=220, metavar="SECONDS", help="what the JAX package gets; 0: left out"
    )
    options = parser.parse_args(arguments)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    sizes = TOY if options.toy or device == "cpu" else Sizes()
    options.out.parent.mkdir(parents=True, exist_ok=True)

    def write(found: Found) -> None:
        options.out.write_text(page(found, sizes), encoding="utf-8")
        if options.json:
            options.json.write_text(json.dumps(asdict(found), indent=1), encoding="utf-8")

    found = run(sizes, device, options.tune, options.jax, write)
    print("failed: " + "; ".join(found.failed) if found.failed else f"all checks hold; written to {options.out}")
    return bool(found.failed)


if __name__ == "__main__":
    sys.exit(main())
