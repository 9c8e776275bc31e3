"""The equilibrium layer row by row: the kernel that every other one is compared with."""

from typing import Any

import numpy as np

from observer.networks.activations import Activation


def solve_torch(D11: Any, b: Any, activation: Activation) -> Any:
    """w (..., nv) with w_i = sigma(b_i + sum_{j<i} D11_ij w_j), for tensors b (..., nv) and D11 (nv, nv), nv >= 1.

    Ordinary torch operations: differentiable to any order, on any device, under any ``torch.func`` transform.
    """
    import torch

    rows: list[Any] = []
    for i in range(b.shape[-1]):
        v = b[..., i]
        if rows:
            v = v + torch.stack(rows, dim=-1) @ D11[i, :i]
        rows.append(activation(v))
    return torch.stack(rows, dim=-1)


def solve_numpy(D11: np.ndarray, b: np.ndarray, activation: Activation) -> np.ndarray:
    """The same for NumPy arrays; neurons run along the first axis inside, so that each row is contiguous."""
    nv = b.shape[-1]
    w = np.array(b.reshape(-1, nv).T, order="C")
    for i in range(nv):
        row = D11[i, :i]
        w[i] = activation(w[i] + row @ w[:i] if row.any() else w[i])
    return np.ascontiguousarray(w.T).reshape(b.shape)
