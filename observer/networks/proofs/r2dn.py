"""The guarantee of an R2DN, recomputed from its explicit matrices."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from observer.networks.proofs.lipschitz import LipschitzGuarantee
from observer.networks.proofs.ren import Supply, supply_form
from observer.networks.proofs.verification import (
    BOUND_SLACK,
    Verification,
    fault_in,
    not_proved,
    scaled_margin,
    verify_form,
)


@dataclass(frozen=True, eq=False)
class R2DNGuarantee:
    """|dx+|_M <= rate |dx|_M under the same input; with a gain, V+ <= rate^2 V + gamma |du|^2 - |dy|^2/gamma as well.

    Two facts prove it: the inner network is 1-Lipschitz (its own guarantee), and for all (dx, dw, du), V = |dx|_M^2,

        rate^2 V - V+ - (|dv|^2 - |dw|^2) + gamma |du|^2 - |dy|^2/gamma >= 0        (du = 0 and no last two without gain)

    ``sizes``: (ny, nu).
    """

    rate: float
    metric: np.ndarray
    inner: LipschitzGuarantee
    gamma: float | None
    sizes: tuple[int, int]

    @property
    def supply(self) -> Supply | None:
        """(-I/gamma, 0, gamma I), or None without gain."""
        if self.gamma is None:
            return None
        ny, nu = self.sizes
        return -np.eye(ny) / self.gamma, np.zeros((nu, ny)), self.gamma * np.eye(nu)

    @property
    def statement(self) -> str:
        """What is guaranteed, a sentence."""
        first = f"Two solutions under the same input approach each other: |dx+|_M <= {self.rate:.6g} |dx|_M"
        if self.gamma is None:
            return f"{first}."
        return (
            f"{first}; and outputs differ by at most {self.gamma:.6g} times as much as inputs, in the sum of squares."
        )

    @property
    def certified(self) -> tuple[str, ...]:
        """The weights that the guarantee depends on."""
        gain = ("B2", "C2", "D12", "D21", "D22") if self.gamma is not None else ()
        return ("A", "B1", "C1", *gain, *self.inner.certified)

    def verify(self, explicit: Any) -> Verification:
        """Whether it is proved for ``explicit`` (an ExplicitR2DN)."""
        network, M = explicit.to_numpy(), np.asarray(self.metric, float)
        fault = fault_in({**network.weights(), "metric": M}, {"metric": (network.nx, network.nx)})
        if fault is None and not scaled_margin(M) > 0:
            fault = "the metric is not positive definite"
        if fault is None and self.gamma is not None and (network.ny, network.nu) != self.sizes:
            fault = f"{network.ny} outputs and {network.nu} inputs; expected {self.sizes[0]} and {self.sizes[1]}"
        if fault:
            return not_proved(fault, self.statement)
        inner = self.inner.verify(network.inner)
        with np.errstate(over="ignore", invalid="ignore"):
            outer = verify_form(self._form(network, M), self.statement)
        worse = min((inner, outer), key=lambda found: (found.holds, found.margin))
        return Verification(worse.holds, worse.margin, self.statement, worse.reason)

    def _form(self, network: Any, M: np.ndarray) -> np.ndarray:
        nu = network.nu if self.gamma is not None else 0
        dx, dw, du = np.split(np.eye(network.nx + network.nv + nu), [network.nx, network.nx + network.nv])
        after = np.hstack([network.A, network.B1, network.B2[:, :nu]])
        dv = np.hstack([network.C1, np.zeros((network.nv, network.nv)), network.D12[:, :nu]])
        rate = self.rate * (1 + BOUND_SLACK)
        form = rate**2 * dx.T @ M @ dx - after.T @ M @ after - dv.T @ dv + (1 + BOUND_SLACK) * dw.T @ dw
        return form + supply_form(self.supply, np.hstack([network.C2, network.D21, network.D22[:, :nu]]), du)
