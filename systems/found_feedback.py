"""A feedback law for a plant whose motions leave its ranges: a linear-quadratic regulator about an equilibrium, tried before it is taken.

    u = u_e + E r + K (x_e + D r - x),      z+ = A z + B v at the equilibrium,  K from the discrete Riccati equation of scaled z and v

Columns of (D, E) span the equilibria near by: along them the reference r moves, so that the data are not those of one point. Gains of
several weights of the inputs, sizes of reference and excitation, and sets of initial states are tried on a few trajectories; the largest
size whose motions stay is kept, and K = 0, where the plant needs no more than an equilibrium input, is one of them.
"""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.linalg import LinAlgError, solve_discrete_are
from scipy.optimize import least_squares

from systems.base.errors import SimulationError
from systems.closed_loop import ends_of, inside
from systems.discretization import DiscreteSystem
from systems.feedback import Feedback
from systems.observability.words import plain_basis
from systems.signals import Signal
from systems.system import System
from systems.trajectories import draw_commands, draw_initial_states, simulate

OUTSIDE = 0.15  # share of the samples beyond the ranges, from which on a law is looked for
ENOUGH = 0.95  # share inside, which a law is to reach
TRIED, LONGEST = 12, 1500  # trajectories and samples of a trial
INITIAL = (1.0, 0.5, 0.25)  # shares of the initial box
REACH = (0.6, 0.3, 0.1, 0.03)  # shares of the way to the ends of the ranges
WEIGHTS = (100.0, 1.0, 0.01, 1e-4)  # of the inputs beside the states, in parts of their half ranges
DISCOUNTS = (1.0, 1 - 1e-5, 1 - 1e-3)  # below 1: modes that no input moves and that do not decay are allowed
DIGITS, TINY = 4, 1e-6  # of gains, and the share below which one is none: the same on every machine


@dataclass(frozen=True, eq=False)
class _Law:
    """u = middle + slope r + gain (x_middle + directions r - x)."""

    x: np.ndarray
    u: np.ndarray
    directions: np.ndarray
    slopes: np.ndarray
    gain: np.ndarray

    def value(self, x: np.ndarray, r: np.ndarray) -> np.ndarray:
        return self.u + r @ self.slopes.T + (self.x + r @ self.directions.T - x) @ self.gain.T


def open_loop_share(plant: DiscreteSystem, duration: float | None = None, seed: int = 0) -> float:
    """Share of the samples of a few trajectories that lie beyond the ranges, when nothing but the usual excitation drives the plant."""
    length = min(duration or plant.system.duration or 200 * plant.dt, LONGEST * plant.dt)
    try:
        data = simulate(plant, TRIED, length, seed, leave=True)
    except SimulationError:
        return 1.0
    return 1 - float(inside(_ranges(plant.system), data.x).mean())  # what came after the end of a trajectory is outside


def with_found_feedback(plant: DiscreteSystem, duration: float | None = None, seed: int = 0) -> DiscreteSystem:
    """``plant``, with a law that was found where it has none and its motions leave the ranges; as it is where none is found, or needed.

    ``duration`` [s] of a trajectory, the plant's own when left out. The law and its text are in ``system.feedback``; where motions from
    all initial states cannot stay, those states whose ``initial`` set is not stated have a smaller one.
    """
    system = plant.system
    if system.feedback is not None or not len(system.known) or system.time_dependent:
        return plant
    before = open_loop_share(plant, duration, seed)
    if before <= OUTSIDE:
        return plant
    point = _equilibrium(system, plant)
    if point is None:
        return plant
    laws = _laws(plant, *point)
    steps = min(round((duration or system.duration or 200 * plant.dt) / plant.dt), LONGEST) + 1
    best: tuple[float, tuple[float, float, float], System] | None = None
    for spread in INITIAL if any(s.initial is None for s in system.states) else INITIAL[:1]:
        smaller = _smaller(system, point[0], spread)
        trials = [(reach, weight, _with_law(smaller, laws[weight], reach)) for reach, weight in product(REACH, laws)]
        shares = _tried(plant, [item for *_, item in trials], [laws[weight] for _, weight, _ in trials], steps, seed)
        for reach in REACH:
            some = [(s, (spread, reach, w), item) for s, (r, w, item) in zip(shares, trials, strict=True) if r == reach]
            top = max(some, key=lambda found: round(found[0], 3))
            if best is None or top[0] > best[0] + 1e-3:
                best = top
            if best[0] >= ENOUGH:
                break
        if best is not None and best[0] >= ENOUGH:
            break
    assert best is not None
    after, (spread, reach, weight), chosen = best
    if after <= 1 - before + OUTSIDE:
        return plant
    text = _text(system, before, after, spread, reach, weight)
    chosen = replace(chosen, feedback=replace(chosen.feedback, found=text))
    return replace(plant, system=chosen)


def _text(system: System, before: float, after: float, spread: float, reach: float, weight: float) -> str:
    names = ", ".join(system.input_names[k] for k in system.known)
    what = (
        f"a constant {names}" if weight == np.inf else f"a linear-quadratic regulator of {names} about an equilibrium"
    )
    fewer = f", from initial states in the middle {100 * spread:g} % of the ranges" if spread < 1 else ""
    return (
        f"by itself the plant leaves its ranges; data and trials are simulated with {what} that "
        f"moves {100 * reach:g} % of the way to the ends of the ranges, and {50 * reach:g} % of the usual excitation{fewer}: "
        f"{100 * after:.0f} % of the samples are inside before a motion leaves, {100 * (1 - before):.0f} % without; a law of your own goes "
        "into [feedback]"
    )


def _equilibrium(system: System, plant: DiscreteSystem) -> tuple[np.ndarray, np.ndarray] | None:
    """(x, u) in the ranges where the plant stands still, near the middle of the initial box; None where there is none."""
    box = np.concatenate([system.state_ranges, system.input_ranges])
    half, nx = 0.5 * np.ptp(box, axis=1), system.nx
    middle = np.concatenate([system.initial_ranges.mean(axis=1), system.input_ranges.mean(axis=1)])
    low, high = ((box[:, k] - middle) / half for k in (0, 1))
    low, high = np.minimum(low, -1e-3), np.maximum(high, 1e-3)

    def moves(z: np.ndarray) -> np.ndarray:
        x, u = np.split(middle + z * half, [nx])
        with np.errstate(all="ignore"):
            return np.nan_to_num((plant.step(x, u) - x) / half[:nx], nan=1e3, posinf=1e3, neginf=-1e3)

    unit = max(float(np.abs(moves(np.zeros(len(half)))).max()), 1e-6)
    for pull in (1e-2, 1e-5):
        found = least_squares(
            lambda z, pull=pull: np.concatenate([moves(z) / unit, pull * z]), np.zeros(len(half)), bounds=(low, high)
        )
        if np.abs(moves(found.x)).max() < 1e-2:
            x, u = np.split(middle + found.x * half, [nx])
            return x, u
    return None


def _laws(plant: DiscreteSystem, x: np.ndarray, u: np.ndarray) -> dict[float, _Law]:
    """Input weight -> law about (x, u); the weight inf has no gain."""
    system, known = plant.system, plant.system.known
    half, reach = 0.5 * np.ptp(system.state_ranges, axis=1), 0.5 * np.ptp(system.input_ranges, axis=1)[known]
    a, b = plant.jacobian(x, u)
    a, b = a * half / half[:, None], b[:, known] * reach / half[:, None]
    directions, slopes = _equilibria(a, b)
    gains = {np.inf: np.zeros(b.T.shape)}
    for weight in WEIGHTS:
        for discount in DISCOUNTS:
            try:
                p = solve_discrete_are(discount * a, discount * b, np.eye(len(a)), weight * np.eye(b.shape[1]))
            except (LinAlgError, ValueError):
                continue
            gain = np.linalg.solve(weight * np.eye(b.shape[1]) + b.T @ p @ b, b.T @ p @ a)
            if np.isfinite(gain).all():
                gains[weight] = gain
                break

    def plain(scaled: np.ndarray, unit: np.ndarray) -> np.ndarray:
        """In physical units, to a few digits, without what rounding leaves in place of zero."""
        kept = np.where(np.abs(scaled) > TINY * max(1.0, np.abs(scaled).max(initial=0.0)), scaled, 0.0) * unit
        return np.array([float(f"{value:.{DIGITS}g}") for value in kept.ravel()]).reshape(kept.shape)

    at, level = plain(x / half, half), plain(u[known] / reach, reach)
    ways = plain(directions, half[:, None]), plain(slopes, reach[:, None])
    return {weight: _Law(at, level, *ways, plain(gain, reach[:, None] / half)) for weight, gain in gains.items()}


def _equilibria(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(D ``(nx, m)``, E ``(nu, m)``): the equilibria near by of z+ = a z + b v, each column with 1 as its largest entry."""
    nx = len(a)
    _, sizes, rows = np.linalg.svd(np.concatenate([a - np.eye(nx), b], axis=1))
    still = np.append(sizes, np.zeros(len(rows) - len(sizes))) < 1e-7 * max(sizes[0], 1e-300)
    basis = plain_basis(rows[still])
    basis = basis[np.abs(basis[:, :nx]).max(axis=1, initial=0.0) > 1e-9]
    basis = basis / np.abs(basis).max(axis=1, keepdims=True, initial=1e-300)
    return basis[:, :nx].T, basis[:, nx:].T


def _with_law(system: System, law: _Law, reach: float) -> System:
    """The system under the law, its references as far as ``reach`` of the way to the nearest end of a range."""
    box = np.concatenate([system.state_ranges, system.input_ranges[system.known]])
    at, ways = np.concatenate([law.x, law.u]), np.concatenate([law.directions, law.slopes])
    references = []
    for k in range(ways.shape[1]):
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = np.where(ways[:, k] != 0, (box - at[:, None]).T / ways[:, k], np.inf)
        far = reach * np.abs(ends).min(axis=0).min()
        if far > 1e-6:
            references.append(Signal(f"reference_{k + 1}", "", (-float(f"{far:.3g}"), float(f"{far:.3g}"))))
        else:
            references.append(Signal(f"reference_{k + 1}", "", (-1e-6, 1e-6)))
    names = tuple(system.input_names[k] for k in system.known)
    feedback = Feedback(
        law=lambda x, r: list(law.value(x, r)), inputs=names, references=references, excitation=0.5 * reach
    )
    return replace(system, feedback=feedback)


def _smaller(system: System, x: np.ndarray, spread: float) -> System:
    """Initial states from a share of the ranges about an equilibrium, where they are not stated."""
    if spread == 1:
        return system
    states = []
    for signal, value in zip(system.states, x.tolist(), strict=True):
        if signal.initial is None and signal.range is not None and signal.period is None:
            low, high = (float(f"{value + spread * (end - value):.{DIGITS}g}") for end in signal.range)
            signal = replace(signal, initial=(low, high))
        states.append(signal)
    return replace(system, states=states)


def _ranges(system: System) -> np.ndarray:
    """``(nx, 2)``: the ranges of the states; an angle is never out of its own."""
    box = system.state_ranges.copy()
    box[[signal.period is not None for signal in system.states]] = -np.inf, np.inf
    return box


def _tried(plant: DiscreteSystem, systems: list[System], laws: list[_Law], steps: int, seed: int) -> list[float]:
    """Share inside, of a few trajectories of each: all at once, sample by sample."""
    first, known = plant.system, plant.system.known
    commands = [draw_commands(item, plant.dt, TRIED, steps, seed) for item in systems]
    x = np.stack([draw_initial_states(item, TRIED, seed) for item in systems])
    ends, (low, high) = np.stack([ends_of(item) for item in systems]), first.input_ranges[known].T
    shares = np.array([item.feedback.excitation for item in systems])[:, None, None]
    gains, ways, slopes = (np.stack([getattr(law, name) for law in laws]) for name in ("gain", "directions", "slopes"))
    at, level = (np.stack([getattr(law, name) for law in laws])[:, None] for name in ("x", "u"))
    drawn = np.stack(commands)
    count, alive, box = np.zeros(len(systems)), np.ones(x.shape[:2], dtype=bool), _ranges(first)
    for k in range(steps):
        alive &= np.stack([inside(end, values) for end, values in zip(ends, x, strict=True)])
        if not alive.any():
            break
        count += (inside(box, x) & alive).sum(axis=1)
        u, r = drawn[:, :, k, : first.nu].copy(), drawn[:, :, k, first.nu :]
        aim = at + np.einsum("cij,cnj->cni", ways, r) - x
        value = level + np.einsum("cij,cnj->cni", slopes, r) + np.einsum("cij,cnj->cni", gains, aim)
        u[..., known] = np.clip(value + shares * (u[..., known] - 0.5 * (low + high)), low, high)
        with np.errstate(all="ignore"):
            x[alive] = plant.step(x[alive], u[alive], k * plant.dt)
    return list(count / (steps * TRIED))
