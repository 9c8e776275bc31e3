"""Initial values of the direct parameters of a REN: at random, at a well conditioned H, or at a long memory."""

import math
from typing import Any

import numpy as np
import torch

from observer.networks.network import random_values
from observer.networks.ren.explicit import ExplicitREN
from systems.base.errors import InputError

INITIAL_VALUES: tuple[str, ...] = ("random", "long_memory", "random_qr")
_HALVINGS = 60


def random_orthogonal(size: int, generator: torch.Generator) -> torch.Tensor:
    """An orthogonal (size, size) matrix: with X orthogonal, X'X = I is as well conditioned as can be."""
    Q, R = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    return Q * torch.where(R.diagonal() < 0, -1.0, 1.0)


def polar_scale(X: Any, norm_eps: float) -> torch.Tensor:
    """p (1,) with which the polar form is H = X'X + eps I."""
    return (torch.as_tensor(X).square().sum() + norm_eps).sqrt()[None]


def initial_values(
    network: Any, kind: str, values: dict[str, torch.Tensor], generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """The initial values ``kind`` of a REN with the options of ``network``, from ``values`` at random."""
    if kind not in INITIAL_VALUES:
        raise InputError(f"initial {kind!r} is not known; expected {' or '.join(INITIAL_VALUES)}")
    if kind == "random_qr":
        values["X"] = random_orthogonal(len(values["X"]), generator)
    if network.polar:
        values["p"] = polar_scale(values["X"], network.norm_eps)
    if not network.acyclic:  # Lam = diag(H22)/2, so that D11 is small: its diagonal zero
        n, q = network.nx, network.nv
        values["l"] = (values["X"].square().sum(0)[n : n + q].clamp(min=1e-3) / 2).log()
    return _long_memory(network, values, generator) if kind == "long_memory" else values


def _long_memory(network: Any, values: dict[str, torch.Tensor], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """A = rate (I - diag U[.001, .05]), M and Lam multiples of I; the couplings halved until rate and supply allow them."""
    n, q, rate = network.nx, network.nv, network.contraction_rate
    A = rate * np.diag(0.999 - 0.049 * torch.rand(n, generator=generator, dtype=torch.float64).numpy())
    alone = network.supply(values) is None
    shapes = {"B1": (n, q), "C1": (q, n), "D11": (q, q)}
    if alone:  # nothing but the rate to meet: the neurons begin larger
        drawn = [
            torch.randn(s, generator=generator, dtype=torch.float64) / math.sqrt(max(1, q)) for s in shapes.values()
        ]
    else:
        drawn = list(random_values(shapes, generator).values())
    B1, C1, D11 = (value.numpy() for value in drawn)
    C2, D21, D22, by = (value.numpy() for value in network.output(values))
    B2, D12, bx, bv = (values[name].numpy() for name in ("B2", "D12", "bx", "bv"))
    size, scale = 1.0, 1.0
    if network.identity_output and n and not alone:
        # Through a fixed output the supply takes some of the slack of the metric, which must then be large.
        size = max(1.0, 2 * _taken(network, values, C2) / (rate**2 - np.square(np.diag(A)).max()))
    for _ in range(_HALVINGS):
        inputs = 1.0 if alone else scale
        outputs = 1.0 if alone or network.identity_output else scale
        ren = ExplicitREN(
            A, scale * B1, inputs * B2, scale * C1, outputs * C2, scale * np.tril(D11, -1), inputs * D12,
            outputs * D21, D22, bx, bv, by, network.activation,
        )  # fmt: skip
        try:
            return network.inverse(ren, size * np.eye(n), size * np.ones(q), values)
        except ValueError:
            scale /= 2
    raise InputError(
        f"initial 'long_memory' found no network within the guarantee in {_HALVINGS} halvings of its couplings: the"
        " rate, or the feedthrough of a supply, leaves no room; use initial='random'"
    )


def _taken(network: Any, values: dict[str, torch.Tensor], C2: np.ndarray) -> float:
    """What a fixed output C2 without feedthrough takes from the form of the states: |C2'Q C2| + |C2'S'R^-1 S C2|."""
    Q, (_, S, R) = network.strict(values).numpy(), (matrix.numpy() for matrix in network.supply(values))
    through = S @ C2
    return float(np.linalg.norm(C2.T @ Q @ C2, 2) + np.linalg.norm(through.T @ np.linalg.solve(R, through), 2))
