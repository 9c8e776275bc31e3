"""The Lipschitz bound of a convolutional network, recomputed from its spectra and folded weights."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from observer.networks.proofs.lipschitz import LipschitzGuarantee
from observer.networks.proofs.verification import Verification, fault_in, not_proved, verify_form


@dataclass(frozen=True, eq=False)
class ConvolutionGuarantee:
    """Every convolution is 1-Lipschitz, the dense part behind them gamma-Lipschitz: so is the whole.

    Certifying form of a convolution, at each frequency, with multipliers T that are the same at all of them:

        |dh|^2 - |S dz|^2 - 2 Re dz* T (R dh - dz) >= 0

    ``gamma``: the bound. ``multipliers``: the diagonal of T per convolution. ``dense``: the guarantee of the dense part.
    """

    gamma: float
    multipliers: tuple[np.ndarray, ...]
    dense: LipschitzGuarantee

    @property
    def statement(self) -> str:
        """What is guaranteed, a sentence."""
        return self.dense.statement

    @property
    def certified(self) -> tuple[str, ...]:
        """The weights that the guarantee depends on."""
        layers = range(len(self.multipliers))
        return (*(f"{name}{k}" for k in layers for name in ("reading", "writing")), *self.dense.certified)

    def verify(self, explicit: Any) -> Verification:
        """Whether it is proved for ``explicit`` (an ExplicitConvLBDN)."""
        network = explicit.to_numpy()
        fault = fault_in(network.weights(), {})
        if fault is None and len(network.convolutions) != len(self.multipliers):
            fault = f"{len(network.convolutions)} convolutions; expected {len(self.multipliers)}"
        if fault is None and any((T <= 0).any() for T in self.multipliers):
            fault = "a multiplier is not positive"
        if fault:
            return not_proved(fault, self.statement)
        dense = self.dense.verify(network.dense)
        with np.errstate(over="ignore", invalid="ignore"):
            found = [
                verify_form(
                    list(_forms(layer, T)), self.statement, np.concatenate([np.ones(layer.reading.shape[-1]), 2 * T])
                )
                for layer, T in zip(network.convolutions, self.multipliers, strict=True)
            ]
        return min((dense, *found), key=lambda found: (found.holds, found.margin))


def _forms(layer: Any, T: np.ndarray) -> np.ndarray:
    """The certifying forms (frequencies, p + q, p + q)."""
    R, S = (matrix.reshape(-1, *matrix.shape[2:]) for matrix in (layer.reading, layer.writing))
    p, q = R.shape[2], R.shape[1]
    form = np.zeros((len(R), p + q, p + q), complex)
    form[:, :p, :p] = np.eye(p)
    form[:, p:, p:] = 2 * np.diag(T) - S.conj().transpose(0, 2, 1) @ S
    form[:, p:, :p] = -T[:, None] * R
    form[:, :p, p:] = form[:, p:, :p].conj().transpose(0, 2, 1)
    return form
