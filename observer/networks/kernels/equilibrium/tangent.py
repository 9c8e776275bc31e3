"""Derivatives of the equilibrium w = sigma(D11 w + b) along and against directions, neurons-major, by the compiled sweep.

    tangent:  dw_i    = s_i (db_i + sum_{j<i} D11_ij dw_j),        adjoint:  delta_i = s_i (g_i + sum_{j>i} D11_ji delta_j)

with s = sigma'(v) taken from w. The tangent is an adjoint with the neurons in reverse order, so that one kernel does both.
"""

import numpy as np

from observer.networks.activations import get_activation
from observer.networks.kernels.equilibrium.cpu import backward


def tangent(D11: np.ndarray, w: np.ndarray, db: np.ndarray, activation: str) -> np.ndarray:
    """dw ``(nv, batch)`` of w ``(nv, batch)`` for db ``(nv, batch)``; float64 or float32, contiguous."""
    code = get_activation(activation).code
    reversed_matrix = np.ascontiguousarray(D11[::-1, ::-1].T)
    return backward(reversed_matrix, w[::-1].T, db[::-1].T, code).T[::-1]


def adjoint(D11: np.ndarray, w: np.ndarray, g: np.ndarray, activation: str) -> np.ndarray:
    """delta = dL/db ``(nv, batch)`` for g = dL/dw ``(nv, batch)``."""
    return backward(D11, w.T, g.T, get_activation(activation).code).T
