"""Trials against a certificate: does any error cross its envelope, or any residual its bound, while the plant is in X?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from observer.certification.accuracy import residual
from observer.certification.contraction import metric_norm
from observer.certification.envelope import envelope, ultimate_bound_from
from systems.base.errors import SimulationError
from systems.trajectories import draw_initial_states, draw_inputs, simulate

if TYPE_CHECKING:
    from observer.certification.bounds import Bounds
    from observer.certification.certificate import Certificate
    from observer.state_observer import RENObserver

CHUNK = 500
KEPT, ROUNDS = 6, 14  # worst trials of each state that a search goes on from, and how far
CHANGES, REACH = 8, 40  # changed inputs that are tried in a round, and up to how many samples before the largest error


@dataclass
class Tally:
    """Counts over trials. left : trials whose plant left X, which count until it does. samples : those that were judged.

    crossings : trials with an error above the envelope; exceeded : trials with a residual above a proved bound; closest :
    the largest error over envelope after the first sample; reached : the largest residual over its proved bound.
    late ``(nx,)`` : largest |e_i| in the second half of the trials that stayed in X; largest ``(nx,)`` : in X, from the sample
    on from which the ultimate bound applies (``begin``).
    """

    trials: int = 0
    left: int = 0
    samples: int = 0
    crossings: int = 0
    exceeded: int = 0
    failed: int = 0
    closest: float = 0.0
    reached: float = 0.0
    late: Any = 0.0
    largest: Any = 0.0
    begin: int = 0

    @classmethod
    def of(cls, observer: "RENObserver") -> "Tally":
        """Nothing counted yet."""
        return cls(late=np.zeros(observer.plant.nx), largest=np.zeros(observer.plant.nx))

    def to_data(self) -> dict[str, Any]:
        """Plain numbers."""
        return dict(vars(self))


def proved_bounds(certificate: "Certificate") -> "Bounds":
    """The bounds of a certificate that has them."""
    assert certificate.bounds is not None
    return certificate.bounds


def judge(
    tally: Tally,
    observer: "RENObserver",
    certificate: "Certificate",
    x0: np.ndarray,
    guess: np.ndarray,
    u: np.ndarray,
    held: bool,
) -> None:
    """Simulate trials from ``x0`` and ``guess`` ``(K, nx)`` under ``u`` ``(K, N, nu)`` on the discretised plant, and count."""
    plant, bounds = observer.plant, proved_bounds(certificate)
    try:
        data = simulate(plant, len(x0), (u.shape[1] - 1) * plant.dt, x0=x0, u=u)
        x, y = data.x, data.y
    except SimulationError:  # one trial of many leaves all bounds of sense: each for itself
        if len(x0) == 1:
            tally.trials, tally.failed = tally.trials + 1, tally.failed + 1
            return
        for k in range(len(x0)):
            judge(tally, observer, certificate, x0[k : k + 1], guess[k : k + 1], u[k : k + 1], held)
        return
    error = np.abs(observer.run(guess, u, y) - x)
    inside = bounds.region.holds(x, plant.system, u)
    box = bounds.region.box[plant.nx :]
    inside &= np.all((u >= box[:, 0]) & (u <= box[:, 1]), axis=-1)
    so_far = np.logical_and.accumulate(inside, axis=1)
    # The error at k is bounded when x_0 ... x_(k-1) were in X: the residual of the last step is at k-1.
    judged = np.concatenate([np.ones((len(x), 1), dtype=bool), so_far[:, :-1]], axis=1)
    found = envelope(certificate, guess - x0, u.shape[1], held_input=held)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(judged[..., None], error / found.bound, 0.0)
    above = ~(error <= found.bound * (1 + 1e-12) + 1e-300) & judged[..., None]
    r = residual(observer, plant, x[:, :-1], u[:, :-1])
    over = np.zeros(so_far[:, :-1].shape, dtype=bool)
    for p in (*bounds.proofs, *(bounds.unforced if held else ())):
        size = metric_norm(r, p.contraction.metric)
        wrong = ~(size <= p.residual.upper) | ~np.all(np.abs(r) <= p.residual.state_upper, axis=-1)
        wrong[:, : p.after] = False  # the plant has to have been in X for so long
        over |= wrong & so_far[:, :-1] if p.after else wrong
        if not p.after:
            share_of = np.where(inside[:, :-1], size, 0.0) / p.residual.upper
            tally.reached = max(tally.reached, float(np.max(share_of, initial=0.0)))
    stayed = inside.all(axis=1)
    tally.trials += len(x)
    tally.left += int((~stayed).sum())
    tally.samples += int(judged.sum())
    tally.crossings += int(above.any(axis=(1, 2)).sum())
    tally.exceeded += int((over & inside[:, :-1]).any(axis=1).sum())
    tally.closest = max(tally.closest, float(np.max(share[:, 1:], initial=0.0)))
    begin = ultimate_bound_from(certificate, held_input=held)
    tally.begin = begin
    seen = np.where(judged[..., None], error, 0.0)[:, begin:]
    tally.largest = np.maximum(tally.largest, seen.max(axis=(0, 1), initial=0.0))
    if stayed.any():
        tally.late = np.maximum(tally.late, error[stayed, x.shape[1] // 2 :].max(axis=(0, 1)))


def fresh_trials(
    observer: "RENObserver",
    certificate: "Certificate",
    count: int,
    duration: float,
    seed: int,
    excitation: str | None = None,
) -> Tally:
    """``count`` trials of the usual law: initial state and initial estimate at random in the set of initial states."""
    tally, plant, system = Tally.of(observer), observer.plant, observer.plant.system
    steps = round(duration / plant.dt) + 1
    for part, start in enumerate(range(0, count, CHUNK)):
        size = min(CHUNK, count - start)
        draw = int(np.random.default_rng([seed, part]).integers(2**31))
        u = draw_inputs(system, plant.dt, size, steps, draw, excitation)
        guess = draw_initial_states(system, size, draw + 1)
        judge(tally, observer, certificate, draw_initial_states(system, size, draw), guess, u, _unforced(u))
    return tally


def exact_starts(
    observer: "RENObserver",
    certificate: "Certificate",
    count: int,
    duration: float,
    seed: int,
    excitation: str | None = None,
) -> Tally:
    """Trials with x_hat_0 = x_0 anywhere in X, so that nothing but the residual makes an error; the worst are made worse."""
    plant, rng = observer.plant, np.random.default_rng([seed, 3])
    tally = Tally.of(observer)
    box = proved_bounds(certificate).region.box[: plant.nx]
    steps = round(duration / plant.dt) + 1
    kept: list[Any] = [[(), (), ()] for _ in range(plant.nx)]
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        x0 = rng.uniform(box[:, 0], box[:, 1], (size, plant.nx))
        u = draw_inputs(plant.system, plant.dt, size, steps, int(rng.integers(2**31)), excitation)
        judge(tally, observer, certificate, x0, x0, u, _unforced(u))
        for i, error in enumerate(_late(observer, certificate, x0, u)[0].T):
            best = np.argsort(error)[-KEPT:]
            kept[i] = [(*kept[i][0], *x0[best]), (*kept[i][1], *u[best]), (*kept[i][2], *error[best])]
    for i, (x0, u, error) in enumerate(kept):
        best = np.argsort(error)[-KEPT:]
        x0, u = _climbed(observer, certificate, np.array(x0)[best], np.array(u)[best], i, seed)
        judge(tally, observer, certificate, x0, x0, u, _unforced(u))
    return tally


def _late(
    observer: "RENObserver", certificate: "Certificate", x0: np.ndarray, u: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Largest |e_i| ``(K, nx)`` where the ultimate bound applies, of trials with x_hat_0 = x_0 while x is in X, and at which samples."""
    plant, begin = observer.plant, ultimate_bound_from(certificate, held_input=_unforced(u))
    if begin >= u.shape[1]:  # too short a trial
        return np.zeros((len(x0), plant.nx)), np.zeros((len(x0), plant.nx), dtype=int)
    try:
        data = simulate(plant, len(x0), (u.shape[1] - 1) * plant.dt, x0=x0, u=u)
    except SimulationError:
        return np.zeros((len(x0), plant.nx)), np.zeros((len(x0), plant.nx), dtype=int)
    error = np.abs(observer.run(x0, u, data.y) - data.x)
    inside = np.logical_and.accumulate(proved_bounds(certificate).region.holds(data.x), axis=1)
    error = np.where(inside[:, begin - 1 : -1, None], error[:, begin:], 0.0)
    return error.max(axis=1, initial=0.0), begin + np.argmax(error, axis=1)


def _climbed(
    observer: "RENObserver", certificate: "Certificate", x0: np.ndarray, u: np.ndarray, state: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Trials moved uphill in the late error of one state.

    By a pattern search of the initial state inside X and, where there is excitation, by setting the inputs to ends of their
    ranges over some samples before the error is largest.
    """
    nx, rng = observer.plant.nx, np.random.default_rng([seed, state])
    box, ends = proved_bounds(certificate).region.box[:nx], proved_bounds(certificate).region.box[nx:]
    moves = np.concatenate([np.zeros((1, nx)), np.diag(np.ptp(box, axis=1)), -np.diag(np.ptp(box, axis=1))])
    changes = 0 if _unforced(u) else CHANGES
    moves = np.concatenate([moves, np.zeros((changes, nx))])
    size, at = np.full(len(x0), 0.02), _late(observer, certificate, x0, u)[1][:, state]
    for _ in range(ROUNDS if not changes else 3 * ROUNDS):
        tried = np.clip(x0[:, None] + size[:, None, None] * moves, box[:, 0], box[:, 1])
        inputs = np.repeat(u[:, None], len(moves), axis=1)
        for trial, change in np.ndindex(len(x0), changes):
            last = max(at[trial] - int(rng.integers(0, REACH)), 1)
            first = max(last - int(rng.integers(1, REACH)), 0)
            value = ends[np.arange(len(ends)), rng.integers(2, size=len(ends))]
            inputs[trial, len(moves) - 1 - change, first:last] = value
        found, when = _late(observer, certificate, tried.reshape(-1, nx), inputs.reshape(-1, *u.shape[1:]))
        best = np.argmax(found[:, state].reshape(len(x0), -1), axis=1)
        rows = np.arange(len(x0))
        x0, u, at = tried[rows, best], inputs[rows, best], when[:, state].reshape(len(x0), -1)[rows, best]
        size = np.where(best == 0, 0.5 * size, size)
    return x0, u


def adversarial_trials(
    observer: "RENObserver", certificate: "Certificate", count: int, duration: float, seed: int
) -> Tally:
    """Initial states meant to refute it: worst points of the residual and corners of X, with errors along the worst directions of M.

    A third each: initial errors sqrt(ten ranges) along M^-1 e_i, where |e_i| is as large as |e|_M allows; no initial error at
    the points of X where a short search made the largest error; corners of X against opposite corners. Inputs jump between
    the ends of their ranges in half of them and are zero in the others.
    """
    plant, rng = observer.plant, np.random.default_rng([seed, 4])
    tally = Tally.of(observer)
    bounds, nx, system = proved_bounds(certificate), plant.nx, plant.system
    box, width = bounds.region.box[:nx], np.ptp(bounds.region.box[:nx], axis=1)
    worst = np.array([p.residual.attained_at[:nx] for p in bounds.proofs])
    steps = round(duration / plant.dt) + 1
    third = max(1, count // 3)
    x0 = np.clip(
        worst[rng.integers(len(worst), size=third)] + 0.01 * width * rng.normal(size=(third, nx)), box[:, 0], box[:, 1]
    )
    directions = np.concatenate([np.linalg.inv(p.contraction.metric) for p in bounds.proofs])
    directions = directions / np.abs(directions / width).max(axis=1, keepdims=True)
    scale = 10.0 ** rng.uniform(-4, 1, third) * rng.choice([-1.0, 1.0], third)
    first = (x0, x0 + scale[:, None] * directions[rng.integers(len(directions), size=third)])
    many = rng.uniform(box[:, 0], box[:, 1], (20 * third, nx))
    short = min(steps, 40)
    u = draw_inputs(system, plant.dt, len(many), short, seed, "prbs")
    try:
        y_x = simulate(plant, len(many), (short - 1) * plant.dt, x0=many, u=u)
        made = np.abs(observer.run(many, u, y_x.y) - y_x.x) / width
        score = np.where(bounds.region.holds(y_x.x)[..., None], made, 0.0).max(axis=(1, 2))
        second = many[np.argsort(score)[-third:]]
    except SimulationError:
        second = many[:third]
    corners = box[np.arange(nx), rng.integers(2, size=(count - 2 * third, nx))]
    starts = np.concatenate([first[0], second, corners])
    guesses = np.concatenate([first[1], second, box.sum(axis=1) - corners])
    order = rng.permutation(len(starts))
    for held, some in ((False, order[::2]), (True, order[1::2])):
        u = draw_inputs(system, plant.dt, len(some), steps, seed + 1, "zero" if held else "prbs")
        judge(tally, observer, certificate, starts[some], guesses[some], u, held and _unforced(u))
    return tally


def _unforced(u: np.ndarray) -> bool:
    return not np.any(u)
