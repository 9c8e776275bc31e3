"""What a certificate says of accuracy, as values: proofs in one or several metrics, over many steps, or by statistics.

A certificate of kind "proved" holds proofs and no statistics; one of kind "statistical" holds statistics and no proof.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from observer.certification.plain_data import from_plain, to_plain
from observer.certification.region import Region
from observer.certification.settled import Settled
from observer.certification.statistical import StatisticalBound


@dataclass(frozen=True, eq=False)
class Proof:
    """One metric, what it proves of contraction, and the residual r = f_o(x, u, h(x, u)) - f(x, u) over the region in it.

    name : "one step" for the shipped metric, else what it was refined for. metric, multipliers, rate, gain_y, gain_u,
    state_gain : as in ``Certificate``. residual_upper : |r|_M <= this on X x U, proved; residual_lower : reached at
    ``attained_at`` ``(nx + nu,)``. state_upper ``(nx,)`` : |r_i| <= this, proved. rounding : what of the bound is for
    floating point. status, gap, cells, seconds : how the search for it ended.

    step_gain, step_gain_y ``(nx,)``: |e_i+| <= step_gain_i |e|_M + step_gain_y_i |n| + |r_i| + |d_i|, with their own multipliers
    step_multipliers, step_multipliers_y ``(nx, nv)``. discretisation : |d|_M of the model against the oracle, sampled.
    after : the residual bounds hold from this sample on, when the plant has been in X since sample 0 (the settled set);
    before it residual_before and state_before ``(nx,)`` do. 0: at once.
    """

    name: str
    metric: np.ndarray
    multipliers: np.ndarray
    rate: float
    gain_y: float
    gain_u: float
    state_gain: np.ndarray
    step_gain: np.ndarray
    step_gain_y: np.ndarray
    step_multipliers: np.ndarray
    step_multipliers_y: np.ndarray
    residual_upper: float
    residual_lower: float
    attained_at: np.ndarray
    state_upper: np.ndarray
    rounding: float
    status: str
    gap: float
    cells: int
    seconds: float
    discretisation: float
    after: int
    residual_before: float
    state_before: np.ndarray


@dataclass(frozen=True, eq=False)
class Horizon:
    """The error that ``steps`` samples build up from x_hat = x, signs kept, under one constant input (MATH 4).

    upper : in |.|_M of ``metric``, proved; state_upper ``(nx,)`` : of each |d_i|, proved; lower, state_lower : reached.
    steady_state ``(nx,)`` : a bound of |e_i| in the long run. input : ``(nu,)``, the value held, nan where any in the range.
    after : it holds for stretches that begin at this sample or later, when the plant has been in X since sample 0.
    """

    steps: int
    rate: float
    metric: np.ndarray
    upper: float
    lower: float
    state_upper: np.ndarray
    state_lower: np.ndarray
    steady_state: np.ndarray
    input: np.ndarray
    status: str
    seconds: float
    after: int


@dataclass(frozen=True, eq=False)
class ResidualMap:
    """|r|_M ``(ny, nx)`` on a grid over two states, everything else as at the worst point found; for the eye."""

    states: tuple[int, int]
    first: np.ndarray
    second: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Bounds:
    """All that is said of accuracy over a region.

    kind : "proved", "statistical", or "none" with the ``reason``. proofs : the shipped metric's first. horizon, statistical,
    residual_map : None where there is none. discretisation ``(nx,)`` : largest one-step error of the model met at samples of
    the region, against the oracle. structural : no observer that contracts at this rate in this metric has a
    smaller residual; structural_error ``(nx,)`` : the same as a steady error. budget [s], gap, seed : what was asked for.
    unforced : as ``proofs``, but for the one constant input ``held`` ``(nu,)`` instead of all of U. settled, settled_unforced :
    the part of X in which the plant is from some sample on (without its cells), for all of U and for ``held``; None: all of X.
    """

    kind: str
    reason: str
    region: Region
    proofs: tuple[Proof, ...]
    horizon: Horizon | None
    statistical: StatisticalBound | None
    residual_map: ResidualMap | None
    discretisation: np.ndarray
    structural: float
    structural_error: np.ndarray
    budget: float
    gap: float
    seed: int
    seconds: float
    unforced: tuple[Proof, ...] = ()
    held: np.ndarray = field(default_factory=lambda: np.zeros(0))
    settled: Settled | None = None
    settled_unforced: Settled | None = None

    @property
    def proof(self) -> Proof | None:
        """That of the shipped metric, None where nothing is proved."""
        return self.proofs[0] if self.proofs else None

    def to_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return to_plain(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> "Bounds":
        """The inverse of ``to_data``."""
        return from_plain(
            cls,
            data,
            region=Region,
            proofs=Proof,
            unforced=Proof,
            horizon=Horizon,
            statistical=StatisticalBound,
            residual_map=ResidualMap,
            settled=Settled,
            settled_unforced=Settled,
        )
