"""The KKL observer, also learned: a stable linear filter of what is measured, and a learned map from its state to that of the plant.

    z[k+1] = A z[k] + (1 - A) s[k],     x_hat[k] = T*(z[k]),     A diagonal, s the outputs (and known inputs), each filtered 2 nx + 1 times

For a plant without inputs whose outputs distinguish its states, z tends to T(x) with T F(x) = A T(x) + (1 - A) h(x), which has a
left inverse T* for almost all A of ny (2 nx + 1) or more eigenvalues (a linear plant: T solves a Sylvester equation). **With inputs T
depends on their history, and the theory needs more**; here the filter sees u too, which is exact for linear plants and a good guess
otherwise. Nothing is proved of T*: outside the training data its error need not decay.

T* is learned from simulated pairs (z, x) after the filter forgot its initial state: linear terms and random tanh features of the main
directions of z, ridge regression, with measurement noise in the training. In closed form, a tenth of a second, because tuning learns
it anew for every choice of the eigenvalues, which a network trained step by step would not allow. Own code: no library for Python has
a batched one. Sources: Kazantzis and Kravaris 1998; Andrieu and Praly, SIAM J. Control Optim. 45, 2006; with inputs: Bernard and
Andrieu, IEEE TAC 64, 2019.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from observer.estimators.gaussian import PlantEstimator
from observer.estimators.parameters import TuningParameter
from systems.base.errors import InputError
from systems.detectability import FULL_METRIC_UP_TO
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories, simulate

LABEL = "KKL"
RUNS = "NumPy, all samples at once"
EXPENSE = 5  # of the evaluations of a tuning one in so many
SPREAD = 10.0  # fastest over slowest eigenvalue, in e-folds
FEATURES, PAIRS, RIDGE = 400, 12_000, 1e-9
TRAJECTORIES, SAMPLES, KEPT = 150, 250, 8
FORGET = 5.0  # e-folds of the slowest eigenvalue before a pair counts
FLOOR = 1e-2  # of the largest direction of z; smaller ones count less than their share
NEVER = 1e-12  # of the variance of the largest direction
BEYOND = 0.1  # of what was reached in training; an estimate stays within
_simulated: dict[tuple[Any, ...], Trajectories] = {}
_learned: dict[tuple[Any, ...], "KKL"] = {}


@dataclass(frozen=True, eq=False)
class Filtered:
    """z ``(..., nz)`` and the estimate x_hat ``(..., nx)`` that belongs to it."""

    z: np.ndarray
    estimate: np.ndarray


class KKL(PlantEstimator):
    """The observer above; its state is :class:`Filtered`. ``poles`` ``(2 nx + 1,)``: the eigenvalues of A, the same for every signal.

    speed : e-folds per sample of the middle eigenvalue. noise : of the training, in parts of the stated noise. forget : see ``FORGET``.
    data : trajectories with x to learn from; simulated where there are none.
    """

    def __init__(
        self,
        plant: DiscreteSystem,
        speed: float = 0.4,
        noise: float = 1.0,
        *,
        features: int = FEATURES,
        forget: float = FORGET,
        data: Trajectories | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(plant)
        if plant.nx > FULL_METRIC_UP_TO:
            raise InputError(
                f"plant '{plant.system.name}' has {plant.nx} states; a map from {2 * plant.nx + 1} filters per output cannot be learned "
                f"from samples, expected at most {FULL_METRIC_UP_TO}; take another estimator"
            )
        if not speed > 0 or not noise >= 0:
            raise InputError(f"speed is {speed!r} and noise {noise!r}; expected a positive number, and one from 0 on")
        order = 2 * plant.nx + 1
        self.poles = np.exp(-speed * SPREAD ** (np.arange(order) / (order - 1) - 0.5))
        self.speed, self.noise = float(speed), float(noise)
        self._angles = np.isfinite(self.model.state_periods)
        self._learn(_data_of(plant, seed) if data is None else data, features, forget, seed)

    def signals_of(self, u: np.ndarray, y: np.ndarray) -> np.ndarray:
        """s ``(..., ns)``: outputs in half ranges (sine and cosine of an angle), and the known inputs in theirs."""
        periods = self.model.output_periods
        parts = [y[..., ~np.isfinite(periods)] / self.model.output_scale[~np.isfinite(periods)]]
        turns = 2 * np.pi * y[..., np.isfinite(periods)] / periods[np.isfinite(periods)]
        known = self.system.known
        ranges = self.system.input_ranges[known]
        parts += [np.sin(turns), np.cos(turns), (u[..., known] - ranges.mean(axis=1)) / (0.5 * np.ptp(ranges, axis=1))]
        batch = np.broadcast_shapes(*(p.shape[:-1] for p in parts))
        return np.concatenate([np.broadcast_to(p, (*batch, p.shape[-1])) for p in parts], axis=-1)

    def filtered(self, z: np.ndarray, s: np.ndarray) -> np.ndarray:
        """z one sample later: signal by signal, ``(..., ns (2 nx + 1))``."""
        folded = z.reshape(*z.shape[:-1], s.shape[-1], len(self.poles))
        return (self.poles * folded + (1 - self.poles) * s[..., None]).reshape(z.shape)

    def steady(self, s: np.ndarray) -> np.ndarray:
        """The steady state of z for the constant signals s."""
        return np.repeat(s, len(self.poles), axis=-1)

    def inverse(self, z: np.ndarray) -> np.ndarray:
        """T*(z) ``(..., nx)``, within what was reached in training and the limits of the states."""
        coded = np.clip(self._features(z) @ self._weights, self._least, self._most)
        return self.model.clip(self._decoded(coded))

    def init(self, x_hat0: Any) -> Filtered:
        """The steady state for a plant at rest at x_hat0, with its inputs at the middle of their ranges."""
        x = super().init(x_hat0)
        u = np.broadcast_to(
            self.system.input_ranges.mean(axis=1) if self.system.nu else np.zeros(0), (*x.shape[:-1], self.system.nu)
        )
        return Filtered(self.steady(self.signals_of(u, self.plant.output(x, u))), x)

    def estimate(self, state: Filtered) -> np.ndarray:
        """T*(z), and at first the initial estimate."""
        return state.estimate

    def step(self, state: Filtered, u: Any, y: Any) -> Filtered:
        """(z, x_hat) at k+1 from those at k, u[k] and y[k]; what is missing is taken from x_hat."""
        u, y = self.signals(u, y)
        if np.isnan(y).any():
            y = np.where(np.isnan(y), self.plant.output(state.estimate, u), y)
        s = self.signals_of(u, y)
        z = np.broadcast_to(state.z, (*np.broadcast_shapes(state.z.shape[:-1], s.shape[:-1]), state.z.shape[-1]))
        z = self.filtered(z, s)
        return Filtered(z, self.inverse(z))

    def run(self, x_hat0: Any, u: Any, y: Any) -> np.ndarray:
        """As for every observer; the map is taken for all samples at once where no measurement is missing."""
        first, u, y = self._sequences(x_hat0, u, y)
        if u.shape[-2] < 2 or np.isnan(y[..., :-1, :]).any():
            return super().run(first, u, y)
        s = self.signals_of(self.model.known(u), y)
        z = self.init(first).z
        result = np.empty((*first.shape[:-1], u.shape[-2], self.system.nx))
        result[..., 0, :] = first
        every = max(1, 2_000_000 // (FEATURES * max(1, first[..., 0].size)))
        for begin in range(0, u.shape[-2] - 1, every):
            kept = []
            for k in range(begin, min(begin + every, u.shape[-2] - 1)):
                z = self.filtered(z, s[..., k, :])
                kept.append(z)
            result[..., begin + 1 : begin + 1 + len(kept), :] = self.inverse(np.stack(kept, axis=-2))
        return result

    def _coded(self, x: np.ndarray) -> np.ndarray:
        """States in half ranges about their middle, angles as sine and cosine."""
        plain = ~self._angles
        middle = self.system.state_ranges.mean(axis=1)
        turns = 2 * np.pi * x[..., self._angles] / self.model.state_periods[self._angles]
        scaled = (x[..., plain] - middle[plain]) / self.model.state_scale[plain]
        return np.concatenate([scaled, np.sin(turns), np.cos(turns)], axis=-1)

    def _decoded(self, coded: np.ndarray) -> np.ndarray:
        plain, count = ~self._angles, int(self._angles.sum())
        middle = self.system.state_ranges.mean(axis=1)
        x = np.empty((*coded.shape[:-1], self.system.nx))
        simple = self.system.nx - count
        x[..., plain] = middle[plain] + self.model.state_scale[plain] * coded[..., :simple]
        angle = np.arctan2(coded[..., simple : simple + count], coded[..., simple + count :])
        x[..., self._angles] = angle * self.model.state_periods[self._angles] / (2 * np.pi)
        return x

    def _features(self, z: np.ndarray) -> np.ndarray:
        """(1, main directions of z, tanh of random combinations of them) ``(..., 1 + nz + features)``."""
        white = (z - self._mean) @ self._whiten
        ones = np.ones((*white.shape[:-1], 1))
        return np.concatenate([ones, white, np.tanh(white @ self._random + self._shift)], axis=-1)

    def _learn(self, data: Trajectories, features: int, forget: float, seed: int) -> None:
        rng = np.random.default_rng([seed, 41])
        noisy = data.y + self.noise * self.model.output_noise * rng.standard_normal(data.y.shape)
        s = self.signals_of(self.model.known(data.u), noisy)
        z, all_z = self.steady(s[:, 0]), []
        for k in range(s.shape[1]):
            all_z.append(z)
            z = self.filtered(z, s[:, k])
        begin = min(int(np.ceil(forget / -np.log(self.poles.max()))), 2 * s.shape[1] // 3)
        pairs = np.stack(all_z, axis=1)[:, begin:].reshape(-1, z.shape[-1])
        x = data.x[:, begin:].reshape(-1, self.system.nx)
        good = np.isfinite(x).all(axis=1) & np.isfinite(pairs).all(axis=1)
        if good.sum() < 2 * pairs.shape[1]:
            raise InputError(
                f"kkl: only {int(good.sum())} samples to learn from; expected {2 * pairs.shape[1]} or more"
            )
        chosen = rng.permutation(np.flatnonzero(good))[: max(PAIRS, 4 * features)]
        pairs, coded = pairs[chosen], self._coded(x[chosen])
        self._mean = pairs.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov(pairs.T))
        # A direction that training never left, as that of an input that was constant, is one of which nothing was learned.
        share = np.where(values > NEVER * values[-1], 1.0, 0.0)
        self._whiten = vectors * share / np.sqrt(np.maximum(values, 0.0) + FLOOR**2 * values[-1])
        nz = pairs.shape[1]
        self._random = rng.standard_normal((nz, features)) * rng.uniform(0.1, 0.6, features)
        self._shift = rng.uniform(-1, 1, features)
        phi = self._features(pairs)
        gram = phi.T @ phi / len(phi)
        self._weights = np.linalg.solve(gram + np.diag(RIDGE * np.diag(gram) + 1e-15), phi.T @ coded / len(phi))
        low, high = coded.min(axis=0), coded.max(axis=0)
        self._least, self._most = low - BEYOND * (high - low), high + BEYOND * (high - low)


def _data_of(plant: DiscreteSystem, seed: int) -> Trajectories:
    """Simulated trajectories of the plant, without noise, kept in this process."""
    key = (*_key(plant), seed)
    if key not in _simulated:
        _room(_simulated)
        _simulated[key] = simulate(plant, TRAJECTORIES, SAMPLES * plant.dt, seed + 104729)
    return _simulated[key]


def _key(plant: DiscreteSystem) -> tuple[Any, ...]:
    return plant.system.fingerprint, plant.dt, plant.method, plant.substeps


def _room(kept: dict[tuple[Any, ...], Any]) -> None:
    """The oldest make room for one more."""
    while len(kept) >= KEPT:
        kept.pop(next(iter(kept)))


def tuning_parameters(plant: DiscreteSystem) -> tuple[TuningParameter, ...]:
    """``speed``: e-folds per sample of the middle eigenvalue. ``noise``: of the training, in parts of the stated noise."""
    return TuningParameter("speed", 0.4, 0.02, 10.0), TuningParameter("noise", 1.0, 1e-3, 100.0)


def make(plant: DiscreteSystem, speed: float, noise: float) -> KKL:
    """The observer for values of the tuning parameters; learned on the spot, and kept: a tuning asks for the same one several times."""
    key = (*_key(plant), speed, noise)
    if key not in _learned:
        _room(_learned)
        _learned[key] = KKL(plant, speed, noise)
    return _learned[key]
