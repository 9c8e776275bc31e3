"""The data of fine-tuning: true trajectories, initial estimates with errors, and measurements with the stated faults.

    x_hat[0] = x[0] + e0,     y[k] = h(x[k], u[k]) + noise[k] + bias,     some y[k] missing

Every random draw is made once (common random numbers): the loss is then a smooth function of the weights, and two
observers are compared on the same noise. Disturbances act on the plant; the observer knows neither them nor their effect
on h. Network units, as in :mod:`observer.fitting.problem`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from observer.known_plant import nominal_inputs
from observer.networks.ren.explicit import ExplicitREN
from observer.networks.ren.rollout import rollout
from observer.scaling import Scaling
from observer.scenarios.sensors import readings
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories

SMALLEST_ERROR = 0.01  # of the largest initial error


@dataclass(frozen=True, eq=False)
class Sensing:
    """Noise and bias (standard deviations, ``(ny,)``, units of the outputs), share of missing samples, initial errors.

    noise : white, Gaussian. bias : one constant for each trajectory, Gaussian. dropout : chance that an output is missing
    at a sample. initial_error : the initial estimate is off by up to this many half widths of each state's initial range.
    """

    noise: np.ndarray
    bias: np.ndarray
    dropout: float
    initial_error: float

    def measured(self, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """y ``(K, N, ny)`` as the sensors would give it; a missing value is nan."""
        return readings(y, self.noise, self.bias, self.dropout, rng)

    def initial_estimates(self, plant: DiscreteSystem, x0: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """x0 ``(K, nx)`` plus a uniform error, whose size is drawn for each trajectory, even on a log scale.

        With large ones alone, the remaining transient would outweigh the noise, and the tuned observer would keep a high noise gain.
        """
        half = 0.5 * np.ptp(plant.system.initial_ranges, axis=1)
        size = self.initial_error * SMALLEST_ERROR ** rng.random((len(x0), 1))
        return x0 + size * half * rng.uniform(-1, 1, x0.shape)


def make_sensing(plant: DiscreteSystem, noise: Any, bias: Any, dropout: float, initial_error: float) -> Sensing:
    """Checked; the noise stated with each output where ``noise`` is None."""
    outputs = plant.system.outputs
    stated = np.array([signal.noise for signal in outputs], dtype=float)
    sensing = Sensing(
        stated if noise is None else _per_output("noise", noise, plant),
        _per_output("bias", 0.0 if bias is None else bias, plant),
        float(dropout),
        float(initial_error),
    )
    if not 0 <= sensing.dropout < 1:
        raise InputError(f"dropout is {dropout!r}; expected the share of missing measurements, from 0 to below 1")
    if not (np.isfinite(sensing.initial_error) and sensing.initial_error >= 0):
        raise InputError(f"initial_error is {initial_error!r}; expected half widths of the initial ranges, 0 or more")
    if noise is None and not stated.any() and not sensing.bias.any() and not sensing.dropout:
        names = ", ".join(signal.name for signal in outputs)
        raise InputError(
            f"no output ({names}) states a noise, so there is nothing to tune for; give noise=..., the standard deviation "
            "in the unit of the output (--noise), or state it with the output of the plant"
        )
    return sensing


def _per_output(name: str, value: Any, plant: DiscreteSystem) -> np.ndarray:
    try:
        values = np.broadcast_to(np.asarray(value, dtype=float), (plant.ny,)).copy()
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is {value!r}; expected one number, or {plant.ny}, one for each output") from error
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise InputError(f"{name} is {value!r}; expected standard deviations, 0 or more")
    return values


@dataclass(frozen=True, eq=False)
class Rollouts:
    """K trajectories of N steps in network units: truth x ``(K, N+1, nx)``, v = [known u; y] ``(K, N, nv_in)`` with nan
    where y is missing, initial estimates ``(K, nx)``, and the inputs in physical units as the observer knows them. Errors
    of the first ``skip`` steps are not counted."""

    x: np.ndarray
    v: np.ndarray
    initial: np.ndarray
    u: np.ndarray
    plant: DiscreteSystem
    scaling: Scaling
    skip: int = 0

    @property
    def steps(self) -> int:
        """N."""
        return self.v.shape[1]

    @property
    def outputs(self) -> slice:
        """The columns of v that are measurements."""
        return slice(self.v.shape[2] - self.plant.ny, None)

    def expected(self, x_hat: np.ndarray, u: np.ndarray) -> np.ndarray:
        """h(x_hat, u) in network units, what stands in for a missing y."""
        y = self.plant.output(x_hat * self.scaling.state_scale + self.scaling.state_centre, u)
        return (y - self.scaling.input_centre[self.outputs]) / self.scaling.input_scale[self.outputs]

    def expected_slope(self, x_hat: np.ndarray, u: np.ndarray) -> np.ndarray:
        """d h / d x_hat ``(m, ny, nx)`` in network units."""
        x = x_hat * self.scaling.state_scale + self.scaling.state_centre
        slope, _ = self.plant.output_jacobian(x, u)
        slope = np.broadcast_to(slope, (len(x), *slope.shape[-2:]))
        return slope * self.scaling.state_scale / self.scaling.input_scale[self.outputs][:, None]

    def subset(self, rows: slice) -> "Rollouts":
        """Some of the trajectories."""
        return Rollouts(
            self.x[rows], self.v[rows], self.initial[rows], self.u[rows], self.plant, self.scaling, self.skip
        )

    def estimates(self, network: ExplicitREN) -> tuple[np.ndarray, np.ndarray]:
        """(x_hat ``(K, N+1, nx)``, v with what stood in for missing measurements)."""
        if not np.isnan(self.v).any():
            return rollout(network, self.initial, self.v)[0], self.v
        v = self.v.copy()
        x_hat = np.empty_like(self.x)
        x_hat[:, 0] = self.initial
        for k in range(self.steps):
            now = v[:, k, self.outputs]
            gone = np.isnan(now).any(axis=1)
            if gone.any():
                expected = self.expected(x_hat[gone, k], self.u[gone, k])
                now[gone] = np.where(np.isnan(now[gone]), expected, now[gone])
            x_hat[:, k + 1] = network.next_state(x_hat[:, k], v[:, k])
        return x_hat, v

    def loss(self, network: ExplicitREN) -> float:
        """Mean of |x_hat - x|^2 over counted steps and trajectories; infinite where an estimate is not finite."""
        with np.errstate(over="ignore", invalid="ignore"):
            x_hat, _ = self.estimates(network)
            first = self.skip + 1
            value = float(np.mean(np.sum((x_hat[:, first:] - self.x[:, first:]) ** 2, axis=2)))
        return value if np.isfinite(value) else np.inf


def make_rollouts(
    plant: DiscreteSystem,
    data: Trajectories,
    scaling: Scaling,
    sensing: Sensing,
    horizon: int,
    count: int,
    seed: tuple[int, ...],
    skip: int = 0,
    logged: bool = False,
) -> Rollouts:
    """``count`` windows of ``horizon`` steps from the trajectories, with measurements drawn for them.

    ``logged``: take y as it was logged, for a plant without equations. Raises :class:`InputError` where no trajectory has
    a complete window.
    """
    rng = np.random.default_rng(seed)
    signals = [data.x, data.u, data.y] if logged else [data.x, data.u]
    gaps = np.cumsum(~np.isfinite(np.concatenate(signals, axis=2)).all(axis=2), axis=1)
    gaps = np.concatenate([np.zeros((len(data), 1), dtype=int), gaps], axis=1)
    trials, first = np.nonzero(gaps[:, horizon + 1 :] == gaps[:, : gaps.shape[1] - horizon - 1])
    if not len(first):
        raise InputError(
            f"no trajectory has {horizon + 1} complete samples in a row; expected some: shorten horizon, or simulate longer"
        )
    chosen = rng.choice(len(first), count, replace=len(first) < count)
    rows = np.arange(horizon + 1)
    at = (trials[chosen, None], first[chosen, None] + rows)
    x, u = data.x[at], data.u[at][:, :-1]
    y = data.y[at][:, :-1] if logged else plant.output(x[:, :-1], u)
    y = sensing.measured(y, rng)
    initial = scaling.states(sensing.initial_estimates(plant, x[:, 0], rng))
    initial = np.clip(initial, -1, 1)  # nobody begins outside of the region, where the equations may not hold
    v = scaling.inputs(np.concatenate([u[..., plant.system.known], y], axis=2))
    known = nominal_inputs(plant.system, u)
    return Rollouts(scaling.states(x), v, initial, known, plant, scaling, skip)
