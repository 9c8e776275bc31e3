"""The models at equal parameter count, their training by simulation, and the gain that an adversary finds."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from experiments.named.system_identification.data import Data, Record


class Gated(torch.nn.Module):
    """torch's GRU or LSTM with a linear output."""

    def __init__(self, kind: str, nu: int, width: int, ny: int) -> None:
        super().__init__()
        self.cell = {"GRU": torch.nn.GRU, "LSTM": torch.nn.LSTM}[kind](nu, width, batch_first=True)
        self.output = torch.nn.Linear(width, ny)

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        """y (batch, N, ny) for u (batch, N, nu), from rest."""
        return self.output(self.cell(u)[0])


def count(model: torch.nn.Module) -> int:
    """Free parameters."""
    return sum(value.numel() for value in model.parameters())


def make(kind: str, nu: int, ny: int, nx: int, nv: int, rate: float, gamma: float | None, seed: int) -> torch.nn.Module:
    """A ContractingREN, a LipschitzREN (with ``gamma``), or the GRU or LSTM nearest to them in size; float32."""
    from observer.networks import ContractingREN, LipschitzREN

    options: dict[str, Any] = {
        "contraction_rate": rate, "activation": "tanh", "initial": "long_memory", "seed": seed, "dtype": "float32",
    }  # fmt: skip
    if gamma is not None:
        return LipschitzREN(nu, nx, nv, ny, gamma=gamma, **options)
    ren = ContractingREN(nu, nx, nv, ny, **options)
    if kind == "contracting REN":
        return ren
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return min((Gated(kind, nu, width, ny) for width in range(1, 200)), key=lambda m: abs(count(m) - count(ren)))


def simulator(model: torch.nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """u (batch, N, nu) -> y from rest, for the present parameters: explicit matrices are built here, once."""
    if isinstance(model, Gated):
        return model
    from observer.networks import unroll

    explicit = model.explicit()  # type: ignore[operator]
    return lambda u: unroll(explicit, u.new_zeros(len(u), explicit.nx), u)[1]


def train(
    model: torch.nn.Module, data: Data, iterations: int, batch: int, window: int, rate: float, seed: int,
    progress: Callable[[int, float], None],
) -> tuple[list[float], float]:  # fmt: skip
    """Adam on the mean square error of windows simulated from rest, without their washout; losses and processor seconds.

    The rate of learning falls to a hundredth, exponentially. Gradients longer than 1 are shortened to 1.
    """
    rng, begin, losses = np.random.default_rng(seed), time.process_time(), []
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.01 ** (1 / max(1, iterations)))
    for k in range(iterations):
        u, y = _windows(data.train, batch, window, rng)
        optimizer.zero_grad()
        loss = (simulator(model)(u) - y)[:, data.washout :].square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        progress(k, losses[-1])
    return losses, time.process_time() - begin


def _windows(records: tuple[Record, ...], batch: int, window: int, rng: Any) -> tuple[torch.Tensor, torch.Tensor]:
    chosen = [records[k] for k in rng.integers(len(records), size=batch)]
    starts = [int(rng.integers(max(1, len(u) - window + 1))) for u, _ in chosen]
    pairs = [(u[s : s + window], y[s : s + window]) for (u, y), s in zip(chosen, starts, strict=True)]
    return tuple(torch.tensor(np.stack(values), dtype=torch.float32) for values in zip(*pairs, strict=True))  # type: ignore[return-value]


@torch.no_grad()
def test_error(model: torch.nn.Module, data: Data) -> dict[str, Any]:
    """NRMSE in per cent (root mean square error over the deviation of y) of each test record, and over all of them."""
    run, errors, spread, each = simulator(model), 0.0, 0.0, []
    shown: dict[str, list[float]] = {}
    for u, y in data.test:
        found = run(torch.tensor(u[None], dtype=torch.float32))[0].double().numpy()
        tail = slice(data.washout, None)
        error, size = np.square(found - y)[tail].sum(), np.square(y[tail] - y[tail].mean(axis=0)).sum()
        each.append(100 * float(np.sqrt(error / size)))
        errors, spread = errors + error, spread + size
        part = slice(data.washout, data.washout + 200)
        shown = {"y": y[part, 0].tolist(), "found": found[part, 0].tolist()}
    return {"nrmse": 100 * float(np.sqrt(errors / spread)), "each": each, "shown": shown}


def observed_gain(model: torch.nn.Module, nu: int, steps: int, pairs: int, iterations: int, seed: int) -> float:
    """The largest |y_a - y_b| / |u_a - u_b| found by Adam on pairs of inputs of ``steps`` samples, from rest: a lower bound.

    The differences start small, smooth and rough; the ratio is climbed to in both the inputs and their difference.
    """
    model.requires_grad_(False)
    run, generator = simulator(model), torch.Generator().manual_seed(seed)
    u = torch.randn(pairs, steps, nu, generator=generator)
    d = torch.randn(pairs, steps, nu, generator=generator)
    d[: pairs // 2] = d[: pairs // 2].cumsum(1) / steps**0.5
    u, d = u.requires_grad_(), (0.1 * d).requires_grad_()
    optimizer = torch.optim.Adam([u, d], lr=0.02)
    best = 0.0
    for _ in range(iterations):
        optimizer.zero_grad()
        y = run(torch.cat((u, u + d)))
        size = d.flatten(1).norm(dim=1)
        ratios = (y[pairs:] - y[:pairs]).flatten(1).norm(dim=1) / size.clamp_min(1e-3)
        usable = ratios.detach()[size.detach() > 1e-2]  # a difference near the rounding of float32 proves nothing
        best = max(best, float(usable.max())) if len(usable) else best
        (-ratios.log().sum()).backward()
        optimizer.step()
    model.requires_grad_(True)
    return best
