"""A REN that begins as a given linear system, with neurons that learn from the first step on."""

from typing import Any

import numpy as np
import torch

from observer.networks.network import make_generator
from observer.networks.proofs.guarantees import RENClaim, supply_form
from observer.networks.r2dn import R2DN
from observer.networks.ren.contracting import ContractingREN
from observer.networks.ren.explicit import ExplicitREN
from observer.networks.ren.from_linear_deep import implicit_values, put, r2dn_values
from observer.networks.ren.implicit import ImplicitREN
from observer.networks.ren.inverse_map import direct_parameters
from observer.networks.ren.supply_ren import SupplyREN
from observer.networks.shapes import check_shape
from systems.base.errors import InputError

_HALVINGS = 80


def load_linear(network: Any, A: Any, B: Any, C: Any, D: Any, *, seed: int | torch.Generator = 0) -> Any:
    """Make ``network`` behave as x+ = A x + B u, y = C x + D u exactly; in place, and returned.

    The neurons see the state and the input (C1, D12, bv random) but nothing sees them yet: B1 = 0, D21 = 0. With C1 = 0
    as well the gradient of either would vanish for ever. For a ContractingREN the metric is that of the discrete
    Lyapunov equation of A / rate, for a REN with a supply the stabilising solution of the Riccati equation that states
    its dissipation (for a gain: the bounded real lemma).

    ``network``: a ContractingREN, a SupplyREN (Lipschitz, passive, dissipative), an ImplicitREN (D11 = 0 as well), or an
    R2DN; one with a gain has no feedthrough, D = 0, and its neurons do not see the input yet.
    A (nx, nx), B (nx, nu), C (ny, nx), D (ny, nu).
    Errors: InputError for wrong shapes, for a system outside the promise of the network (with the figure that shows
    it), and for an output that the network cannot have.
    """
    if not isinstance(network, ContractingREN | SupplyREN | ImplicitREN | R2DN):
        raise InputError(f"a {type(network).__name__} has no linear start; expected a REN or an R2DN")
    nx, nu, ny, nv = network.nx, network.nu, network.ny, network.nv
    A, B, C, D = (np.array(value, dtype=float) for value in (A, B, C, D))
    shapes = {"A": (nx, nx), "B": (nx, nu), "C": (ny, nx), "D": (ny, nu)}
    for (name, shape), value in zip(shapes.items(), (A, B, C, D), strict=True):
        check_shape(name, value, shape, name)
    _check_output(network, C, D)
    rate = network.contraction_rate
    radius = np.abs(np.linalg.eigvals(A)).max(initial=0.0)
    if not radius < rate:
        raise InputError(
            f"the spectral radius of A is {radius:.6g}; expected less than the contraction rate of the network,"
            f" {rate:.6g}: use a larger rate"
        )
    supply = _supply(network)
    M = _lyapunov(A / rate) if supply is None else _storage(A, B, C, D, rate, supply)
    generator = make_generator(seed)

    def uniform(*shape: int) -> np.ndarray:
        return 2 * torch.rand(shape, generator=generator, dtype=torch.float64).numpy() - 1

    C1 = uniform(nv, nx)
    C1 /= np.maximum(np.linalg.norm(C1, axis=1, keepdims=True), 1e-12) if nx else 1.0
    ren = ExplicitREN(
        A, np.zeros((nx, nv)), B, C1, C, np.zeros((nv, nv)), 0.3 * uniform(nv, nu), np.zeros((ny, nv)), D,
        np.zeros(nx), uniform(nv), np.zeros(ny), network.activation,
    )  # fmt: skip
    multiplier = max(1.0, float(np.trace(M)) / max(nx, 1))
    for _ in range(_HALVINGS):
        try:
            return _load(network, ren, M, np.full(nv, multiplier))
        except ValueError as error:
            multiplier, last = multiplier / 2, error
    raise InputError(f"no neurons fit beside the linear system, which is at the very edge of the promise: {last}")


def _supply(network: Any) -> Any:
    """(Q, S, R) of the promise, or None for contraction alone."""
    if isinstance(network, R2DN):
        return network.certificate().supply
    return network.supply_arrays() if isinstance(network, SupplyREN) else None


def _check_output(network: Any, C: np.ndarray, D: np.ndarray) -> None:
    if isinstance(network, ImplicitREN | R2DN):
        if D.any() and getattr(network, "gamma", None) is not None:
            raise InputError("an R2DN with a gain has no feedthrough; expected D = 0, or gamma=None")
        return
    if network.identity_output and not (np.array_equal(C, np.eye(network.nx)) and not D.any()):
        raise InputError("the network has identity output; expected C = I and D = 0, or identity_output=False")
    if network.feedthrough == "zero" and D.any():
        raise InputError("the network has no feedthrough; expected D = 0, or another feedthrough of the network")


def _load(network: Any, ren: ExplicitREN, M: np.ndarray, Lam: np.ndarray) -> Any:
    if isinstance(network, SupplyREN):
        return network.load_explicit(ren, M, Lam)
    if isinstance(network, R2DN):
        return put(network, r2dn_values(network, ren, M))
    if isinstance(network, ImplicitREN):
        return put(network, implicit_values(network, ren, M, Lam))
    values = direct_parameters(ren, M, Lam, network.contraction_rate, network.eps)
    if network.polar:
        values["p"] = np.sqrt(np.square(values["X"]).sum() + network.norm_eps)[None]
    if not network.identity_output:
        values |= {name: getattr(ren, name) for name in ("C2", "D21", "D22", "by")}
    if network.feedthrough == "zero":
        values.pop("D22", None)
    return put(network, values)


def _lyapunov(A: np.ndarray) -> np.ndarray:
    """M with A'M A - M = -I."""
    from scipy.linalg import solve_discrete_lyapunov

    M = solve_discrete_lyapunov(A.T, np.eye(len(A))) if len(A) else np.zeros((0, 0))
    return (M + M.T) / 2


def _storage(A: np.ndarray, B: np.ndarray, C: np.ndarray, D: np.ndarray, rate: float, supply: Any) -> np.ndarray:
    """M > 0 with rate^2 V - V+ + s > 0 for the linear system, V = |x|_M^2; InputError where there is none."""
    nx, nu = B.shape
    eye = np.eye(nx + nu)
    seen = np.asarray(supply_form(supply, np.hstack([C, D]), eye[nx:]))
    size = max(1.0, float(np.abs(seen).max(initial=0.0)))
    for slack in size * np.array([1e-1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8]):
        M = _riccati(A / rate, B, -seen[:nx, :nx] + slack * np.eye(nx), seen[:nx, nx:], seen[nx:, nx:], rate)
        if M is None:
            continue
        zero = np.zeros
        linear = ExplicitREN(A, zero((nx, 0)), B, zero((0, nx)), C, zero((0, 0)), zero((0, nu)), zero((len(C), 0)), D,
                             zero(nx), zero(0), zero(len(C)))  # fmt: skip
        verdict = RENClaim(rate, M, zero(0), supply).verify(linear)
        if verdict.holds and verdict.margin > 0:
            return M
    raise InputError(
        f"the linear system does not satisfy the supply of the network at the contraction rate {rate:.6g}: no storage"
        " function solves the Riccati equation of its dissipation; use a looser supply (a larger gamma) or a larger rate"
    )


def _riccati(A: np.ndarray, B: np.ndarray, q: np.ndarray, s: np.ndarray, Rc: np.ndarray, rate: float) -> Any:
    """M with A'M A - M + q/rate^2 + (A'M B - s/rate)(Rc - B'M B)^-1 (..)' = 0, A already divided by the rate; or None."""
    from scipy.linalg import solve_discrete_are, solve_discrete_lyapunov

    if not len(A):
        return np.zeros((0, 0))
    if not B.shape[1]:
        return solve_discrete_lyapunov(A.T, q / rate**2)
    try:
        M = solve_discrete_are(A, B, q / rate**2, -Rc, s=-s / rate)
    except (np.linalg.LinAlgError, ValueError):
        return None
    M = (M + M.T) / 2
    return M if np.isfinite(M).all() else None
