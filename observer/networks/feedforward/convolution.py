"""Convolutional sandwich layers: circular convolutions that are 1-Lipschitz for every kernel (MATH 2d, Algorithm 1).

A circular convolution is one matrix per frequency, and the unitary Fourier transform keeps lengths: the Cayley
transform is taken frequency by frequency, with the conjugate transpose. The circular padding is part of the guarantee.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from observer.networks.activations import get_activation
from observer.networks.feedforward.sandwich import SQRT2, cayley


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
