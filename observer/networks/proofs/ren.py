"""The guarantee of a REN: contraction at a rate, and with a supply incremental dissipation."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from observer.networks.proofs.verification import (
    BOUND_SLACK,
    Verification,
    fault_in,
    not_proved,
    scaled_margin,
    verify_form,
)

Supply = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class RENGuarantee:
    """Contraction of a REN at a rate, and, with a supply, incremental dissipation (MATH 2a, 2b).

    For two solutions, with V = |dx|_M^2 and, where there is a supply (Q, S, R), s = dy'Q dy + 2 du'S dy + du'R du:

        V+ <= rate^2 V      under the same input;      V+ <= rate^2 V + s      under any two inputs

    Certifying form, for all (dx, dw, du): rate^2 V - V+ - 2 dw'Lam(dv - dw) + s >= 0. Without supply du = 0.

    ``rate`` per step. ``metric`` M (nx, nx). ``multipliers`` Lam (nv,). ``supply``: Q (ny, ny), S (nu, ny), R (nu, nu),
    Q <= 0. ``acyclic``: D11 must be strictly lower triangular; else any D11, whose equilibrium is then unique because
    2 Lam - Lam D11 - D11'Lam > 0, which is part of the form. ``text``: what the supply means, for the sentence.
    """

    rate: float
    metric: np.ndarray
    multipliers: np.ndarray
    supply: Supply | None = None
    acyclic: bool = True
    text: str = ""

    @property
    def statement(self) -> str:
        """What is guaranteed, a sentence."""
        first = f"Two solutions under the same input approach each other: |dx+|_M <= {self.rate:.6g} |dx|_M"
        return f"{first}; {self.text}." if self.text else f"{first}."

    @property
    def certified(self) -> tuple[str, ...]:
        """The weights that the guarantee depends on; biases never enter it."""
        state = ("A", "B1", "C1", "D11")
        return state if self.supply is None else (*state, "B2", "C2", "D12", "D21", "D22")

    def verify(self, explicit: Any) -> Verification:
        """Whether it is proved for ``explicit`` (anything with the twelve weights of a REN)."""
        ren, M, Lam = explicit.to_numpy(), np.asarray(self.metric, float), np.asarray(self.multipliers, float)
        ren = getattr(ren, "matrices", ren)  # an implicit REN wraps them
        values = {**ren.weights(), "metric": M, "multipliers": Lam}
        fault = fault_in(values, {"metric": (ren.nx, ren.nx), "multipliers": (ren.nv,)})
        fault = fault or self._fault(ren, M, Lam)
        with np.errstate(over="ignore", invalid="ignore"):
            return not_proved(fault, self.statement) if fault else verify_form(self._form(ren, M, Lam), self.statement)

    def _fault(self, ren: Any, M: np.ndarray, Lam: np.ndarray) -> str | None:
        if self.acyclic and (np.triu(ren.D11) != 0).any():
            return "D11 is not strictly lower triangular; expected 0 on and above the diagonal"
        if (Lam <= 0).any():
            return f"multiplier {int(np.argmin(Lam))} is {Lam.min():.3g}; expected all multipliers > 0"
        if not scaled_margin(M) > 0:
            return "the metric is not positive definite"
        if self.supply is not None:
            Q, S, R = self.supply
            fault = fault_in(
                {"Q": Q, "S": S, "R": R}, {"Q": (ren.ny, ren.ny), "S": (ren.nu, ren.ny), "R": (ren.nu, ren.nu)}
            )
            if fault:
                return f"supply: {fault}"
            if Q.size and np.linalg.eigvalsh(Q)[-1] > 1e-12 * np.abs(Q).max():
                return "supply: Q is not negative semidefinite, so that no rate of contraction follows"
        return None

    def _form(self, ren: Any, M: np.ndarray, Lam: np.ndarray) -> np.ndarray:
        nu = ren.nu if self.supply is not None else 0
        eye = np.eye(ren.nx + ren.nv + nu)
        dx, dw, du = np.split(eye, [ren.nx, ren.nx + ren.nv])
        after = np.hstack([ren.A, ren.B1, ren.B2[:, :nu]])
        dv = np.hstack([ren.C1, ren.D11, ren.D12[:, :nu]])
        sector = dw.T @ (Lam[:, None] * (dv - dw))
        rate = self.rate * (1 + BOUND_SLACK)
        form = rate**2 * dx.T @ M @ dx - after.T @ M @ after - sector - sector.T
        return form + supply_form(self.supply, np.hstack([ren.C2, ren.D21, ren.D22[:, :nu]]), du)


def supply_form(supply: Supply | None, dy: np.ndarray, du: np.ndarray) -> np.ndarray | float:
    """dy'Q dy + dy'S'du + du'S dy + du'R du as a matrix, for dy (ny, m) and du (nu, m); zero without supply."""
    if supply is None:
        return 0.0
    Q, S, R = supply
    cross = du.T @ S @ dy
    return dy.T @ Q @ dy + cross + cross.T + du.T @ R @ du
