"""The method of centres for the metric of a few Jacobians (Boyd and El Ghaoui, Linear Algebra Appl. 188, 1993)."""

import numpy as np

from systems.detectability.jacobians import FULL_METRIC_UP_TO, rates


def _traces(scaled: np.ndarray) -> np.ndarray:
    """Sum over samples of tr(S_b S_c) for S ``(samples, basis, d, d)``, as one product of matrices."""
    samples, basis, d, _ = scaled.shape
    transposed = np.transpose(scaled, (0, 1, 3, 2))
    left, right = (np.transpose(s, (1, 0, 2, 3)).reshape(basis, samples * d * d) for s in (scaled, transposed))
    return left @ right.T


class Centring:
    """Newton's method for the analytic centre of {M : alpha^2 N'MN - N'A'MAN > 0 for each sample, I < M < kappa I}."""

    def __init__(self, size: int, condition: float) -> None:
        if size <= FULL_METRIC_UP_TO:
            pairs = [(i, j) for i in range(size) for j in range(i, size)]
        else:
            pairs = [(i, i) for i in range(size)]
        self.basis = np.zeros((len(pairs), size, size))
        for k, (i, j) in enumerate(pairs):
            self.basis[k, i, j] = self.basis[k, j, i] = 1.0
        self.condition, self.size = condition, size
        self.rows, self.columns = np.array(pairs).T

    def blocks(self, a: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """N'E N and N'A'E A N for every basis matrix E: each ``(samples, basis, d, d)``."""
        return self._forms(n), self._forms(a @ n)

    def _forms(self, v: np.ndarray) -> np.ndarray:
        """V'E V for E = e_i e_j' + e_j e_i' (e_i e_i' on the diagonal): products of rows of V, not of matrices."""
        outer = v[:, self.rows, :, None] * v[:, self.columns, None, :]
        share = np.where(self.rows == self.columns, 0.5, 1.0)[:, None, None]
        return share * (outer + np.transpose(outer, (0, 1, 3, 2)))

    def centre(self, theta: np.ndarray, slopes: np.ndarray, steps: int = 30) -> np.ndarray:
        """The centre, from a strictly feasible ``theta``; ``slopes`` ``(samples, basis, d, d)`` are alpha^2 first - second."""
        eye, count = np.eye(self.size), len(theta)
        flat, basis = slopes.reshape(len(slopes), count, -1), self.basis.reshape(count, -1)
        for _ in range(steps):
            inverse = np.linalg.inv((theta @ flat).reshape(len(slopes), *slopes.shape[2:]))
            scaled = inverse[:, None] @ slopes
            metric = (theta @ basis).reshape(eye.shape)
            near = np.linalg.inv(np.stack([metric - eye, self.condition * eye - metric]))[:, None] @ self.basis
            near[1] *= -1.0
            gradient = -np.trace(scaled, axis1=2, axis2=3).sum(axis=0) - np.trace(near, axis1=2, axis2=3).sum(axis=0)
            hessian = _traces(scaled) + _traces(near)
            hessian[np.arange(count), np.arange(count)] *= 1 + 1e-12
            direction = -np.linalg.solve(hessian, gradient)
            decrement = float(np.sqrt(max(0.0, -gradient @ direction)))
            length = 1.0 if decrement < 0.25 else 1.0 / (1.0 + decrement)
            theta = theta + length * direction  # the damped step stays inside (self-concordance)
            if decrement < 0.1:  # quadratic from here; a centre to 1 % does for the next bound
                break
        return theta


def minimise(
    centring: Centring, theta: np.ndarray, metric: np.ndarray, a: np.ndarray, n: np.ndarray, target: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Shrink alpha on a few samples: centre, take the rate of the centre, move the bound towards it."""
    first, second = centring.blocks(a, n)
    # Zero columns (padding) give zero blocks; a unit diagonal keeps them out of the barrier.
    padding = np.einsum("ma,ac->mac", (~np.any(n, axis=1)).astype(float), np.eye(n.shape[2]))
    best = float(rates(metric, a, n)[0].max())
    bound = max(best * 1.05, 1e-6)
    for _ in range(60):
        slopes = bound**2 * first - second
        slopes = slopes + padding[:, None] * np.trace(centring.basis, axis1=1, axis2=2)[None, :, None, None]
        try:
            theta = centring.centre(theta, slopes)
        except np.linalg.LinAlgError:
            break
        candidate = np.einsum("b,bij->ij", theta, centring.basis)
        rate = float(rates(candidate, a, n)[0].max())
        if not np.isfinite(rate):
            break
        metric = candidate
        if target is not None and rate <= 0.999 * target:
            break
        following = rate + 0.1 * (bound - rate)
        if following >= bound * (1 - 1e-4):
            break
        bound = max(following, 1e-9)
    return theta, metric
