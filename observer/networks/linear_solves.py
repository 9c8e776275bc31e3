"""Solutions of linear systems that are differentiable and, on a GPU, do not wait for it.

In main memory a matrix without a solution raises torch's LinAlgError. To know of one on a GPU is to wait, and a step that
waits cannot be captured in a CUDA graph: there the result is not finite.
"""

import torch
from torch import Tensor


def solve(A: Tensor, B: Tensor, left: bool = True) -> Tensor:
    """A^-1 B, or B A^-1."""
    if A.device.type == "cuda":
        return torch.linalg.solve_ex(A, B, left=left).result
    return torch.linalg.solve(A, B, left=left)


def inverse(A: Tensor) -> Tensor:
    """A^-1."""
    return torch.linalg.inv_ex(A).inverse if A.device.type == "cuda" else torch.linalg.inv(A)


def cholesky(A: Tensor) -> Tensor:
    """The lower triangular L with L L' = A."""
    return torch.linalg.cholesky_ex(A).L if A.device.type == "cuda" else torch.linalg.cholesky(A)
