"""The Lipschitz bound of a feedforward network, recomputed from its folded weights."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from observer.networks.proofs.verification import BOUND_SLACK, Verification, fault_in, not_proved, verify_form


@dataclass(frozen=True, eq=False)
class LipschitzGuarantee:
    """|y_a - y_b| <= gamma |u_a - u_b| for z_0 = u, z_{k+1} = sigma(W_k z_k + b_k), y = W_L z_L + b_L (MATH 2d).

    Certifying form, for all (du, dz_1, ..., dz_L), with diagonal multipliers T_k > 0:

        gamma |du|^2 - |dy|^2 / gamma - sum_k 2 dz_{k+1}' T_k (W_k dz_k - dz_{k+1}) >= 0

    ``gamma``: the bound. ``multipliers``: the diagonals of T_k, one array per layer of neurons.
    Source: Fazlyab et al., "Efficient and accurate estimation of Lipschitz constants" (arXiv 1906.04893); the
    multipliers of sandwich layers are Psi_k^2.
    """

    gamma: float
    multipliers: tuple[np.ndarray, ...]

    @property
    def statement(self) -> str:
        """What is guaranteed, a sentence."""
        return f"Outputs differ by at most {self.gamma:.6g} times as much as inputs."

    @property
    def certified(self) -> tuple[str, ...]:
        """The weights that the guarantee depends on."""
        return tuple(f"W{k}" for k in range(len(self.multipliers) + 1))

    def verify(self, explicit: Any) -> Verification:
        """Whether it is proved for ``explicit`` (an ExplicitLBDN)."""
        network = explicit.to_numpy()
        values = network.weights() | {f"T{k}": np.asarray(T, float) for k, T in enumerate(self.multipliers)}
        if len(network.matrices) != len(self.multipliers) + 1:
            return not_proved(f"{len(network.matrices)} layers; expected {len(self.multipliers) + 1}", self.statement)
        shapes = {f"T{k}": (len(W),) for k, W in enumerate(network.matrices[:-1])}
        fault = fault_in(values, shapes)
        if fault is None and any((T <= 0).any() for T in self.multipliers):
            fault = "a multiplier is not positive"
        with np.errstate(over="ignore", invalid="ignore"):
            return (
                not_proved(fault, self.statement)
                if fault
                else verify_form(self._form(network.matrices), self.statement)
            )

    def _form(self, matrices: tuple[np.ndarray, ...]) -> np.ndarray:
        gamma = self.gamma * (1 + BOUND_SLACK)
        sizes = [W.shape[1] for W in matrices]
        cuts = np.concatenate([[0], np.cumsum(sizes)])
        places = [slice(low, high) for low, high in itertools.pairwise(cuts)]
        form = np.zeros((cuts[-1], cuts[-1]))
        form[places[0], places[0]] += gamma * np.eye(sizes[0])
        for k, T in enumerate(self.multipliers):
            here, after = places[k], places[k + 1]
            form[after, after] += 2 * np.diag(T)
            form[after, here] -= T[:, None] * matrices[k]
            form[here, after] -= matrices[k].T * T
        form[places[-1], places[-1]] -= matrices[-1].T @ matrices[-1] / gamma
        return form
