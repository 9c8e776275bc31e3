"""What a network promises, and how the promise is recomputed from its explicit matrices, in NumPy float64.

A claim holds the numbers of one certificate: the bound that is promised and the witness (metric and multipliers) that
proves it. ``claim.verify(explicit)`` looks at the matrices that are evaluated and at nothing else: it forms the
certifying quadratic form and takes its smallest eigenvalue. How the matrices were found plays no part, so weights that
were rounded, quantised or changed are judged as they are.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from observer.networks.shapes import shape_fault

MARGIN_TOLERANCE = 1e-12  # per row of the form; rounding of the eigenvalue itself
BOUND_SLACK = 1e-9  # relative: at the very bound a tight form is singular, and rounding decides its sign

Supply = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Verdict:
    """The outcome of ``verify``.

    Attributes
    ----------
    holds : the claim is proved for the matrices as they are.
    margin : smallest eigenvalue of the certifying form, scaled to unit diagonal; negative or nan where nothing is proved.
    claim : the promise, a sentence. reason : what was found, a sentence.
    """

    holds: bool
    margin: float
    claim: str
    reason: str


def judge(form: np.ndarray | list[np.ndarray], claim: str, size: np.ndarray | None = None) -> Verdict:
    """The verdict on ``claim`` where it is proved by ``form`` (or by all of several) being positive semidefinite.

    ``size`` (n,), positive: magnitudes of what the diagonal of each form is a difference of, to which its rounding is relative;
    the forms are scaled by them where they are larger than the diagonal.
    """
    forms = form if isinstance(form, list) else [form]
    margins = [scaled_margin(one, size) for one in forms]
    margin = float(min(margins)) if margins else np.inf
    least = -MARGIN_TOLERANCE * max([len(one) for one in forms], default=0)
    if np.isfinite(margin) and margin >= least:
        return Verdict(True, margin, claim, "Proved: the certifying form is positive semidefinite.")
    if margin == np.inf:  # an empty form: nothing to prove
        return Verdict(True, margin, claim, "Proved: there is nothing that could grow.")
    return Verdict(False, margin, claim, f"Not proved: the certifying form has the scaled eigenvalue {margin:.3g}.")


def refuted(fault: str, claim: str) -> Verdict:
    """The verdict where the matrices cannot even be put into the form."""
    return Verdict(False, float("nan"), claim, f"Nothing is proved: {fault}.")


def scaled_margin(form: np.ndarray, size: np.ndarray | None = None) -> float:
    """Smallest eigenvalue of the symmetric part of ``form`` (n, n), scaled to unit diagonal (or by ``size``); inf for n = 0.

    A diagonal entry that is not positive is not scaled away: it shows as it is. nan where the form is not finite.
    """
    if form.size == 0:
        return np.inf
    if not np.isfinite(form).all():
        return float("nan")
    form = (form + form.conj().T) / 2
    diagonal = np.real(np.diag(form))
    if (diagonal <= 0).any() and (np.abs(form[diagonal <= 0]) > 0).any():
        # An indefinite form: its scale is that of the largest entries.
        return float(np.linalg.eigvalsh(form)[0] / np.abs(form).max())
    scale = np.sqrt(np.where(diagonal > 0, diagonal if size is None else np.maximum(diagonal, size), 1.0))
    return float(np.linalg.eigvalsh(form / scale / scale[:, None])[0])


def fault_in(values: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> str | None:
    """The first wrong shape or value that is not finite among ``values``, as a sentence, or None."""
    for name, shape in shapes.items():
        fault = shape_fault(name, values[name], shape, name)
        if fault:
            return fault
    broken = [name for name, value in values.items() if not np.isfinite(value).all()]
    return f"{', '.join(broken)} not finite; expected finite numbers" if broken else None


@dataclass(frozen=True, eq=False)
class RENClaim:
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
        """The promise, a sentence."""
        first = f"Two solutions under the same input approach each other: |dx+|_M <= {self.rate:.6g} |dx|_M"
        return f"{first}; {self.text}." if self.text else f"{first}."

    @property
    def certified(self) -> tuple[str, ...]:
        """The weights that the promise depends on; biases never enter it."""
        state = ("A", "B1", "C1", "D11")
        return state if self.supply is None else (*state, "B2", "C2", "D12", "D21", "D22")

    def verify(self, explicit: Any) -> Verdict:
        """The verdict for ``explicit`` (anything with the twelve weights of a REN)."""
        ren, M, Lam = explicit.to_numpy(), np.asarray(self.metric, float), np.asarray(self.multipliers, float)
        ren = getattr(ren, "matrices", ren)  # an implicit REN wraps them
        values = {**ren.weights(), "metric": M, "multipliers": Lam}
        fault = fault_in(values, {"metric": (ren.nx, ren.nx), "multipliers": (ren.nv,)})
        fault = fault or self._fault(ren, M, Lam)
        with np.errstate(over="ignore", invalid="ignore"):
            return refuted(fault, self.statement) if fault else judge(self._form(ren, M, Lam), self.statement)

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
