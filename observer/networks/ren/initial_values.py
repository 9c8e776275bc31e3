"""Where the direct parameters of a REN start: at random, at a well conditioned H, or at a long memory."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from observer.networks.ren.explicit import ExplicitREN
from observer.networks.ren.supply_inverse import supply_parameters
from systems.base.errors import InputError

STARTS: tuple[str, ...] = ("random", "long_memory", "random_qr")
_HALVINGS = 60


def random_values(shapes: Mapping[str, tuple[int, ...]], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Glorot normal matrices and small normal vectors, float64."""
    return {
        name: math.sqrt(2 / max(1, sum(shape))) * torch.randn(shape, generator=generator, dtype=torch.float64)
        for name, shape in shapes.items()
    }


def random_orthogonal(size: int, generator: torch.Generator) -> torch.Tensor:
    """An orthogonal (size, size) matrix: with X orthogonal, X'X = I is as well conditioned as can be."""
    Q, R = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    return Q * torch.where(R.diagonal() < 0, -1.0, 1.0)


def polar_scale(X: Any, norm_eps: float) -> torch.Tensor:
    """p (1,) with which the polar form is H = X'X + eps I."""
    return (torch.as_tensor(X).square().sum() + norm_eps).sqrt()[None]


def check_start(start: str) -> None:
    """InputError for a start that is not known."""
    if start not in STARTS:
        raise InputError(f"start {start!r} is not known; expected {' or '.join(STARTS)}")


def supply_start(network: Any, start: str, generator: torch.Generator) -> dict[str, Any]:
    """The start of a SupplyREN, whose parameters are not there yet."""
    check_start(start)
    values = random_values(network.parameter_shapes(), generator) | network._start_values()
    if start == "random_qr":
        values["X"] = random_orthogonal(len(values["X"]), generator)
    if network.polar:
        values["p"] = polar_scale(values["X"], network.norm_eps)
    if start == "long_memory":
        network._register(values, "float64")
        values |= _long_memory(network, generator)
        for name in values:
            delattr(network, name)
    return values


@torch.no_grad()
def _long_memory(network: Any, generator: torch.Generator) -> dict[str, Any]:
    """A = rate (I - diag U[.001, .05]); all that couples halved until the rate and the supply allow it."""
    n, q, rate = network.nx, network.nv, network.contraction_rate
    A = rate * np.diag(0.999 - 0.049 * torch.rand(n, generator=generator, dtype=torch.float64).numpy())
    C2, D21, D22, by = (value.numpy() for value in network.output())
    shapes = {"B1": (n, q), "C1": (q, n), "D11": (q, q)}
    B1, C1, D11 = (value.numpy() for value in random_values(shapes, generator).values())
    B2, D12, bx, bv = (getattr(network, name).numpy() for name in ("B2", "D12", "bx", "bv"))
    # Through a fixed output the supply takes some of the slack of the metric, which must then be large.
    slack = rate**2 - np.square(np.diag(A)).max(initial=0.0)
    taken = _taken(network, C2) if network.identity_output and n else 0.0
    size, scale = max(1.0, 2 * taken / slack), 1.0
    for _ in range(_HALVINGS):
        seen = (C2, D21) if network.identity_output else (scale * C2, scale * D21)
        ren = ExplicitREN(
            A, scale * B1, scale * B2, scale * C1, seen[0], scale * np.tril(D11, -1), scale * D12, seen[1], D22,
            bx, bv, by, network.activation,
        )  # fmt: skip
        try:
            return supply_parameters(network, ren, size * np.eye(n), size * np.ones(q))
        except ValueError:
            scale /= 2
    raise InputError(
        "start 'long_memory' found no network within the supply: the feedthrough leaves no room; use start='random'"
    )


def _taken(network: Any, C2: np.ndarray) -> float:
    """What a fixed output C2 without feedthrough takes from the form of the states: |C2'Q C2| + |C2'S'R^-1 S C2|."""
    _, S, R = network.supply_arrays()
    Q, through = network.strict().numpy(), S @ C2
    return float(np.linalg.norm(C2.T @ Q @ C2, 2) + np.linalg.norm(through.T @ np.linalg.solve(R, through), 2))
