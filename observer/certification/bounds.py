"""The accuracy that a certificate states: proofs in one or several metrics, over many steps, or statistics.

A certificate of kind "proved" holds proofs and no statistics; one of kind "statistical" holds statistics and no proof.
"""

from dataclasses import dataclass, field

import numpy as np

from observer.certification.contraction import Contraction
from observer.certification.gains import StepGains
from observer.certification.region import Region
from observer.certification.residual import HorizonBound, ResidualBound
from observer.certification.settled import Settled
from observer.certification.statistical import StatisticalBound


@dataclass(frozen=True, eq=False)
class SettledPart:
    """``after`` : the sample from which on a proof's residual bound holds, when the plant has been in X since sample 0.

    ``before`` : the residual bound over all of X, which holds until then.
    """

    after: int
    before: ResidualBound


@dataclass(frozen=True, eq=False)
class Proof:
    """The error of an observer in one metric: its contraction, its gains, and its residual over the region.

    name : "one step" for the shipped metric, else what it was refined for. residual : r = f_o(x, u, h(x, u)) - f(x, u) over
    X x U, or with ``settled`` over the part of X where the plant settles. discretisation : |d|_M of the model against the
    reference integrator, sampled; see :class:`Bounds`.
    """

    name: str
    contraction: Contraction
    gains: StepGains
    residual: ResidualBound
    discretisation: float = 0.0
    settled: SettledPart | None = None

    @property
    def after(self) -> int:
        """The sample from which on ``residual`` holds, 0 where it holds at once."""
        return 0 if self.settled is None else self.settled.after

    @property
    def before(self) -> ResidualBound:
        """The residual bound that holds until ``after``."""
        return self.residual if self.settled is None else self.settled.before

    def ultimate(self, in_metric: float = 0.0, in_states: np.ndarray | float = 0.0) -> np.ndarray:
        """Ultimate bound of each |e_i| ``(nx,)``; beside the residual a step adds ``in_metric`` to |e|_M, ``in_states`` to |e_i|."""
        level = (self.residual.upper + in_metric) / (1 - self.contraction.rate)
        through = self.gains.error * level + self.residual.state_upper + in_states
        return np.minimum(self.contraction.state_gain * level, through)


@dataclass(frozen=True, eq=False)
class ResidualMap:
    """|r|_M ``(ny, nx)`` on a grid over two states, everything else as at the worst point found; for the eye."""

    states: tuple[int, int]
    first: np.ndarray
    second: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Bounds:
    """The accuracy of an observer over a region.

    Attributes
    ----------
    kind : "proved", "statistical", or "none" with the ``reason``. region : all results refer to it.
    work, gap, seed : the options given; work as a share of what a certificate takes when nothing is asked for. seconds : what it
        took. Where no search ended by a clock, the same options give the same numbers again.
    proofs : the shipped metric's first. unforced : the same for the one constant input ``held`` (nu,) instead of all of U.
    settled, settled_unforced : the part of X in which the plant is from some sample on, for all of U and for ``held``; None: all of X.
    horizon : over many steps under ``held``, from ``settled_unforced`` on. residual_map, statistical : None where there is none.
    discretisation : (nx,), largest one-step error of the model at samples of the region, against the reference integrator, and that
        one's own where it is known (of steps of one length, in a sliding mode).
    omitted : parts that are left out ("settled", "settled_unforced", "horizon", "structural", or the name of a proof), and whether the
        "work" or the "clock" was not enough for them, or an angle "turns".
    structural : no observer that contracts at this rate in this metric has a smaller residual; structural_error : (nx,), the
        ultimate error that follows from it.
    """

    kind: str
    reason: str
    region: Region
    work: float
    gap: float
    seed: int
    seconds: float
    proofs: tuple[Proof, ...] = ()
    unforced: tuple[Proof, ...] = ()
    held: np.ndarray = field(default_factory=lambda: np.zeros(0))
    settled: Settled | None = None
    settled_unforced: Settled | None = None
    horizon: HorizonBound | None = None
    residual_map: ResidualMap | None = None
    discretisation: np.ndarray = field(default_factory=lambda: np.zeros(0))
    structural: float = float("nan")
    structural_error: np.ndarray = field(default_factory=lambda: np.zeros(0))
    statistical: StatisticalBound | None = None
    omitted: dict[str, str] = field(default_factory=dict)

    @property
    def proof(self) -> Proof | None:
        """That of the shipped metric, None where nothing is proved."""
        return self.proofs[0] if self.proofs else None

    @property
    def proved(self) -> bool:
        """Whether every residual bound is finite, so that there is an envelope."""
        return self.kind == "proved" and all(np.isfinite(p.residual.upper) for p in self.proofs)

    @property
    def horizon_after(self) -> int:
        """The sample at which the first stretch of many steps may begin, when the plant has been in X since sample 0."""
        return 0 if self.settled_unforced is None else self.settled_unforced.samples

    def horizon_proof(self) -> Proof | None:
        """The proof whose metric and rate the many-step bound was computed with."""
        h = self.horizon
        same = [p for p in self.proofs if h is not None and h.belongs_to(p.contraction.metric, p.contraction.rate)]
        return same[0] if same else None
