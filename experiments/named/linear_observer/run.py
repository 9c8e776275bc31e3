"""``observer experiment linear_observer``: linear plants, where the right answer is known, through the whole fit.

For x+ = A x + B u, y = C x every exact observer is x_hat+ = A x_hat + B u + L (y - C x_hat) for some gain L: the fit has to find
df_o/dx = A - L C, df_o/du = B and df_o/dy = L, with neurons that do nothing. In its metric M the gain must be that of the
projection observer, L = A M^-1 C' (C M^-1 C')^-1, whose errors follow (A - L C)^k e_0 with one eigenvalue at zero per output.
Under noise the steady covariance of any L is known (Lyapunov) and least for the Kalman gain (Riccati): both stand beside.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.runner import Measured, Parts, Size, chosen, one_thread

if TYPE_CHECKING:
    from observer.networks import ExplicitREN
    from observer.state_observer import RENObserver
    from systems import DiscreteSystem

PLANTS = ("mass_spring_damper", "double_integrator")
EXACT = 1e-9  # relative: what is left of a linear least-squares problem in float64


@dataclass(frozen=True)
class LinearObserverSize(Size):
    """Plants, settling times [s], variants (neurons, ``start`` of the fit) and the trials under noise."""

    plants: tuple[str, ...] = PLANTS
    variants: tuple[tuple[int, str], ...] = ((0, "projected"), (8, "projected"), (8, "random"))
    iterations: int = 300
    trials: int = 4000
    settling: tuple[float, ...] = (1.0, 3.0)
    steps: int = 400
    measurement: float = 0.02
    force: float = 0.2


FULL = LinearObserverSize()
SMOKE = LinearObserverSize(
    plants=PLANTS[:1], settling=(1.0,), variants=((0, "projected"), (3, "projected")), iterations=20, trials=400, steps=120, name="smoke"
)  # fmt: skip


@one_thread()
def measure(size: LinearObserverSize, seed: int, parts: Parts, rows: str | None = None) -> Measured:
    """Fit linear plants; it passes when every observer is the known one and its noise the computed one.

    rows : names of plants, separated by commas.
    """
    found = []
    names = chosen(rows, PLANTS) if rows else size.plants
    for name, settling, (neurons, start) in product(names, size.settling, size.variants):
        key = {"size": size.to_data(plants=name, settling=settling, variants=(neurons, start)), "seed": seed}
        part = f"parts/{name}-{settling:g}s-{neurons}-{start}"
        row = parts.keep(part, key, fit_and_compare, size, name, settling, neurons, start, seed)
        found.append(row)
        parts.say(
            f"{label(row)}: |A - LC - df/dx| {row['consistency']:.1e}, gain off by {row['gain_error']:.1e}, "
            f"noise {row['noise_ratio']:.3f} times the Kalman filter's"
        )
    return Measured(size, seed, found)


def label(row: Mapping[str, Any]) -> str:
    """Plant, settling time, neurons."""
    start = "" if row["start"] == "projected" else f", {row['start']} weights"
    return f"{row['plant'].replace('_', ' ')}, {row['settling']:g} s, {row['neurons']} neurons{start}"


def fit_and_compare(
    size: LinearObserverSize, name: str, settling: float, neurons: int, start: str, seed: int
) -> dict[str, Any]:
    """Fit one plant and compare the observer with what is known of it."""
    from observer import fit
    from observer.certification.contraction import contraction_rate
    from systems import discretize, load_system, simulate

    system = load_system(name)
    plant = discretize(system)
    data = simulate(plant, 30, float(system.duration or 20.0), seed)
    fitted = fit(plant, data, neurons, settling, start=start, iterations=size.iterations, seed=seed)
    w, M = fitted.observer.weights, fitted.observer.metric
    A, B, C = linear_plant(plant)
    rng = np.random.default_rng([seed, 7])
    box = np.concatenate([system.state_ranges, system.input_ranges])
    points = rng.uniform(box[:, 0], box[:, 1], (500, len(box)))
    x, u = points[:, : plant.nx], points[:, plant.nx :]
    by_x, by_input = jacobians(w, x, np.concatenate([u, x @ C.T], axis=1))
    by_u, by_y = by_input[..., : plant.nu], by_input[..., plant.nu :]
    L, wanted = by_y.mean(axis=0), projection_gain(A, C, M)
    size_a = np.abs(A).max()
    noise = noise_of(A, B, C, L, size)
    kalman = kalman_gain(A, C, noise["Q"], noise["R"])
    least = steady_covariance(A, C, kalman, noise["Q"], noise["R"])
    seen = simulated_noise(fitted.observer, A, B, C, noise["Q"], size, rng)
    return {
        "plant": name, "settling": settling, "neurons": neurons, "start": start, "states": list(system.state_names),
        "status": fitted.status, "loss": fitted.one_step_loss, "seconds": fitted.seconds,
        "consistency": float(np.abs(by_x + by_y @ C - A).max() / size_a),
        "input_error": float(np.abs(by_u - B).max() / np.abs(B).max()),
        "gain": L, "projection_gain": wanted, "gain_error": float(np.abs(by_y - wanted).max() / np.abs(wanted).max()),
        "kalman_gain": kalman, "eigenvalues": np.sort(np.abs(np.linalg.eigvals(A - L @ C))),
        "rate": contraction_rate(w, M, fitted.observer.multipliers), "bound": fitted.observer.contraction_rate,
        "error_dynamics": error_dynamics(fitted.observer, plant, A - L @ C, rng),
        "rms": np.sqrt(np.diag(noise["P"])), "rms_seen": seen, "kalman_rms": np.sqrt(np.diag(least)),
        "noise_ratio": float(np.sqrt(np.trace(np.linalg.solve(least, noise["P"])) / len(A))),
        "decay": decay(A - L @ C), "kalman_decay": decay(A - kalman @ C),
        "same_speed": same_speed(A, B, C, float(np.abs(np.linalg.eigvals(A - L @ C)).max()), noise),
    }  # fmt: skip


def linear_plant(plant: "DiscreteSystem") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A (nx, nx), B (nx, nu), C (ny, nx): differences of one step and of the output, exact for a linear plant."""
    nx, nu = plant.nx, plant.nu
    zero, still = plant.step(np.zeros((1, nx)), np.zeros((1, nu))), plant.output(np.zeros((1, nx)), np.zeros((1, nu)))
    A = (plant.step(np.eye(nx), np.zeros((nx, nu))) - zero).T
    B = (plant.step(np.zeros((nu, nx)), np.eye(nu)) - zero).T
    return A, B, (plant.output(np.eye(nx), np.zeros((nx, nu))) - still).T


def jacobians(w: "ExplicitREN", x: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """df_o/dx (m, nx, nx) and df_o/d(u, y) (m, nx, nu + ny) of the explicit network at each sample."""
    from observer.networks.activations import get_activation

    slope = get_activation(w.activation).slope(w.equilibrium(x, u))[..., None]
    inner = np.linalg.solve(np.eye(w.nv) - slope * w.D11, slope * np.concatenate([w.C1, w.D12], axis=1))
    both = np.concatenate([w.A, w.B2], axis=1) + w.B1 @ inner
    return both[..., : w.nx], both[..., w.nx :]


def projection_gain(A: np.ndarray, C: np.ndarray, M: np.ndarray) -> np.ndarray:
    """L = A M^-1 C' (C M^-1 C')^-1 (nx, ny)."""
    spread = np.linalg.solve(M, C.T)
    return A @ spread @ np.linalg.inv(C @ spread)


def kalman_gain(A: np.ndarray, C: np.ndarray, Q: np.ndarray, R: np.ndarray) -> np.ndarray:
    """L = A P C' (C P C' + R)^-1 of the steady Kalman predictor."""
    from scipy.linalg import solve_discrete_are

    P = solve_discrete_are(A.T, C.T, Q, R)
    return A @ P @ C.T @ np.linalg.inv(C @ P @ C.T + R)


def steady_covariance(A: np.ndarray, C: np.ndarray, L: np.ndarray, Q: np.ndarray, R: np.ndarray) -> np.ndarray:
    """P = (A - LC) P (A - LC)' + Q + L R L': the steady covariance of the error of a predictor of gain L."""
    from scipy.linalg import solve_discrete_lyapunov

    return solve_discrete_lyapunov(A - L @ C, Q + L @ R @ L.T)


def noise_of(
    A: np.ndarray, B: np.ndarray, C: np.ndarray, L: np.ndarray, size: LinearObserverSize
) -> dict[str, np.ndarray]:
    """Q: a random force held over each sample; R: of the measurement; P: the steady covariance with the gain L."""
    Q, R = size.force**2 * B @ B.T, size.measurement**2 * np.eye(len(C))
    return {"Q": Q, "R": R, "P": steady_covariance(A, C, L, Q, R)}


def same_speed(
    A: np.ndarray, B: np.ndarray, C: np.ndarray, radius: float, noise: dict[str, np.ndarray]
) -> list[float] | None:
    """RMS per state of the slowest Kalman predictor (for larger and larger Q ~ B B') as fast as ``radius``; None: there is none."""
    for scale in np.geomspace(1e-6, 1e8, 281):
        L = kalman_gain(A, C, scale * noise["Q"], noise["R"])
        if np.abs(np.linalg.eigvals(A - L @ C)).max() <= radius:
            return np.sqrt(np.diag(steady_covariance(A, C, L, noise["Q"], noise["R"]))).tolist()
    return None


def decay(F: np.ndarray, steps: int = 120) -> np.ndarray:
    """The largest singular value of F^k, k = 0 .. steps - 1: what can be left of an error of length 1."""
    return np.array([np.linalg.norm(np.linalg.matrix_power(F, k), 2) for k in range(steps)])


def error_dynamics(observer: "RENObserver", plant: "DiscreteSystem", F: np.ndarray, rng: np.random.Generator) -> float:
    """The largest |e_k - F^k e_0| over 60 samples of 50 trials, relative to |e_0|: F is the known error matrix."""
    x, e0 = rng.normal(size=(50, plant.nx)), rng.normal(size=(50, plant.nx))
    u = rng.uniform(-1, 1, (50, 61, plant.nu))
    xs = [x]
    for k in range(60):
        xs.append(plant.step(xs[-1], u[:, k]))
    x = np.stack(xs, axis=1)
    y = plant.output(x.reshape(-1, plant.nx), u.reshape(-1, plant.nu)).reshape(50, 61, plant.ny)
    error = observer.run(x[:, 0] + e0, u, y) - x
    known = np.stack([e0 @ np.linalg.matrix_power(F, k).T for k in range(61)], axis=1)
    return float(np.abs(error - known).max() / np.abs(e0).max())


def simulated_noise(
    observer: "RENObserver",
    A: np.ndarray,
    B: np.ndarray,
    C: np.ndarray,
    Q: np.ndarray,
    size: LinearObserverSize,
    rng: np.random.Generator,
) -> np.ndarray:
    """RMS error (nx,) of the shipped observer at the end of noisy trials, from exact initial estimates."""
    shape, nx = (size.trials, size.steps), len(A)
    force = size.force * rng.normal(size=(*shape, B.shape[1]))
    x = np.zeros((*shape, nx))
    for k in range(size.steps - 1):
        x[:, k + 1] = x[:, k] @ A.T + force[:, k] @ B.T
    y = x @ C.T + size.measurement * rng.normal(size=(*shape, len(C)))
    error = observer.run(x[:, 0], np.zeros_like(force), y) - x
    return np.sqrt(np.mean(error[:, -size.steps // 4 :: 10] ** 2, axis=(0, 1)))
