"""The high-gain observer: fast errors in the coordinates of the outputs and their derivatives.

    xi = Phi(x, u) = (h, L_f h, L_f^2 h, ...) for each output as far as the rows are independent,   u held
    x_hat[k+1] = F(x_hat[k] + J(x_hat)^-1 kappa (y[k] - h(x_hat[k], u[k])), u[k]),   J = d Phi / d x

Every output drives its own chain xi_i' = xi_{i+1}. kappa puts all poles of the sampled chain at exp(-l dt); l dt is ``speed``. For
a plant that is itself a map differences phi(F(x)) - phi(x) stand for derivatives. A correction is at most one half range per
sample and states stay near the region, because such observers peak. Own code: no library has one. Source:
Gauthier, Hammouri and Othman, IEEE TAC 37, 1992; saturation: Esfandiari and Khalil, Int. J. Control 56, 1992.
"""

from typing import Any

import casadi as ca
import numpy as np
from scipy.linalg import expm

from observer.estimators import compiled
from observer.estimators.gaussian import PlantEstimator, finite
from observer.estimators.parameters import TuningParameter
from systems.base.errors import InputError
from systems.detectability import FULL_METRIC_UP_TO
from systems.discretization import DiscreteSystem
from systems.evaluation import evaluate, from_casadi, to_casadi
from systems.graph import Graph
from systems.integration import sample_region

LABEL = "high gain"
RUNS = "machine code"  # long runs; see observer.estimators.compiled
POINTS = 64
INDEPENDENT = 1e-6  # share of a row that earlier rows must not explain, in the median over the region
LARGEST_GRAPH = 50_000  # operations of the Jacobian; derivatives of high order grow without bound
REACH = 2.0  # half ranges about the middle that an estimate may leave the region by


class HighGain(PlantEstimator):
    """The observer above; its state is x_hat. ``orders`` ``(ny,)``: length of each output's chain.

    Raises :class:`InputError` where outputs and derivatives do not span the states, and for plants of more than 16 states.
    """

    def __init__(self, plant: DiscreteSystem, speed: float = 0.4) -> None:
        super().__init__(plant)
        if not speed > 0:
            raise InputError(f"speed is {speed!r}; expected l dt, a positive number")
        self.speed = float(speed)
        self._slopes, self.orders, self._size = _coordinates(plant, self.model)
        gains = [_chain_gain(int(n), speed, plant.system.kind) for n in self.orders]
        rows, nx, ny = np.cumsum([0, *self.orders]), plant.nx, plant.ny
        self.kappa = np.zeros((nx, ny))
        for j, gain in enumerate(gains):
            self.kappa[rows[j] : rows[j + 1], j] = gain
        middle, scale = plant.system.state_ranges.mean(axis=1), self.model.state_scale
        self._least, self._most = middle - (1 + REACH) * scale, middle + (1 + REACH) * scale

    def step(self, state: Any, u: Any, y: Any) -> np.ndarray:
        """x_hat[k+1] from x_hat[k], u[k] and y[k]."""
        u, y = self.signals(u, y)
        scale = self.model.state_scale
        difference, _ = self.model.innovation(y, self.plant.output(state, u))
        slopes = evaluate(self._slopes, t=np.zeros(1), x=state, u=u, p=self.system.parameter_values) * scale
        good = finite(slopes)
        inverse = np.linalg.pinv(np.where(good, slopes / self._size[:, None], 0.0), rcond=1e-8)
        wanted = difference @ self.kappa.T / self._size
        move = np.clip((inverse @ wanted[..., None])[..., 0], -1.0, 1.0)
        return self.plant.step(self.model.clip(np.clip(state + scale * move, self._least, self._most)), u)

    def _run_compiled(self, x_hat0: np.ndarray, u: np.ndarray, y: np.ndarray) -> np.ndarray | None:
        if len(self._slopes.nodes) >= compiled.LARGEST_GRAPH:
            return None
        gain, scale = self.kappa / self._size[:, None], self.model.state_scale
        limits = (self._least, self._most)
        return compiled.run(
            "high_gain", self.model, x_hat0, u, y, gain, self._size, scale, *limits, slopes=self._slopes
        )


def _chain_gain(order: int, speed: float, kind: str) -> np.ndarray:
    """kappa ``(order,)`` with all eigenvalues of A (I - kappa C) at exp(-speed), C = (1, 0, ...): Ackermann's formula."""
    shift = np.eye(order, k=1)
    a = expm(shift) if kind == "continuous" else np.eye(order) + shift
    c = np.eye(order)[0]
    observability = np.stack([c @ np.linalg.matrix_power(a, i) for i in range(order)])
    wanted = np.linalg.matrix_power(a - np.exp(-speed) * np.eye(order), order)
    return np.linalg.solve(a, wanted @ np.linalg.solve(observability, np.eye(order)[-1]))


def _coordinates(plant: DiscreteSystem, model: Any) -> tuple[Graph, np.ndarray, np.ndarray]:
    """(J in parts of dt^i as a graph, chain lengths ``(ny,)``, typical norm of each row in scaled states ``(nx,)``)."""
    system = plant.system
    nx, ny = system.nx, system.ny
    if nx > FULL_METRIC_UP_TO:
        raise InputError(
            f"plant '{system.name}' has {nx} states; derivatives of so high an order are of no use, "
            f"expected at most {FULL_METRIC_UP_TO}; take another estimator"
        )
    sizes = {"t": 1, "x": nx, "u": system.nu, "p": len(system.parameters)}
    s = {name: ca.SX.sym(name, size) for name, size in sizes.items()}
    f, value = to_casadi(system.dynamics)(*s.values()), to_casadi(system.output)(*s.values())
    box = np.concatenate([system.state_ranges, system.input_ranges])
    points = sample_region(box[:, 0], box[:, 1], POINTS, seed=0)
    at = {"t": np.zeros(1), "x": points[:, :nx], "u": points[:, nx:], "p": system.parameter_values}
    bases = np.zeros((POINTS, nx, 0))
    rows: list[list[ca.SX]] = [[] for _ in range(ny)]
    sizes_of: list[list[float]] = [[] for _ in range(ny)]
    growing = [True] * ny
    for _ in range(nx):
        slope = ca.jacobian(value, s["x"])
        graph = _graph(slope, s)
        if len(graph.nodes) > LARGEST_GRAPH:
            break
        values = np.broadcast_to(evaluate(graph, **at), (POINTS, ny, nx)) * model.state_scale
        for j in range(ny):
            if not growing[j] or sum(map(len, rows)) == nx:
                continue
            row = values[:, j]
            size = np.linalg.norm(row, axis=1)
            rest = row - np.einsum("mik,mjk,mj->mi", bases, bases, row)
            length = np.linalg.norm(rest, axis=1)
            new = np.nanmedian(length / np.maximum(size, 1e-300)) if np.isfinite(size).any() else 0.0
            growing[j] = new > INDEPENDENT
            if growing[j]:
                rows[j].append(slope[j, :])
                sizes_of[j].append(float(np.nanmedian(size)))
                unit = np.nan_to_num(rest / np.maximum(length, 1e-300)[:, None])
                bases = np.concatenate([bases, unit[:, :, None]], axis=2)
        if system.kind == "continuous":
            value = plant.dt * ca.jtimes(value, s["x"], f)
        else:
            value = ca.substitute(value, s["x"], f) - value
    if sum(map(len, rows)) < nx:
        raise InputError(
            f"plant '{system.name}': {', '.join(system.output_names)} and their derivatives do not span the states, so there "
            "are no observability coordinates; measure more, or take another estimator"
        )
    jacobian = _graph(ca.vertcat(*(row for chain in rows for row in chain)), s)
    return jacobian, np.array([len(chain) for chain in rows]), np.array([v for chain in sizes_of for v in chain])


def _graph(matrix: ca.SX, symbols: dict[str, ca.SX]) -> Graph:
    function = ca.Function("rows", list(symbols.values()), [ca.densify(matrix)], list(symbols), ["value"])
    return from_casadi(function, matrix=True)


def tuning_parameters(plant: DiscreteSystem) -> tuple[TuningParameter, ...]:
    """``speed``: l dt, how many e-folds of the error a sample is meant to be worth."""
    return (TuningParameter("speed", 0.4, 1e-3, 5.0),)


def make(plant: DiscreteSystem, speed: float) -> HighGain:
    """The observer for a speed."""
    return HighGain(plant, speed)
