"""A recurrent network whose initial values are a given linear system, with neurons that learn from the first step on."""

from typing import Any

import numpy as np
import torch

from observer.networks.network import RecurrentNetwork, make_generator
from observer.networks.proofs.ren import RENGuarantee, Supply, supply_form
from observer.networks.ren.explicit import ExplicitREN
from observer.networks.shapes import check_shape
from systems.base.errors import InputError

_HALVINGS = 80


def load_linear(
    network: RecurrentNetwork, A: Any, B: Any, C: Any, D: Any, *, seed: int | torch.Generator = 0
) -> RecurrentNetwork:
    """Make ``network`` behave as x+ = A x + B u, y = C x + D u exactly; in place, and returned.

    The neurons see the state and the input (C1, D12, bv random) but nothing sees them yet: B1 = 0, D21 = 0. With C1 = 0
    as well the gradient of either would vanish for ever. For a ContractingREN the metric is that of the discrete
    Lyapunov equation of A / rate, for a REN with a supply the stabilising solution of the Riccati equation that states
    its dissipation (for a gain: the bounded real lemma).

    ``network``: any with a state. An R2DN with a gain has no feedthrough, D = 0, and its neurons do not see the input yet.
    A (nx, nx), B (nx, nu), C (ny, nx), D (ny, nu).

    Raises
    ------
    InputError
        For wrong shapes, for a system outside the guarantee of the network (with the figure that shows it), and for an
        output that the network cannot have.
    """
    if not isinstance(network, RecurrentNetwork):
        raise InputError(f"a {type(network).__name__} cannot be a linear system; expected a REN or an R2DN")
    nx, nu, ny, nv = network.nx, network.nu, network.ny, network.nv
    A, B, C, D = (np.array(value, dtype=float) for value in (A, B, C, D))
    shapes = {"A": (nx, nx), "B": (nx, nu), "C": (ny, nx), "D": (ny, nu)}
    for (name, shape), value in zip(shapes.items(), (A, B, C, D), strict=True):
        check_shape(name, value, shape, name)
    network.check_output(C, D)
    rate = network.contraction_rate
    radius = np.abs(np.linalg.eigvals(A)).max(initial=0.0)
    if not radius < rate:
        raise InputError(
            f"the spectral radius of A is {radius:.6g}; expected less than the contraction rate of the network,"
            f" {rate:.6g}: use a larger rate"
        )
    supply = network.supply_arrays()
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
            return network.load_linear_part(ren, M, np.full(nv, multiplier))
        except InputError:
            raise
        except ValueError as error:
            multiplier, last = multiplier / 2, error
    raise InputError(f"the linear system meets the bound with no margin; raise gamma or contraction_rate: {last}")


def _lyapunov(A: np.ndarray) -> np.ndarray:
    """M with A'M A - M = -I."""
    from scipy.linalg import solve_discrete_lyapunov

    M = solve_discrete_lyapunov(A.T, np.eye(len(A))) if len(A) else np.zeros((0, 0))
    return (M + M.T) / 2


def _storage(A: np.ndarray, B: np.ndarray, C: np.ndarray, D: np.ndarray, rate: float, supply: Supply) -> np.ndarray:
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
        found = RENGuarantee(rate, M, zero(0), supply).verify(linear)
        if found.holds and found.margin > 0:
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
