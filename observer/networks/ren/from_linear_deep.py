"""The implicit REN and the R2DN as a given linear system (A, B, C, D), with neurons that nothing sees yet (B1 = 0, D21 = 0)."""

from typing import Any

import numpy as np
import torch

from observer.networks.r2dn import R2DN
from observer.networks.ren.explicit import ExplicitREN
from observer.networks.ren.implicit import ImplicitREN
from observer.networks.ren.inverse_map import direct_parameters
from systems.base.errors import InputError

_HALVINGS = 80


def implicit_values(network: ImplicitREN, ren: ExplicitREN, M: np.ndarray, Lam: np.ndarray) -> dict[str, Any]:
    """Direct parameters of an implicit REN with D11 = 0 besides the weights of ``ren``, whose D11 is 0 too.

    The map of MATH 2a inverted as for a ContractingREN, and  D11 = I - Lam^-1 (H22 + Y2 - Y2')/2 = 0  by  Y2 = 0,
    Lam = H22/2, which is diagonal there. Errors: ValueError where M and Lam do not certify the rate.
    """
    n, q = network.nx, network.nv
    values: dict[str, Any] = direct_parameters(ren, M, Lam, network.contraction_rate, network.eps)
    diagonal = np.square(values["X"]).sum(axis=0)[n : n + q] + network.eps
    values |= {"Y2": np.zeros((q, q)), "l": np.log(diagonal / 2)}
    if network.polar:
        values["p"] = np.sqrt(np.square(values["X"]).sum() + network.norm_eps)[None]
    return values | {name: getattr(ren, name) for name in ("C2", "D21", "D22", "by")}


def r2dn_values(network: R2DN, ren: ExplicitREN, M: np.ndarray) -> dict[str, Any]:
    """Direct parameters of an R2DN with the A, B2, C1, C2, D12, D22 of ``ren`` (D12 = 0 with a gain) and B1 = 0, D21 = 0.

        E = c rate^2 M,  P = c rate^4 M,  F = E A,  Y = 0
        X'X = [[c rate^2 M, F'], [F, P]] - eps I - blkdiag(C1'C1, 0)     and with a gain, where c = 1:
              ... - [0; B2~] [0; B2~]'/gamma - blkdiag(C2'C2/gamma, 0),  B2~ = E B2

    Without a gain c is as large as the rest needs; with one the supply sets the size of M, and C1 is halved until it fits.
    The feedforward network in the middle keeps the parameters that it has.
    Errors: InputError where M leaves no room.
    """
    n, rate, gamma = network.nx, network.contraction_rate, network.gamma
    C1, scale = np.array(ren.C1), 1.0
    if gamma is None:
        scale = max(1.0, 4 * (np.linalg.norm(C1, 2) ** 2 + network.eps) / rate**2) if n else 1.0
    E = scale * rate**2 * M
    F, P = E @ ren.A, rate**2 * E
    whole = np.block([[E, F.T], [F, P]])
    if gamma is not None:
        B2 = E @ ren.B2
        taken = np.zeros_like(whole)
        taken[:n, :n], taken[n:, n:] = ren.C2.T @ ren.C2 / gamma, B2 @ B2.T / gamma
        whole = whole - taken
    for _ in range(_HALVINGS):
        rest = whole - network.eps * np.eye(2 * n)
        rest[:n, :n] -= C1.T @ C1
        try:
            X = np.linalg.cholesky((rest + rest.T) / 2).T
            break
        except np.linalg.LinAlgError:
            C1 = C1 / 2
    else:
        raise InputError("no neurons fit beside the linear system, which is at the very edge of the promise")
    values: dict[str, Any] = {"X": X, "Y": np.zeros((n, n)), "B1": np.zeros((n, network.nv)), "C1": C1, "C2": ren.C2}
    if network.polar:
        values["p"] = np.sqrt(np.square(X).sum() + network.norm_eps)[None]
    if gamma is None:
        values |= {"B2": ren.B2, "D12": ren.D12, "D21": ren.D21, "D22": ren.D22}
    else:
        values |= {"B2": E @ ren.B2, **_silent(network, "in"), **_silent(network, "out")}
    return values | {"bx": ren.bx, "bv": ren.bv, "by": ren.by}


def _silent(network: R2DN, end: str) -> dict[str, np.ndarray]:
    """X, Y, Z of N = 0: the Cayley transform of the unit matrix."""
    size = len(getattr(network, f"X_{end}"))
    unit = np.sqrt(max(0.0, 1 - max(network.eps, 1e-9))) * np.eye(size)
    others = {f"{name}_{end}": np.zeros(tuple(getattr(network, f"{name}_{end}").shape)) for name in "YZ"}
    return {f"X_{end}": unit, **others}


def put(network: Any, values: dict[str, Any]) -> Any:
    """Take over these direct parameters in place; the same network."""
    with torch.no_grad():
        for name, value in values.items():
            getattr(network, name).copy_(torch.as_tensor(value))
    return network
