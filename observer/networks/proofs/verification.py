"""How a guarantee is verified: in NumPy float64, from the explicit matrices that are evaluated and nothing else.

A guarantee holds a bound and the witness (metric and multipliers) that proves it. ``guarantee.verify(explicit)`` forms
the certifying quadratic form and takes its smallest eigenvalue. How the matrices were found plays no part, so weights
that were rounded, quantised or changed are verified as they are.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from observer.networks.shapes import shape_fault

MARGIN_TOLERANCE = 1e-12  # per row of the form; rounding of the eigenvalue itself
BOUND_SLACK = 1e-9  # relative: at the very bound a tight form is singular, and rounding decides its sign


@dataclass(frozen=True)
class Verification:
    """The outcome of ``verify``.

    Attributes
    ----------
    holds : the guarantee is proved for the matrices as they are.
    margin : smallest eigenvalue of the certifying form, scaled to unit diagonal; negative or nan where nothing is proved.
    guarantee : what is guaranteed, a sentence. reason : what was found, a sentence.
    """

    holds: bool
    margin: float
    guarantee: str
    reason: str


def verify_form(form: np.ndarray | list[np.ndarray], guarantee: str, size: np.ndarray | None = None) -> Verification:
    """Whether ``guarantee`` is proved: ``form`` (or every one of several) is positive semidefinite.

    ``size`` (n,), positive: magnitudes of what the diagonal of each form is a difference of, to which its rounding is relative;
    the forms are scaled by them where they are larger than the diagonal.
    """
    forms = form if isinstance(form, list) else [form]
    margins = [scaled_margin(one, size) for one in forms]
    margin = float(min(margins)) if margins else np.inf
    least = -MARGIN_TOLERANCE * max([len(one) for one in forms], default=0)
    if np.isfinite(margin) and margin >= least:
        return Verification(True, margin, guarantee, "Proved: the certifying form is positive semidefinite.")
    if margin == np.inf:  # an empty form: nothing to prove
        return Verification(True, margin, guarantee, "Proved: the certifying form is empty.")
    return Verification(
        False, margin, guarantee, f"Not proved: the certifying form has the scaled eigenvalue {margin:.3g}."
    )


def not_proved(fault: str, guarantee: str) -> Verification:
    """The outcome where the matrices cannot even be put into the form."""
    return Verification(False, float("nan"), guarantee, f"Nothing is proved: {fault}.")


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
