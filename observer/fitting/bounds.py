"""The steady error to expect of a fit so far, from its sampled one-step residuals (MATH 2e).

    |e_t|_M <= alpha^t |e_0|_M + sup|r|_M / (1 - alpha),      |e_i| <= sqrt((M^-1)_ii) |e|_M

with alpha the rate that M and the multipliers prove. The supremum is that of the samples, training and held out: a figure
to stop at, cheap enough to look at every few iterations, and no proof; that is ``certify``.
"""

import numpy as np

from observer.certification.contraction import contraction_rate
from observer.fitting.linear_algebra.least_squares import residual
from observer.fitting.problem import Problem, Samples
from observer.networks.ren.explicit import ExplicitREN


def metric_norms(network: ExplicitREN, samples: Samples, metric: np.ndarray) -> np.ndarray:
    """|r_k|_M ``(m,)``."""
    scaled = residual(network, samples) @ np.linalg.cholesky(metric)
    return np.sqrt(np.einsum("kc,kc->k", scaled, scaled))


def supremum(network: ExplicitREN, problem: Problem, metric: np.ndarray) -> float:
    """The largest |r|_M over training and held-out transitions."""
    return max(float(metric_norms(network, s, metric).max()) for s in (problem.train, problem.held_out))


def steady_bound(network: ExplicitREN, problem: Problem, metric: np.ndarray, multipliers: np.ndarray) -> np.ndarray:
    """``(nx,)``, physical units: what |e_i| falls below, if the residual is nowhere larger than at the samples."""
    with np.errstate(all="ignore"):
        alpha = min(contraction_rate(network, metric, multipliers), problem.rate)
        largest = supremum(network, problem, metric)
    s = problem.scaling.matrix
    return np.sqrt(np.einsum("ij,jk,ik->i", s, np.linalg.inv(metric), s)) * largest / (1 - alpha)
