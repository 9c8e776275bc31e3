"""Sandwich layers: dense maps that are 1-Lipschitz for every value of their parameters (MATH 2d)."""

import math

import torch

from observer.networks.linear_solves import inverse

SQRT2 = math.sqrt(2)


def cayley(X: torch.Tensor, Y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A' (..., q, q) and B' (..., p, q) with A A' + B B' = I, for any X (..., q, q) and Y (..., p, q), real or complex.

        Z = X - X' + Y'Y,   A' = (I + Z)^-1 (I - Z),   B' = -2 Y (I + Z)^-1

    The prime is the conjugate transpose; the inverse always exists, since Z + Z' >= 0.
    """
    Z = X - X.mH + Y.mH @ Y
    eye = torch.eye(X.shape[-1], dtype=X.dtype, device=X.device)
    inverted = inverse(eye + Z)
    return 2 * inverted - eye, -2 * Y @ inverted  # (I + Z)^-1 (I - Z) = 2 (I + Z)^-1 - I saves a product


def scaled_cayley(XY: torch.Tensor, a: torch.Tensor, norm_eps: float) -> tuple[torch.Tensor, torch.Tensor]:
    """``cayley`` of a XY / sqrt(|XY|_F^2 + norm_eps), XY (q + p, q): the size of the parameters is a number of its own."""
    scaled = a * XY / (XY.square().sum() + norm_eps).sqrt()
    q = XY.shape[1]
    return cayley(scaled[:q], scaled[q:])


def layer_shapes(inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """Direct parameters of one sandwich layer: XY (outputs + inputs, outputs), a (1,), d (outputs,), b (outputs,)."""
    return {"XY": (outputs + inputs, outputs), "a": (1,), "d": (outputs,), "b": (outputs,)}


def sandwich(
    h: torch.Tensor,
    A_t: torch.Tensor,
    B_t: torch.Tensor,
    d: torch.Tensor,
    b: torch.Tensor,
    activation: object,
) -> torch.Tensor:
    """sqrt2 A' Psi sigma(sqrt2 Psi^-1 B h + b), Psi = diag(e^d), for h (..., p): the layer as it is written.

    ``A_t`` is A', ``B_t`` is B'. Evaluated so in tests; networks fold neighbouring matrices into one.
    """
    v = SQRT2 * (h @ B_t) * torch.exp(-d) + b
    return SQRT2 * (activation(v) * torch.exp(d)) @ A_t.mT  # type: ignore[operator]
