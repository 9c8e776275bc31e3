"""Convolutional sandwich layers: circular convolutions that are 1-Lipschitz for every kernel (MATH 2d, Algorithm 1).

A circular convolution is one matrix per frequency, and the unitary Fourier transform keeps lengths: the Cayley
transform is taken frequency by frequency, with the conjugate transpose. The circular padding is part of the promise.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from observer.networks.activations import get_activation
from observer.networks.feedforward.sandwich import SQRT2, cayley
from observer.networks.proofs.guarantees import Verdict, fault_in, judge, refuted
from observer.networks.proofs.lipschitz import LipschitzClaim


@dataclass(frozen=True, eq=False)
class ExplicitConvolution:
    """h+ = F^-1 S F sigma(F^-1 R F h + b) for images h (..., p, height, width), F the two-dimensional Fourier transform.

    ``reading`` R (height, width // 2 + 1, q, p) and ``writing`` S (height, width // 2 + 1, q, q) are complex, of the
    half of the spectrum that a real image has; ``bias`` b (q,); ``size`` (height, width). NumPy arrays or tensors.
    """

    reading: Any
    writing: Any
    bias: Any
    size: tuple[int, int]
    activation: str

    def __call__(self, h: Any) -> Any:
        """Images (..., q, height, width) for images (..., p, height, width)."""
        z = get_activation(self.activation)(self._filter(self.reading, h) + self.bias[:, None, None])
        return self._filter(self.writing, z)

    def _filter(self, spectrum: Any, h: Any) -> Any:
        if isinstance(spectrum, np.ndarray):
            product = np.einsum("hwqp,...phw->...qhw", spectrum, np.fft.rfft2(h))
            return np.fft.irfft2(product, s=self.size)
        product = torch.einsum("hwqp,...phw->...qhw", spectrum, torch.fft.rfft2(h))
        return torch.fft.irfft2(product, s=self.size)


def convolution(
    XY: torch.Tensor, a: torch.Tensor, d: torch.Tensor, b: torch.Tensor, size: tuple[int, int], activation: str
) -> ExplicitConvolution:
    """The explicit layer of a kernel XY (q + p, q, s, s), its size a (1,), d (q,) and b (q,).

        [X; Y] = F(a XY / |XY|_F) per frequency,   R = sqrt2 Psi^-1 B,   S = sqrt2 A* Psi,   Psi = diag(e^d)

    Costs height (width // 2 + 1) inverses of q x q. Psi is the same at all places, so it passes through the transform.
    """
    spectrum = torch.fft.rfft2(a * XY / XY.square().sum().sqrt(), s=size).permute(2, 3, 0, 1)
    q = XY.shape[1]
    A_h, B_h = cayley(spectrum[..., :q, :], spectrum[..., q:, :])
    psi = torch.exp(d)
    return ExplicitConvolution(SQRT2 * B_h.mH / psi[:, None], SQRT2 * A_h * psi, b, size, activation)


def space_to_depth(h: Any, factor: int) -> Any:
    """Images (..., c, height, width) to (..., c factor^2, height / factor, width / factor): a permutation, no loss."""
    if factor == 1:
        return h
    *batch, c, height, width = h.shape
    blocks = h.reshape(*batch, c, height // factor, factor, width // factor, factor)
    n = len(batch)
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    moved = blocks.transpose(order) if isinstance(h, np.ndarray) else blocks.permute(order)
    return moved.reshape(*batch, c * factor**2, height // factor, width // factor)


@dataclass(frozen=True, eq=False)
class ConvolutionClaim:
    """Every convolution is 1-Lipschitz, the dense part behind them gamma-Lipschitz: so is the whole.

    Certifying form of a convolution, at each frequency, with multipliers T that are the same at all of them:

        |dh|^2 - |S dz|^2 - 2 Re dz* T (R dh - dz) >= 0

    ``gamma``: the bound. ``multipliers``: the diagonal of T per convolution. ``dense``: the claim of the dense part.
    """

    gamma: float
    multipliers: tuple[np.ndarray, ...]
    dense: LipschitzClaim

    @property
    def statement(self) -> str:
        """The promise, a sentence."""
        return self.dense.statement

    @property
    def certified(self) -> tuple[str, ...]:
        """The weights that the promise depends on."""
        layers = range(len(self.multipliers))
        return (*(f"{name}{k}" for k in layers for name in ("reading", "writing")), *self.dense.certified)

    def verify(self, explicit: Any) -> Verdict:
        """The verdict for ``explicit`` (an ExplicitConvLBDN)."""
        network = explicit.to_numpy()
        fault = fault_in(network.weights(), {})
        if fault is None and len(network.convolutions) != len(self.multipliers):
            fault = f"{len(network.convolutions)} convolutions; expected {len(self.multipliers)}"
        if fault is None and any((T <= 0).any() for T in self.multipliers):
            fault = "a multiplier is not positive"
        if fault:
            return refuted(fault, self.statement)
        dense = self.dense.verify(network.dense)
        with np.errstate(over="ignore", invalid="ignore"):
            found = [
                judge(list(_forms(layer, T)), self.statement, np.concatenate([np.ones(layer.reading.shape[-1]), 2 * T]))
                for layer, T in zip(network.convolutions, self.multipliers, strict=True)
            ]
        return min((dense, *found), key=lambda verdict: (verdict.holds, verdict.margin))


def _forms(layer: ExplicitConvolution, T: np.ndarray) -> np.ndarray:
    """The certifying forms (frequencies, p + q, p + q)."""
    R, S = (matrix.reshape(-1, *matrix.shape[2:]) for matrix in (layer.reading, layer.writing))
    p, q = R.shape[2], R.shape[1]
    form = np.zeros((len(R), p + q, p + q), complex)
    form[:, :p, :p] = np.eye(p)
    form[:, p:, p:] = 2 * np.diag(T) - S.conj().transpose(0, 2, 1) @ S
    form[:, p:, :p] = -T[:, None] * R
    form[:, :p, p:] = form[:, p:, :p].conj().transpose(0, 2, 1)
    return form
