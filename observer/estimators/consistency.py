"""Consistency of a filter: normalised errors against their chi-square bands, and whether innovations are white.

    NEES[k] = mean over trials of e' P^-1 e,        K NEES ~ chi^2 of K nx degrees of freedom      (e = x - x_hat[k|k-1])
    NIS[k]  = mean over trials of nu' S^-1 nu,      K NIS  ~ chi^2 of K ny
    rho[l]  = correlation of whitened innovations l samples apart, standard deviation 1/sqrt(their number)

NEES above its band: the filter believes itself too much; below: too little. Source: Bar-Shalom, Li, Kirubarajan 2001, section 5.4.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import chi2, norm

from observer.estimators.gaussian import GaussianFilter
from observer.state_observer import StateObserver
from systems.angles import wrap
from systems.base.errors import InputError

LAGS = 10


@dataclass(frozen=True, eq=False)
class Consistency:
    """nees, nis ``(N,)``: means over the trials; their bands (low, high) for each sample; ``whiteness`` ``(LAGS, ny)`` and the
    bound on its size. ``mean_nees`` and ``mean_nis`` average over the samples too, and ``mean_nis_band`` is the band of the
    latter: innovations of a matched filter are independent, its errors are not. ``confidence`` of every band."""

    nees: np.ndarray
    nis: np.ndarray
    nees_band: tuple[float, float]
    nis_band: tuple[float, float]
    mean_nees: float
    mean_nis: float
    mean_nis_band: tuple[float, float]
    whiteness: np.ndarray
    whiteness_bound: float
    confidence: float

    @property
    def nees_inside(self) -> float:
        """Share of the samples whose NEES is within its band: ``confidence`` for a matched filter."""
        return float(np.mean((self.nees >= self.nees_band[0]) & (self.nees <= self.nees_band[1])))

    @property
    def nis_inside(self) -> float:
        """Share of the samples whose NIS is within its band."""
        return float(np.mean((self.nis >= self.nis_band[0]) & (self.nis <= self.nis_band[1])))

    @property
    def white(self) -> bool:
        """Whether no correlation is larger than its bound (which is that of all of them together)."""
        return bool(np.all(np.abs(self.whiteness) <= self.whiteness_bound))

    def to_data(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "mean_nees": self.mean_nees, "nees_band": list(self.nees_band), "nees_inside": self.nees_inside,
            "mean_nis": self.mean_nis, "mean_nis_band": list(self.mean_nis_band), "nis_inside": self.nis_inside,
            "whiteness": self.whiteness.tolist(), "whiteness_bound": self.whiteness_bound, "white": self.white,
            "confidence": self.confidence,
        }  # fmt: skip


def innovations(observer: GaussianFilter, x_hat0: Any, u: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(nu ``(K, N, ny)``, S ``(K, N, ny, ny)``) along u and y."""
    return _along(observer, x_hat0, u, y)[2:]


def _along(
    observer: GaussianFilter, x_hat0: Any, u: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(x_hat, P, nu, S) along u and y, the sample on the second axis."""
    state, found = observer.init(x_hat0), []
    for k in range(u.shape[1]):
        innovation, cover = observer.innovation(state, u[:, k], y[:, k])
        found.append((observer.estimate(state), observer.covariance(state), innovation, cover))
        if k + 1 < u.shape[1]:
            state = observer.step(state, u[:, k], y[:, k])
    x_hat, p, nu, s = (np.stack(parts, axis=1) for parts in zip(*found, strict=True))
    return x_hat, p, nu, s


def consistency(
    observer: StateObserver,
    x: np.ndarray,
    u: np.ndarray,
    y: np.ndarray,
    x_hat0: Any,
    *,
    skip: int = 0,
    confidence: float = 0.99,
) -> Consistency:
    """Run the filter over K trials of N samples: x ``(K, N, nx)``, u, y, initial estimates ``(K, nx)``; the first ``skip`` samples are
    not counted. Samples with a missing output are left out of NIS and whiteness.

    Raises :class:`InputError` for an observer without covariance.
    """
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence!r}; expected a probability, such as 0.99")
    if not isinstance(observer, GaussianFilter):
        raise InputError(f"{type(observer).__name__} has no covariance, so there is nothing to be consistent with")
    x_hat, p, nu, s = (a[:, skip:] for a in _along(observer, x_hat0, u, y))
    error = wrap(x_hat - x[:, skip:], observer.model.state_periods)
    there = np.asarray(np.isfinite(y[:, skip:]).all(axis=2))
    trials, samples, nx, ny = len(x), error.shape[1], error.shape[2], nu.shape[2]
    nees = _squares(error, p).mean(axis=0)
    each = np.where(there, _squares(nu, s), np.nan)
    tail = (1 - confidence) / 2

    def band(degrees: float, divisor: float) -> tuple[float, float]:
        return float(chi2.ppf(tail, degrees) / divisor), float(chi2.ppf(1 - tail, degrees) / divisor)

    root = np.linalg.cholesky(s)
    white = np.where(there[..., None], np.linalg.solve(root, nu[..., None])[..., 0], 0.0)
    lags = min(LAGS, max(samples - 1, 1))
    pairs = [max(1, int((there[:, l:] & there[:, : samples - l]).sum())) for l in range(1, lags + 1)]
    rho = [np.sum(white[:, l:] * white[:, : samples - l], axis=(0, 1)) / n for l, n in enumerate(pairs, 1)]
    number = int(there.sum())
    return Consistency(
        nees=nees, nis=np.nanmean(each, axis=0), nees_band=band(trials * nx, trials), nis_band=band(trials * ny, trials),
        mean_nees=float(nees.mean()), mean_nis=float(np.nanmean(each)), mean_nis_band=band(number * ny, number),
        whiteness=np.array(rho) / np.mean(white**2, axis=(0, 1)) * np.mean(there),
        # The largest of so many correlations stays below this with the given confidence.
        whiteness_bound=float(norm.ppf(1 - tail / (lags * ny)) / np.sqrt(min(pairs))), confidence=confidence,
    )  # fmt: skip


def _squares(vectors: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """v' M^-1 v over leading dimensions."""
    return np.einsum("...i,...i->...", vectors, np.linalg.solve(matrices, vectors[..., None])[..., 0])
