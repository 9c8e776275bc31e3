"""Moving-horizon estimation: the likeliest motion over the last samples, within the limits of the states.

    minimise   |x_s - x_hat[s]|^2 of P[s]^-1 + sum |y_i - h(x_i, u_i)|^2 of R^-1 + sum |x_{i+1} - F(x_i, u_i)|^2 of Q^-1
    over       x_s .. x_k within their limits,  k - s < horizon;     x_hat[k+1] = F(x_k, u[k])

x_hat[s] is what was predicted at the window's start and P[s] its covariance after the extended Kalman filter (the arrival cost): for a
linear plant without limits this is the Kalman filter, whatever the horizon. Multiple shooting in scaled states with white
decisions (x_s - x_hat[s] = S a, x_{i+1} - F = sqrt(Q) w), so that no weight is ever inverted; CasADi's sequential quadratic
programming with the Gauss-Newton Hessian and its active-set solver ``qrqp``. Own formulation on CasADi: toolboxes for it own
the model and the loop over time. A batch is solved one after the other. Source: Rao, Rawlings and Mayne, IEEE TAC 48, 2003.
"""

from dataclasses import dataclass
from typing import Any

import casadi as ca
import numpy as np

from observer.estimators.extended_kalman import ExtendedKalman
from observer.estimators.gaussian import Gaussian, GaussianFilter, finite
from observer.estimators.parameters import Covariances, covariance_parameters, covariances
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.evaluation import to_casadi

LABEL = "moving horizon"
RUNS = "CasADi"
EXPENSE = 10  # of the evaluations of a tuning one in so many
HORIZON = 10
ITERATIONS = 20
tuning_parameters = covariance_parameters


@dataclass(frozen=True, eq=False)
class Window:
    """Predictions of the last samples, ``means`` ``(..., m, nx)`` and ``covariances`` ``(..., m, nx, nx)`` of which the last is that
    of the sample to come; u ``(..., m-1, nu)`` and y ``(..., m-1, ny)``; the last solution ``(..., m-1, nx)`` or None."""

    means: np.ndarray
    covariances: np.ndarray
    u: np.ndarray
    y: np.ndarray
    path: np.ndarray | None = None


class MovingHorizon(GaussianFilter):
    """The estimator above with at most ``horizon`` measurements; its state is :class:`Window`.

    Where a solver finds nothing finite, that trajectory takes a step of the extended Kalman filter. Raises
    :class:`InputError` for a plant whose sample is no graph (methods scipy and cvodes).
    """

    def __init__(self, plant: DiscreteSystem, noise: Covariances, horizon: int = HORIZON) -> None:
        super().__init__(plant, noise)
        if isinstance(horizon, bool) or not isinstance(horizon, int) or horizon < 1:
            raise InputError(f"horizon is {horizon!r}; expected a whole number of samples, 1 or more")
        if plant.graph is None:
            raise InputError(
                f"moving-horizon estimation needs the plant's sample as a graph; discretize it by rk4, not {plant.method}"
            )
        self.horizon, self._filter = horizon, ExtendedKalman(plant, noise)
        self._solvers: dict[int, Any] = {}

    def init(self, x_hat0: Any) -> Window:
        """A window without measurements about x_hat0 and P0."""
        system = self.system
        mean = super().init(x_hat0)
        batch = mean.shape[:-1]
        covariance = np.broadcast_to(self.noise.p0, (*batch, 1, *self.noise.p0.shape))
        return Window(
            mean[..., None, :], covariance, np.zeros((*batch, 0, system.nu)), np.zeros((*batch, 0, system.ny))
        )

    def estimate(self, state: Window) -> np.ndarray:
        """x_hat[k], predicted from the window."""
        return state.means[..., -1, :]

    def covariance(self, state: Window) -> np.ndarray:
        """P[k] of the extended Kalman filter about these estimates."""
        return state.covariances[..., -1, :, :]

    def _now(self, state: Window) -> Gaussian:
        return Gaussian(state.means[..., -1, :], state.covariances[..., -1, :, :])

    def innovation(self, state: Window, u: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """y - h(x_hat, u) and C P C' + R; of a missing output 0 and its R."""
        return self._filter.innovation(self._now(state), u, y)

    def step(self, state: Window, u: Any, y: Any) -> Window:
        """The window one sample later, from u[k] and y[k]."""
        u, y = self.signals(u, y)
        batch = np.broadcast_shapes(state.means.shape[:-2], u.shape[:-1], y.shape[:-1])

        def grown(old: np.ndarray, new: np.ndarray, last: int) -> np.ndarray:
            tail = old.shape[old.ndim - last :]
            new = np.broadcast_to(new, (*batch, *tail))[..., None, :] if last == 1 else new[..., None, :, :]
            return np.concatenate([np.broadcast_to(old, (*batch, old.shape[-last - 1], *tail)), new], axis=-last - 1)

        us, ys = grown(state.u, u, 1), grown(state.y, y, 1)
        now = Gaussian(*(np.broadcast_to(a, (*batch, *a.shape[len(state.means.shape) - 2 :])) for a in (
            state.means[..., -1, :], state.covariances[..., -1, :, :])))  # fmt: skip
        fallback, corrected = self._filter.corrected(now, u, y)
        path = self._solve(state, us, ys, fallback, batch)
        mean = path[..., -1, :]
        means = grown(state.means, self.plant.step(mean, u), 1)
        covariances = grown(state.covariances, self._filter.predicted(mean, corrected, u), 2)
        drop = 1 if us.shape[-2] >= self.horizon else 0
        if self.horizon == 1:
            return Window(means[..., 1:, :], covariances[..., 1:, :, :], us[..., 1:, :], ys[..., 1:, :])
        return Window(means[..., drop:, :], covariances[..., drop:, :, :], us[..., drop:, :], ys[..., drop:, :],
                      path[..., drop:, :])  # fmt: skip

    def _solve(self, state: Window, us: np.ndarray, ys: np.ndarray, fallback: np.ndarray, batch: tuple) -> np.ndarray:
        """The likeliest states ``(..., m, nx)`` at the samples of us and ys."""
        nx, length = self.system.nx, us.shape[-2]
        rows = int(np.prod(batch))
        last = np.broadcast_to(fallback, (*batch, nx))[..., None, :]
        old = last[..., :0, :] if state.path is None else np.broadcast_to(state.path, (*batch, *state.path.shape[-2:]))
        guess = np.concatenate([old, last], axis=-2).reshape(rows, length, nx)
        first = np.broadcast_to(state.means[..., 0, :], (*batch, nx)).reshape(rows, nx)
        cover = np.broadcast_to(state.covariances[..., 0, :, :], (*batch, nx, nx)).reshape(rows, nx, nx)
        good = (finite(guess) & finite(cover))[:, 0, 0] & np.asarray(np.isfinite(first).all(axis=1))
        us, ys = us.reshape(rows, length, -1), ys.reshape(rows, length, -1)
        if length not in self._solvers:
            self._solvers[length] = self._build(length)
        solver, low, high = self._solvers[length]
        scale, result = self.model.state_scale, guess.copy()
        values, vectors = np.linalg.eigh(np.where(good[:, None, None], cover, 0.0))
        roots = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
        free = np.zeros(nx * length)
        for k in np.flatnonzero(good):
            expected = self.plant.output(guess[k], us[k])
            present = ~np.isnan(ys[k])
            # The turn of an angle nearest to what is expected.
            y = np.where(present, expected + self.model.innovation(ys[k], expected)[0], expected)
            p = np.concatenate([first[k], roots[k].T.ravel(), us[k].ravel(), y.ravel(), present.ravel()])
            found = solver(
                x0=np.concatenate([(guess[k] / scale).ravel(), free]), p=p, lbx=low, ubx=high, lbg=0.0, ubg=0.0
            )["x"].full()[: nx * length, 0]
            if np.isfinite(found).all():
                result[k] = found.reshape(length, nx) * scale
        return self.model.clip(result.reshape(*batch, length, nx))

    def _build(self, length: int) -> tuple[Any, np.ndarray, np.ndarray]:
        """The solver for so many measurements, and the bounds of its decisions: scaled states, then a and w."""
        system, nx, nu, ny = self.system, self.system.nx, self.system.nu, self.system.ny
        assert self.plant.graph is not None
        f, h = to_casadi(self.plant.graph), to_casadi(system.output)
        scale = ca.DM(self.model.state_scale)
        parameters = ca.DM(system.parameter_values)
        values, vectors = np.linalg.eigh(self.noise.q)
        root_q = ca.DM(vectors * np.sqrt(np.maximum(values, 0.0)))
        white = ca.DM(
            np.diag(1 / np.sqrt(np.diag(self.noise.r))) if ny == 1 else np.linalg.inv(np.linalg.cholesky(self.noise.r))
        )
        z, w = ca.SX.sym("z", nx, length), ca.SX.sym("w", nx, length)
        first, root = ca.SX.sym("first", nx), ca.SX.sym("root", nx, nx)
        u, y, present = ca.SX.sym("u", nu, length), ca.SX.sym("y", ny, length), ca.SX.sym("present", ny, length)
        residuals, constraints = [ca.vec(w)], [z[:, 0] - (first + root @ w[:, 0]) / scale]
        for i in range(length):
            x = z[:, i] * scale
            residuals.append(white @ (present[:, i] * (y[:, i] - h(0, x, u[:, i], parameters))))
            if i + 1 < length:
                constraints.append(z[:, i + 1] - (f(0, x, u[:, i], parameters) + root_q @ w[:, i + 1]) / scale)
        decisions, given = ca.veccat(z, w), ca.veccat(first, root, u, y, present)
        residual = ca.vertcat(*residuals)
        slope = ca.jacobian(residual, decisions)
        multiplier, multipliers = ca.SX.sym("lam_f"), ca.SX.sym("lam_g", nx * length)
        hessian = ca.Function(
            "gauss_newton", [decisions, given, multiplier, multipliers], [multiplier * (slope.T @ slope)],
            ["x", "p", "lam_f", "lam_g"], ["hess_gamma_x_x"],
        )  # fmt: skip
        problem = {"x": decisions, "p": given, "f": 0.5 * ca.dot(residual, residual), "g": ca.vertcat(*constraints)}
        options = {
            "qpsol": "qrqp", "hess_lag": hessian, "max_iter": ITERATIONS, "tol_pr": 1e-9, "tol_du": 1e-7, "error_on_fail": False,
            "qpsol_options": {"print_iter": False, "print_header": False, "print_info": False, "error_on_fail": False},
            "print_time": False, "print_header": False, "print_iteration": False, "print_status": False, "verbose": False,
        }  # fmt: skip
        limits = np.tile(self.model.limits / self.model.state_scale, (1, length))
        free = np.full((1, nx * length), np.inf)
        low, high = np.concatenate([limits, np.concatenate([-free, free])], axis=1)
        return ca.nlpsol("window", "sqpmethod", problem, options), low, high


def make(plant: DiscreteSystem, **values: float) -> MovingHorizon:
    """The estimator for values of the tuning parameters."""
    return MovingHorizon(plant, covariances(plant, **values))
