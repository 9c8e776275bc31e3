"""One Gauss-Newton step inside the barrier by preconditioned conjugate gradients, for large networks (MATH 3, step 10).

No Jacobian and no Hessian is formed. With dQ(d) the change of the certificate matrix along d and P = Q^-1,

    J d:    dv_j = (dC1 x + dD11 w + dD12 v + dbv)_j + sum_{i<j} D11_ji dw_i,   dw = s dv
            dr   = dA x + dB1 w + dB2 v + dbx + B1 dw
    J'rho:  gamma_j = s_j ((B1' rho)_j + sum_{i>j} D11_ij gamma_i),  then outer products with (x, w, v, 1)
    N d:    W = P dQ(d) P:  A: 2 M W_31,  B1: 2 M W_32,  C1: -2 Lam W_21,  D11: -2 Lam W_22 (strictly lower)

Preconditioner: exact for the state rows [A B1 B2 bx] up to the cross term of N (two matrices diagonalised together), and
one dense matrix per hidden row, weighted by E|dx+/dv_i|_M^2 (a Hutchinson estimate).
"""

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh

from observer.fitting.linear_algebra.least_squares import constrained, pack, unpack
from observer.fitting.linear_algebra.normal_equations import RIDGE
from observer.fitting.problem import Problem
from observer.networks.kernels.equilibrium.tangent import adjoint, tangent
from observer.networks.ren.explicit import ExplicitREN

ITERATIONS, TOLERANCE, PROBES = 30, 0.05, 4


class IterativeEquations:
    """Normal equations at one network, by products alone. The interface of ``DenseEquations``."""

    def __init__(
        self, problem: Problem, network: ExplicitREN, multipliers: np.ndarray, root: np.ndarray, lower: np.ndarray
    ) -> None:
        self.network, self.metric, self.multipliers, self.root = network, problem.metric, multipliers, root
        n, q, self.m = network.nx, network.nv, len(problem.train)
        self.sizes = (n, q, network.nu)
        self.constrained = constrained(n, q)
        self.x, self.v = np.ascontiguousarray(problem.train.x.T), np.ascontiguousarray(problem.train.v.T)
        self.w = np.ascontiguousarray(network.equilibrium(problem.train.x, problem.train.v).T)
        self.weights = problem.train.weights
        r = (
            network.A @ self.x
            + network.B1 @ self.w
            + network.B2 @ self.v
            + network.bx[:, None]
            - problem.train.x_next.T
        )
        self.finite = bool(np.isfinite(r).all())
        self.gradient = self._transposed(self._weighted(problem.metric @ r)) / self.m
        self.inverse = cho_solve((lower, True), np.eye(len(lower)), check_finite=False)
        self.slope = self._chain(self.inverse)

    # Products ---------------------------------------------------------------------------------------------------------

    def _forward(self, d: ExplicitREN) -> np.ndarray:
        """J d, ``(n, m)``, not yet in the metric."""
        change = d.C1 @ self.x + d.D12 @ self.v + d.bv[:, None] + d.D11 @ self.w
        dw = tangent(self.network.D11, self.w, change, self.network.activation)
        return d.A @ self.x + d.B1 @ self.w + d.B2 @ self.v + d.bx[:, None] + self.network.B1 @ dw

    def _backward(self, rho: np.ndarray) -> np.ndarray:
        """gamma ``(q, m)``: the derivative of rho' x+ with respect to each neuron's argument."""
        return adjoint(self.network.D11, self.w, self.network.B1.T @ rho, self.network.activation)

    def _weighted(self, rho: np.ndarray) -> np.ndarray:
        return rho if self.weights is None else rho * self.weights

    def _transposed(self, rho: np.ndarray) -> np.ndarray:
        """J' rho as a weight vector."""
        gamma = self._backward(rho)
        parts = {
            "A": rho @ self.x.T, "B1": rho @ self.w.T, "B2": rho @ self.v.T, "bx": rho.sum(axis=1),
            "C1": gamma @ self.x.T, "D11": gamma @ self.w.T, "D12": gamma @ self.v.T, "bv": gamma.sum(axis=1),
        }  # fmt: skip
        return pack(ExplicitREN.with_identity_output(**parts, activation=self.network.activation))

    def _chain(self, w: np.ndarray) -> np.ndarray:
        """2 a_k' W b_k for every constrained weight k, for a symmetric W."""
        n, q, _ = self.sizes
        rows, columns = np.tril_indices(q, -1)
        lam = self.multipliers[:, None]
        hidden = -2 * lam * w[n : n + q]
        state = 2 * self.metric @ w[n + q :]
        parts = [state[:, :n], state[:, n : n + q], hidden[:, :n], hidden[:, n : n + q][rows, columns]]
        return np.concatenate([part.reshape(-1) for part in parts])

    def _curvature(self, d: ExplicitREN) -> np.ndarray:
        """N d."""
        n, q, _ = self.sizes
        dq = np.zeros((2 * n + q, 2 * n + q))
        dq[n + q :, :n], dq[n + q :, n : n + q] = self.metric @ d.A, self.metric @ d.B1
        dq[n : n + q, :n] = -self.multipliers[:, None] * d.C1
        dq[n : n + q, n : n + q] = -self.multipliers[:, None] * d.D11
        return self._chain(self.inverse @ (dq + dq.T) @ self.inverse)

    def _unpack(self, d: np.ndarray) -> ExplicitREN:
        return unpack(d, *self.sizes, self.network.activation)

    def quadratic(self, move: np.ndarray) -> float:
        """move' (J'J/m) move."""
        scaled = self.root @ self._forward(self._unpack(move))
        return float(np.sum(self._weighted(scaled * scaled))) / self.m

    def _apply(self, weight: float, d: np.ndarray) -> np.ndarray:
        network = self._unpack(d)
        result = self._transposed(self._weighted(self.metric @ self._forward(network))) / self.m
        result[: self.constrained] += weight * self._curvature(network)
        result[self.constrained :] += RIDGE * weight * d[self.constrained :]
        return result

    # Preconditioner ---------------------------------------------------------------------------------------------------

    def _preconditioner(self, weight: float):  # type: ignore[no-untyped-def]
        n, q, k = self.sizes
        one = np.ones((1, self.m))
        z = np.concatenate([self.x, self.w, self.v, one])
        moments = z @ self._weighted(z).T / self.m
        moments[np.diag_indices_from(moments)] += 1e-10 * np.trace(moments) / len(moments)
        seen = self.inverse[: n + q, : n + q]
        through = self.metric @ self.inverse[n + q :, n + q :] @ self.metric
        barrier = np.zeros_like(moments)
        barrier[: n + q, : n + q] = seen
        free = np.arange(n + q, len(moments))
        barrier[free, free] = 0.5 * RIDGE / max(float(np.trace(through)) / n, 1e-300)
        left, u = eigh(through, self.metric)
        right, v = eigh(barrier, moments)
        divisor = 1 + 2 * weight * np.outer(left, np.maximum(right, 0))
        probes = np.random.default_rng(0).choice([-1.0, 1.0], (PROBES, n, 1))
        gain = np.mean([self._backward(self.root.T @ probe @ one) ** 2 for probe in probes], axis=(0, 2))
        inverses = np.zeros((q, len(z), len(z)))
        for i in range(q):
            chosen = np.concatenate([np.arange(n + i), np.arange(n + q, len(z))])
            block = gain[i] * moments[np.ix_(chosen, chosen)]
            block[: n + i, : n + i] += (
                2 * weight * self.multipliers[i] ** 2 * seen[n + i, n + i] * seen[: n + i, : n + i]
            )
            tail = np.arange(n + i, len(chosen))
            block[tail, tail] += RIDGE * weight
            factored = cho_factor(block, check_finite=False)
            inverses[i][np.ix_(chosen, chosen)] = cho_solve(factored, np.eye(len(block)), check_finite=False)

        def apply(residual: np.ndarray) -> np.ndarray:
            d = self._unpack(residual)
            state = np.concatenate([d.A, d.B1, d.B2, d.bx[:, None]], axis=1)
            state = u @ ((u.T @ state @ v) / divisor) @ v.T
            rows = np.concatenate([d.C1, d.D11, d.D12, d.bv[:, None]], axis=1)
            hidden = (inverses @ rows[:, :, None])[:, :, 0]
            parts = {
                "A": state[:, :n], "B1": state[:, n : n + q], "B2": state[:, n + q : n + q + k], "bx": state[:, -1],
                "C1": hidden[:, :n], "D11": hidden[:, n : n + q], "D12": hidden[:, n + q : n + q + k], "bv": hidden[:, -1],
            }  # fmt: skip
            return pack(ExplicitREN.with_identity_output(**parts, activation=self.network.activation))

        return apply

    def solve(self, weight: float, right: np.ndarray) -> np.ndarray:
        """The step for damping ``weight`` to a relative residual of 5 %; nan where the preconditioner breaks down."""
        try:
            condition = self._preconditioner(weight)
        except np.linalg.LinAlgError:
            return np.full(len(right), np.nan)
        step, residual = np.zeros_like(right), right.copy()
        z = condition(residual)
        direction, inner = z, float(residual @ z)
        target = TOLERANCE**2 * inner
        for _ in range(ITERATIONS):
            product = self._apply(weight, direction)
            curvature = float(direction @ product)
            if not curvature > 0:
                break
            length = inner / curvature
            step = step + length * direction
            residual = residual - length * product
            z = condition(residual)
            following = float(residual @ z)
            if following <= target:
                break
            direction, inner = z + following / inner * direction, following
        return step
