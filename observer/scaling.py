"""Affine maps between physical units and the units a network is fitted in, folded exactly into weights and metric.

x = S xi + m_x,    v = T ups + m_v        (v = [known inputs; outputs]; T diagonal, S diagonal or a full matrix)
A <- S A S^-1,  B1 <- S B1,  B2 <- S B2 T^-1,  C1 <- C1 S^-1,  D12 <- D12 T^-1,  D11 unchanged
bx <- S bx + m_x - A m_x - B2 m_v,  bv <- bv - C1 m_x - D12 m_v   (with the new A, B2, C1, D12)
M <- S^-T M S^-1,   Lam and every contraction rate unchanged                                     (MATH 2g)
"""

from dataclasses import dataclass, replace

import numpy as np

from observer.networks.ren.explicit import ExplicitREN
from systems.base.errors import InputError


@dataclass(frozen=True, eq=False)
class Scaling:
    """Centres and scales of states and of network inputs ``(nu_known + ny,)``.

    ``state_scale`` is ``(nx,)``, one scale per state, or S ``(nx, nx)``: units in which a network works in combinations of
    the states, such as observability coordinates.
    """

    state_centre: np.ndarray
    state_scale: np.ndarray
    input_centre: np.ndarray
    input_scale: np.ndarray

    def __post_init__(self) -> None:
        for name in ("state_scale", "input_scale"):
            scale = getattr(self, name)
            if name == "state_scale" and np.ndim(scale) == 2:
                if not (np.isfinite(scale).all() and np.linalg.cond(scale) < 1e14):
                    raise InputError(f"{name} is {scale}; expected positive finite numbers, or an invertible matrix")
            elif not (np.isfinite(scale).all() and (scale > 0).all()):
                raise InputError(f"{name} is {scale}; expected positive finite numbers")

    @classmethod
    def from_box(cls, states: np.ndarray, inputs: np.ndarray) -> "Scaling":
        """Map boxes ``(n, 2)`` of low and high to [-1, 1]."""
        half_x, half_v = 0.5 * np.ptp(states, axis=1), 0.5 * np.ptp(inputs, axis=1)
        return cls(states.mean(axis=1), half_x, inputs.mean(axis=1), half_v)

    def in_coordinates(self, coordinates: np.ndarray | None) -> "Scaling":
        """The scaling to xi with z = ``coordinates`` xi, where z are the states in the units of this one; None changes nothing."""
        return self if coordinates is None else replace(self, state_scale=self.matrix @ coordinates)

    @property
    def matrix(self) -> np.ndarray:
        """S ``(nx, nx)``."""
        return np.diag(self.state_scale) if self.state_scale.ndim == 1 else self.state_scale

    def states(self, x: np.ndarray) -> np.ndarray:
        """Physical states ``(..., nx)`` in network units."""
        if self.state_scale.ndim == 1:
            return (x - self.state_centre) / self.state_scale
        return (x - self.state_centre) @ np.linalg.inv(self.state_scale).T

    def deviations(self, dx: np.ndarray) -> np.ndarray:
        """Differences of states ``(..., nx)`` in network units, in physical ones."""
        return dx * self.state_scale if self.state_scale.ndim == 1 else dx @ self.state_scale.T

    def inputs(self, v: np.ndarray) -> np.ndarray:
        """Physical network inputs [known u; y] in network units."""
        return (v - self.input_centre) / self.input_scale

    def fold(self, ren: ExplicitREN) -> ExplicitREN:
        """The identity-output network in physical units that does what ``ren`` does in network units."""
        s, t, mx, mv = self.matrix, self.input_scale, self.state_centre, self.input_centre
        if self.state_scale.ndim == 1:  # not by a product of matrices: division is exact to rounding
            a, c1 = self.state_scale[:, None] * ren.A / self.state_scale, ren.C1 / self.state_scale
        else:
            back = np.linalg.inv(s)
            a, c1 = s @ ren.A @ back, ren.C1 @ back
        b2, d12 = s @ ren.B2 / t, ren.D12 / t
        return ExplicitREN.with_identity_output(
            A=a, B1=s @ ren.B1, B2=b2, C1=c1, D11=ren.D11.copy(), D12=d12,
            bx=s @ ren.bx + mx - a @ mx - b2 @ mv, bv=ren.bv - c1 @ mx - d12 @ mv, activation=ren.activation,
        )  # fmt: skip

    def fold_metric(self, metric: np.ndarray) -> np.ndarray:
        """The metric in physical units: |S dxi|_fold(M) = |dxi|_M."""
        if self.state_scale.ndim == 1:
            return metric / self.state_scale / self.state_scale[:, None]
        back = np.linalg.inv(self.state_scale)
        folded = back.T @ metric @ back
        return 0.5 * (folded + folded.T)

    def inverse(self) -> "Scaling":
        """The map back: ``scaling.inverse().fold(scaling.fold(ren))`` is ``ren``."""
        s, t = self.state_scale, self.input_scale
        back = 1 / s if s.ndim == 1 else np.linalg.inv(s)
        return Scaling(
            -self.state_centre / s if s.ndim == 1 else -back @ self.state_centre, back, -self.input_centre / t, 1 / t
        )
