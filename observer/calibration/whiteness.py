"""Are residuals white? Autocorrelations with their bounds, and the test of Ljung and Box.

    rho[l] = sum e_k e_{k+l} / sum e_k^2,   |rho| < 1.96/sqrt(n) for nineteen lags of twenty
    Q = n (n + 2) sum rho[l]^2 / (n - l)  ~  chi^2 of L degrees of freedom

Source: Ljung and Box, Biometrika 65, 1978.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

LAGS = 20
LEVEL = 0.01  # below this probability residuals are not called white


@dataclass(frozen=True, eq=False)
class Whiteness:
    """Of one output: rho ``(L,)`` of lags 1 to L, ``bound`` of their size, ``statistic`` Q and its ``probability`` under white noise.

    ``inflation``: by how much the deviation of a mean of such residuals exceeds that of white ones."""

    rho: np.ndarray
    bound: float
    statistic: float
    probability: float
    inflation: float

    @property
    def white(self) -> bool:
        """Whether the test lets them pass as white."""
        return self.probability >= LEVEL


def whiteness(residuals: Sequence[np.ndarray], lags: int = LAGS) -> Whiteness:
    """Of the residuals of one output, an array ``(N,)`` for each stretch, nan where nothing was measured."""
    n = int(sum(np.isfinite(e).sum() for e in residuals))
    lags = max(1, min(lags, n // 4, max(len(e) for e in residuals) - 1))
    mean = sum(np.nansum(e) for e in residuals) / max(n, 1)
    centred = [np.where(np.isfinite(e), e - mean, 0.0) for e in residuals]
    there = [np.isfinite(e) for e in residuals]
    power = sum(float(e @ e) for e in centred)
    if power == 0:
        return Whiteness(np.zeros(lags), np.inf, 0.0, 1.0, 1.0)
    rho, q = np.zeros(lags), 0.0
    for l in range(1, lags + 1):
        pairs = sum(int((a[l:] & a[:-l]).sum()) for a in there if len(a) > l)
        if pairs:
            rho[l - 1] = sum(float(e[l:] @ e[:-l]) for e in centred if len(e) > l) / power * n / pairs
            q += rho[l - 1] ** 2 * pairs
    probability = float(chi2.sf(q, lags))
    ends = np.flatnonzero(rho <= 0)
    memory = 1 + 2 * rho[: ends[0] if len(ends) else lags].sum()
    inflation = 1.0 if probability >= LEVEL else float(np.sqrt(max(1.0, memory)))
    return Whiteness(rho, float(1.96 / np.sqrt(n)), float(q), probability, inflation)
