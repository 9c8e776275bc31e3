"""``LocalResidual``: a proved bound of the residual near an estimate, for the running envelope.

    |r(x, u)|_M <= rho_c  for all x in cell c of a grid over X and all u in U;    rho(set) = max of rho_c over cells it touches

The bound over all of X is often that of a far corner; where the plant is now the residual can be orders smaller. The bounds of
the cells are computed once, by the forms of the branch and bound without dividing them further.
"""

import math
from typing import Any

import numpy as np

from observer.certification.bounds import Bounds, Proof
from observer.certification.residual.model import make_model
from observer.certification.settled import cell_grid
from observer.state_observer import RENObserver
from systems.angles import angles
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem

CELLS = 20_000
_MOST = 4096  # cells of a set; a larger set gets the bound over the region


class LocalResidual:
    """(x_hat ``(..., nx)``, eta ``(...)``, u) -> a bound of |r|_M ``(...)`` over {x in X : |x - x_hat|_M <= eta}.

    proof : whose metric it is in, the shipped one's when left out; give the same ``refined`` to ``running_envelope``.
    cells : of the grid, over the states. Raises InputError where nothing is proved, Unprovable as ``bound_residual`` does.
    """

    def __init__(
        self, observer: RENObserver, plant: DiscreteSystem, bounds: Bounds, *, refined: int = 0, cells: int = CELLS
    ) -> None:
        if bounds.kind != "proved":
            raise InputError(f"no local bound: {bounds.reason}")
        self.proof: Proof = bounds.proofs[refined]
        nx, box = plant.nx, np.asarray(bounds.region.box, dtype=float)
        if not (np.ptp(box[:nx], axis=1) > 0).all():
            raise InputError(
                "no local bound: the region of the certificate has zero width in some state; certify over a wider one"
            )
        self.angles = angles(plant.system)
        self.box, self.shape = box[:nx], (max(2, int(cells ** (1 / nx) + 1e-9)),) * nx
        model = make_model(observer, plant, box, self.proof.contraction.metric, None)
        found = model.bound(cell_grid(box, nx, self.shape)).bounds[:, 0]
        found = np.minimum(np.where(np.isnan(found), np.inf, found), self.proof.before.upper)
        self.bounds = found.reshape(self.shape)

    def __call__(self, x_hat: Any, eta: Any, u: Any = None) -> np.ndarray:
        x_hat, eta = self.angles.states(np.asarray(x_hat, dtype=float)), np.asarray(eta, dtype=float)
        half = eta[..., None] * self.proof.contraction.state_gain * (1 + 1e-9)
        unit = np.ptp(self.box, axis=1) / np.array(self.shape)
        ends = (np.stack([x_hat - half, x_hat + half]) - self.box[:, 0]) / unit
        last = np.array(self.shape) - 1
        low = np.clip(np.floor(np.nan_to_num(ends[0], nan=-1.0) - 1e-6), 0, last).astype(int)
        high = np.clip(np.floor(np.nan_to_num(ends[1], nan=np.inf) + 1e-6), 0, last).astype(int)
        result = np.full(eta.shape, self.proof.before.upper)
        turning = self.angles.turning  # a set that reaches around a turn is in no block
        around = ((ends[0] < 0) | (ends[1] > self.shape))[..., turning].any(axis=-1)
        for place in np.ndindex(eta.shape):
            if around[place]:
                continue
            block = tuple(slice(a, b + 1) for a, b in zip(low[place], high[place], strict=True))
            if math.prod(s.stop - s.start for s in block) <= _MOST:
                result[place] = self.bounds[block].max()
        return result
