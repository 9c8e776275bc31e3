"""Multiple shooting: parameters and initial states that explain logged outputs, as a sparse least-squares problem.

    minimise    1/2 sum |(y_k - h(x_k, u_k, p)) / s|^2  over p within its ranges and a state z_i at the beginning of each piece
    subject to  z_{i+1} = F^m(z_i, u, p)  from piece to piece of a stretch,   limits of the states

Everything is scaled by half ranges. The Hessian is that of Gauss and Newton; it and all slopes come from one sweep over the samples that
carries the sensitivities along. Solved by IPOPT. A tiny weight (:data:`TINY`) keeps what the data do not determine near where it began.
Source: Bock, 1981; Wächter and Biegler, 2006 (IPOPT).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import casadi as ca
import numpy as np
from scipy.sparse import triu

from observer.calibration.stretches import Stretch
from systems.angles import periods
from systems.base import memory
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.evaluation import to_casadi

PIECE = 16  # samples
TINY = 1e-4  # information about each half range that is taken for granted
TOLERANCE = 1e-8
Report = Callable[[int, float], None]


@dataclass(frozen=True, eq=False)
class ShootingSolution:
    """Parameters ``(K,)`` and states at the beginning of each piece ``(P, nx)``, in physical units; half the sum of
    squares; how it ended."""

    p: np.ndarray
    z: np.ndarray
    cost: float
    gap: float
    iterations: int
    converged: bool
    message: str


class Shooting:
    """The problem for one set of stretches. ``free``: names of the parameters that are to be found; they have ranges.

    Raises :class:`InputError` for a plant whose sample is no graph with parameters (methods scipy, cvodes, exact).
    """

    def __init__(
        self, plant: DiscreteSystem, stretches: Sequence[Stretch], free: Sequence[str], piece: int = PIECE
    ) -> None:
        system = plant.system
        if plant.graph is None or plant.method == "exact":
            raise InputError(
                f"calibration needs the plant's sample as a graph with parameters; use the method rk4, not {plant.method}"
            )
        self.plant, self.system, self.stretches, self.free, self.m = plant, system, list(stretches), tuple(free), piece
        names = list(system.parameters)
        self.index = [names.index(name) for name in free]
        self.p_range = np.array([system.parameters[name].range for name in free]).reshape(len(free), 2)
        self.p_middle, self.p_half = self.p_range.mean(axis=1), 0.5 * np.ptp(self.p_range, axis=1)
        self.x_middle, self.x_half = system.state_ranges.mean(axis=1), 0.5 * np.ptp(system.state_ranges, axis=1)
        width = system.nx + len(free)
        count = sum(-(-len(item) // piece) for item in stretches)
        memory.require(
            8.0 * count * (6 * width**2 + piece * (system.nu + 3 * system.ny)),
            f"a calibration on {sum(map(len, stretches))} samples with {len(free)} parameters and {system.nx} states",
            "cut the logs shorter, or ask for a larger --dt",
        )
        self._lay_out()

    def _lay_out(self) -> None:
        """The pieces: data side by side, and which follow on which."""
        m, t, u, y, first, links = self.m, [], [], [], [], []
        for item in self.stretches:
            for start in range(0, len(item), m):
                rows = np.minimum(np.arange(start, start + m), len(item) - 1)
                t.append(item.t[rows])
                u.append(item.u[rows])
                y.append(np.where((np.arange(start, start + m) < len(item))[:, None], item.y[rows], np.nan))
                if start:
                    links.append((len(t) - 2, len(t) - 1))
                else:
                    first.append(len(t) - 1)
        self.count, self.first, self.links = len(t), np.array(first), np.array(links, dtype=int).reshape(-1, 2)
        self.t, self.u, self.y = (np.concatenate(part) for part in (t, u, y))
        self.there = np.isfinite(self.y)

    # The functions ---------------------------------------------------------------------------------------------------

    @cached_property
    def symbols(self) -> dict[str, Any]:
        """One sample in scaled symbols: z+ , residual r, from z, q, t, u, y and weights w (zero where y is missing)."""
        system = self.system
        s = {name: ca.SX.sym(name, size) for name, size in (
            ("z", system.nx), ("q", len(self.free)), ("t", 1), ("u", system.nu), ("y", system.ny), ("w", system.ny))}  # fmt: skip
        p = ca.SX(ca.DM(system.parameter_values))
        for place, k in enumerate(self.index):
            p[k] = self.p_middle[place] + self.p_half[place] * s["q"][place]
        x = ca.DM(self.x_middle) + ca.DM(self.x_half) * s["z"]
        assert self.plant.graph is not None
        after = to_casadi(self.plant.graph)(s["t"], x, s["u"], p)
        s["after"] = (after - ca.DM(self.x_middle)) / ca.DM(self.x_half)
        error = s["y"] - to_casadi(system.output)(s["t"], x, s["u"], p)
        for k, period in enumerate(periods(system.outputs)):
            if np.isfinite(period):
                error[k] -= period * ca.floor(error[k] / period + 0.5)
        s["error"] = error
        s["r"] = s["w"] * error
        return s

    @cached_property
    def _plain(self) -> ca.Function:
        """(z, q, data of a piece) -> (z after it, sum of squares / 2), for all pieces at once."""
        s = self.symbols
        total = ca.SX.sym("total")
        step = ca.Function(
            "step", [s["z"], total, s["q"], s["t"], s["u"], s["y"], s["w"]],
            [s["after"], total + 0.5 * ca.dot(s["r"], s["r"])],
        )  # fmt: skip
        return self._over_pieces(step, 2)

    @cached_property
    def _with_slopes(self) -> ca.Function:
        """(z, q, data) -> (z after, squares / 2, slope of z after ``nx x (nx+K)``, gradient, Gauss-Newton block)."""
        s, nx, k = self.symbols, self.system.nx, len(self.free)
        both = ca.vertcat(s["z"], s["q"])
        width = nx + k
        slope, total = ca.SX.sym("slope", nx, width), ca.SX.sym("total")
        gradient, block = ca.SX.sym("gradient", width), ca.SX.sym("block", width, width)
        j_after, j_r = ca.jacobian(s["after"], both), ca.jacobian(s["r"], both)

        def chain(j: ca.SX) -> ca.SX:
            return j[:, :nx] @ slope + ca.horzcat(ca.SX(j.shape[0], nx), j[:, nx:])

        row = chain(j_r)
        step = ca.Function(
            "slopes", [s["z"], total, slope, gradient, block, s["q"], s["t"], s["u"], s["y"], s["w"]],
            [s["after"], total + 0.5 * ca.dot(s["r"], s["r"]), ca.densify(chain(j_after)), gradient + row.T @ s["r"],
             ca.densify(block + row.T @ row)],
        )  # fmt: skip
        return self._over_pieces(step, 5)

    def _over_pieces(self, step: ca.Function, carried: int) -> ca.Function:
        """A function of one sample as one of all pieces: ``carried`` values from sample to sample, the parameters everywhere."""
        m, inputs = self.m, [ca.MX.sym(step.name_in(k), *step.size_in(k)) for k in range(step.n_in())]
        z, q = inputs[0], inputs[carried]
        data = [ca.MX.sym(f"d{k}", step.size1_in(k), m) for k in range(carried + 1, step.n_in())]
        start = [z, *(ca.MX.zeros(*step.size_in(k)) for k in range(1, carried))]
        if carried == 5:
            start[2] = ca.MX(ca.DM(np.eye(self.system.nx, self.system.nx + len(self.free))))
        over = step.mapaccum("over", m, carried)
        ends = over(*start, ca.repmat(q, 1, m), *data)
        last = [end[:, -(end.shape[1] // m) :] for end in ends]
        return ca.Function("piece", [z, q, *data], last).map(self.count)

    def _data(self, deviation: np.ndarray) -> list[ca.DM]:
        """Inputs of the mapped functions after z and q."""
        w = np.where(self.there, 1 / deviation, 0.0)
        return [ca.DM(a.T) for a in (self.t[:, None], self.u, np.where(self.there, self.y, 0.0), w)]

    def _solver(self, deviation: np.ndarray, about: np.ndarray, options: dict[str, Any]) -> ca.Function:
        """IPOPT for the problem; ``about`` ``(n,)``: the scaled decisions that the tiny weight pulls towards."""
        nx, k, count, links = self.system.nx, len(self.free), self.count, self.links
        n = nx * count + k
        v = ca.MX.sym("v", n)
        data = self._data(deviation)
        weight = np.zeros(n)
        weight[nx * count :] = TINY
        for i in self.first:
            weight[i * nx : (i + 1) * nx] = TINY
        pull = ca.DM(weight) * (v - ca.DM(about))
        extra = 0.5 * ca.dot(pull, v - ca.DM(about))
        z, q = ca.reshape(v[: nx * count], nx, count), v[nx * count :]
        spread = ca.repmat(q, 1, count)
        after, total = self._plain(z, spread, *data)
        ahead, behind = links[:, 0].tolist(), links[:, 1].tolist()
        f = ca.sum2(total) + extra
        g = ca.vec(after[:, ahead] - z[:, behind])

        after, total, slope, gradient, block = self._with_slopes(z, spread, *data)
        width = nx + k
        gradient = ca.reshape(gradient, width, count)
        slope3, block3 = ca.reshape(slope, nx * width, count), ca.reshape(block, width * width, count)
        grad = ca.vertcat(ca.vec(gradient[:nx, :]), ca.sum2(gradient[nx:, :])) + pull
        jac = self._jacobian(slope3, n)
        hess = self._hessian(block3, n, weight)
        empty, multiplier, multipliers = ca.MX.sym("p", 0), ca.MX.sym("lam_f"), ca.MX.sym("lam_g", g.numel())
        functions = {
            "grad_f": ca.Function("nlp_grad_f", [v, empty], [f, grad], ["x", "p"], ["f", "grad_f_x"]),
            "jac_g": ca.Function("nlp_jac_g", [v, empty], [g, jac], ["x", "p"], ["g", "jac_g_x"]),
            "hess_lag": ca.Function("nlp_hess_l", [v, empty, multiplier, multipliers], [multiplier * hess],
                                    ["x", "p", "lam_f", "lam_g"], ["triu_hess_gamma_x_x"]),
        }  # fmt: skip
        return ca.nlpsol("calibration", "ipopt", {"x": v, "p": empty, "f": f, "g": g}, functions | options)

    def _jacobian(self, slope: ca.MX, n: int) -> ca.MX:
        """Continuity with respect to all decisions: slopes of the piece ahead, minus one at the piece behind, slopes of q."""
        nx, k, count, links = self.system.nx, len(self.free), self.count, self.links
        rows, columns, take = [], [], []
        for place, (ahead, behind) in enumerate(links):
            base = nx * place
            for column in range(nx + k):
                at = ahead * nx + column if column < nx else nx * count + column - nx
                rows += range(base, base + nx)
                columns += [at] * nx
                take += range(ahead * nx * (nx + k) + column * nx, ahead * nx * (nx + k) + (column + 1) * nx)
            rows += range(base, base + nx)
            columns += range(behind * nx, behind * nx + nx)
            take += [nx * (nx + k) * count] * nx
        values = ca.vertcat(ca.vec(slope), ca.MX(-1.0))
        return _sparse(values, rows, columns, take, nx * len(links), n)

    def _hessian(self, block: ca.MX, n: int, weight: np.ndarray) -> ca.MX:
        """The upper triangle of the Gauss-Newton matrix: a block for each piece, and the border of the parameters."""
        nx, k, count = self.system.nx, len(self.free), self.count
        width = nx + k
        rows, columns, take = [], [], []
        for i in range(count):
            for column in range(width):
                for row in range(min(column + 1, nx)):
                    rows.append(i * nx + row)
                    columns.append(i * nx + column if column < nx else nx * count + column - nx)
                    take.append(i * width**2 + column * width + row)
        corner = ca.reshape(ca.sum2(block), width, width)[nx:, nx:]
        for column in range(k):
            for row in range(column + 1):
                rows.append(nx * count + row)
                columns.append(nx * count + column)
                take.append(width**2 * count + column * k + row)
        values = ca.vertcat(ca.vec(block), ca.vec(corner))
        return _sparse(values, rows, columns, take, n, n) + ca.diag(ca.DM(weight))

    # Solving ---------------------------------------------------------------------------------------------------------

    def solve(
        self, p: np.ndarray, z: np.ndarray, deviation: np.ndarray, *, iterations: int, report: Report | None = None,
        about: np.ndarray | None = None,
    ) -> ShootingSolution:  # fmt: skip
        """From parameters ``(K,)`` and states ``(P, nx)``; ``deviation`` ``(ny,)`` of the outputs.

        ``about``: the parameters that undetermined ones stay near. A KeyboardInterrupt in ``report`` ends the solver, and is raised.
        """
        scaled = np.concatenate([((z - self.x_middle) / self.x_half).ravel(), (p - self.p_middle) / self.p_half])
        centre = scaled.copy()
        if about is not None:
            centre[z.size :] = (about - self.p_middle) / self.p_half
        watch = _Watch(len(scaled), self.system.nx * len(self.links), report)
        options = {
            "ipopt": {"print_level": 0, "sb": "yes", "max_iter": iterations, "tol": TOLERANCE, "constr_viol_tol": TOLERANCE,
                      "acceptable_tol": 1e-6, "acceptable_iter": 5, "mu_strategy": "adaptive", "bound_relax_factor": 0.0},
            "print_time": False, "error_on_fail": False, "iteration_callback": watch,
        }  # fmt: skip
        solver = self._solver(deviation, centre, options)
        low, high = self._bounds()
        start = np.clip(scaled, low, high)
        zero = np.zeros(self.system.nx * len(self.links))
        found = solver(x0=start, lbx=low, ubx=high, lbg=zero, ubg=zero)
        if watch.error is not None:
            raise watch.error
        stats, v = solver.stats(), found["x"].full()[:, 0]
        good = bool(np.isfinite(v).all() and np.isfinite(float(found["f"])))
        if not good:
            v = start
        z = v[: z.size].reshape(-1, self.system.nx) * self.x_half + self.x_middle
        return ShootingSolution(
            np.clip(self.p_middle + self.p_half * v[z.size :], *self.p_range.T), z, float(found["f"]) if good else np.inf,
            float(np.max(np.abs(found["g"].full()), initial=0.0)) if good else np.inf, int(stats["iter_count"]),
            good and bool(stats["success"]), str(stats["return_status"]),
        )  # fmt: skip

    @property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Low and high ``(nx,)`` of the scaled states, infinite where there are none."""
        low, high = np.array([s.limits or (-np.inf, np.inf) for s in self.system.states]).T
        return (low - self.x_middle) / self.x_half, (high - self.x_middle) / self.x_half

    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the scaled decisions: limits of the states, and -1 to 1 of the parameters."""
        low, high = (np.tile(end, self.count) for end in self.limits)
        one = np.ones(len(self.free))
        return np.concatenate([low, -one]), np.concatenate([high, one])

    # What a solution says --------------------------------------------------------------------------------------------

    def along(self, p: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(states ``(P m, nx)``, errors of the outputs ``(P m, ny)``, nan where not measured), each piece from its own beginning."""
        s, m = self.symbols, self.m
        step = ca.Function("step", [s["z"], s["q"], s["t"], s["u"], s["y"]], [s["after"], s["z"], s["error"]])
        over = step.mapaccum("over", m, 1).map(self.count)
        t, u, y, _ = self._data(np.ones(self.system.ny))
        q = ca.DM((p - self.p_middle) / self.p_half)
        start = ca.DM(((z - self.x_middle) / self.x_half).T)
        _, states, errors = over(start, ca.repmat(q, 1, m * self.count), t, u, y)
        x = self.x_middle + self.x_half * states.full().T
        return x, np.where(self.there, errors.full().T, np.nan)

    def by_stretch(self, values: np.ndarray) -> list[np.ndarray]:
        """Values ``(P m, n)`` of all samples as one array for each stretch, without the filling at its end."""
        result, start = [], 0
        for item in self.stretches:
            result.append(values[start : start + len(item)])
            start += -(-len(item) // self.m) * self.m
        return result

    def beginnings(self, states: Sequence[np.ndarray]) -> np.ndarray:
        """States at the beginning of each piece ``(P, nx)`` from those of all samples of each stretch."""
        return np.concatenate([x[:: self.m] for x in states])

    def matrices(self, p: np.ndarray, z: np.ndarray, deviation: np.ndarray) -> tuple[Any, Any]:
        """(Gauss-Newton matrix, Jacobian of the continuity) at a point, scaled, as SciPy's sparse matrices."""
        nx, k, count = self.system.nx, len(self.free), self.count
        n = nx * count + k
        q = ca.DM((p - self.p_middle) / self.p_half)
        found = self._with_slopes(
            ca.DM(((z - self.x_middle) / self.x_half).T), ca.repmat(q, 1, count), *self._data(deviation)
        )
        width = nx + k
        weight = np.zeros(n)
        for i in self.first:
            weight[i * nx : (i + 1) * nx] = TINY
        weight[nx * count :] = TINY
        blocks, slopes = ca.reshape(found[4], width**2, count), ca.reshape(found[2], nx * width, count)
        upper = ca.evalf(self._hessian(ca.MX(blocks), n, weight)).sparse()
        jac = ca.evalf(self._jacobian(ca.MX(slopes), n)).sparse()
        return (upper + triu(upper, 1).T).tocsc(), jac.tocsc()


def _sparse(values: ca.MX, rows: list[int], columns: list[int], take: list[int], height: int, width: int) -> ca.MX:
    """A sparse matrix with ``values[take]`` at (rows, columns)."""
    order = np.lexsort((rows, columns))
    pattern = ca.Sparsity.triplet(height, width, np.array(rows)[order].tolist(), np.array(columns)[order].tolist())
    return ca.MX(pattern, values[np.array(take)[order].tolist()])


class _Watch(ca.Callback):
    """What IPOPT calls after each iteration: progress, and a stop where a person asks for one."""

    def __init__(self, n: int, constraints: int, report: Report | None) -> None:
        ca.Callback.__init__(self)
        self.sizes = {"x": n, "f": 1, "g": constraints, "lam_x": n, "lam_g": constraints, "lam_p": 0}
        self.report, self.error, self.done = report, None, 0
        self.construct("watch", {})

    def get_n_in(self) -> int:
        return ca.nlpsol_n_out()

    def get_n_out(self) -> int:
        return 1

    def get_name_in(self, k: int) -> str:
        return ca.nlpsol_out(k)

    def get_sparsity_in(self, k: int) -> ca.Sparsity:
        return ca.Sparsity.dense(self.sizes[ca.nlpsol_out(k)], 1)

    def eval(self, values: Any) -> list[int]:
        """0 goes on, 1 stops."""
        try:
            self.done += 1
            if self.report is not None:
                self.report(self.done, float(values[1]))
        except KeyboardInterrupt as stop:
            self.error = stop
            return [1]
        return [0]
