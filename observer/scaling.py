"""Affine maps between physical units and the units a network is fitted in, folded exactly into weights and metric.

x = S xi + m_x,    v = T ups + m_v        (v = [known inputs; outputs]; S, T diagonal here)
A <- S A S^-1,  B1 <- S B1,  B2 <- S B2 T^-1,  C1 <- C1 S^-1,  D12 <- D12 T^-1,  D11 unchanged
bx <- S bx + m_x - A m_x - B2 m_v,  bv <- bv - C1 m_x - D12 m_v   (with the new A, B2, C1, D12)
M <- S^-T M S^-1,   Lam and every contraction rate unchanged                                     (MATH 2g)
"""

from dataclasses import dataclass

import numpy as np

from observer.networks.explicit import ExplicitREN
from systems.errors import InputError


@dataclass(frozen=True, eq=False)
class Scaling:
    """Centres and scales of states ``(nx,)`` and of network inputs ``(nu_known + ny,)``."""

    state_centre: np.ndarray
    state_scale: np.ndarray
    input_centre: np.ndarray
    input_scale: np.ndarray

    def __post_init__(self) -> None:
        for name in ("state_scale", "input_scale"):
            scale = getattr(self, name)
            if not (np.isfinite(scale).all() and (scale > 0).all()):
                raise InputError(f"{name} is {scale}; expected positive finite numbers")

    @classmethod
    def from_box(cls, states: np.ndarray, inputs: np.ndarray) -> "Scaling":
        """Map boxes ``(n, 2)`` of low and high to [-1, 1]."""
        half_x, half_v = 0.5 * np.ptp(states, axis=1), 0.5 * np.ptp(inputs, axis=1)
        return cls(states.mean(axis=1), half_x, inputs.mean(axis=1), half_v)

    def states(self, x: np.ndarray) -> np.ndarray:
        """Physical states ``(..., nx)`` in network units."""
        return (x - self.state_centre) / self.state_scale

    def inputs(self, v: np.ndarray) -> np.ndarray:
        """Physical network inputs [known u; y] in network units."""
        return (v - self.input_centre) / self.input_scale

    def fold(self, ren: ExplicitREN) -> ExplicitREN:
        """The identity-output network in physical units that does what ``ren`` does in network units."""
        s, t, mx, mv = self.state_scale, self.input_scale, self.state_centre, self.input_centre
        a, b2 = s[:, None] * ren.A / s, s[:, None] * ren.B2 / t
        c1, d12 = ren.C1 / s, ren.D12 / t
        return ExplicitREN.with_identity_output(
            A=a, B1=s[:, None] * ren.B1, B2=b2, C1=c1, D11=ren.D11.copy(), D12=d12,
            bx=s * ren.bx + mx - a @ mx - b2 @ mv, bv=ren.bv - c1 @ mx - d12 @ mv, activation=ren.activation,
        )  # fmt: skip

    def fold_metric(self, metric: np.ndarray) -> np.ndarray:
        """The metric in physical units: |S dxi|_fold(M) = |dxi|_M."""
        return metric / self.state_scale / self.state_scale[:, None]

    def inverse(self) -> "Scaling":
        """The map back: ``scaling.inverse().fold(scaling.fold(ren))`` is ``ren``."""
        s, t = self.state_scale, self.input_scale
        return Scaling(-self.state_centre / s, 1 / s, -self.input_centre / t, 1 / t)
