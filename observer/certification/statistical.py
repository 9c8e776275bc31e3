"""The statistical certificate: bounds from fresh trajectories where nothing can be proved (MATH 2f, 4).

The unit of sampling is a whole trajectory, whose initial states and inputs follow a stated law. With N of them, drawn after the observer
was finished, and s the largest score of the N, another trajectory of the same law scores above s with a probability of at
most eps, with confidence 1 - beta over the draw, when (1 - eps)^N <= beta. After k exceedances of a threshold fixed
beforehand, eps is the Clopper-Pearson bound Beta^-1(1 - beta; k + 1, N - k). A quantile of a law is not a supremum over a region.
"""

import math
import time
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from observer.certification.residual.search import CLOCK, WORK
from observer.state_observer import RENObserver
from systems.angles import periods, wrap
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.trajectories import draw_initial_states, simulate

CONFIDENCE = 1 - 1e-6
TRIALS = 1375  # coverage 99 % at that confidence; 13,809 for 99.9 %
_CHUNK = 25
_NODE, _NETWORK, _NO_GRAPH = (
    40.0,
    1.0,
    1000,
)  # operations of a node and of a weight, in a batch; nodes of a step without a graph


@dataclass(frozen=True, eq=False)
class StatisticalBound:
    """Largest scores over ``trials`` fresh trajectories: nothing here is proved for every state.

    kind : always "statistical". residual : largest |r|_M met. state_residual, state_error ``(nx,)`` : largest |r_i|, and |e_i| over
    ``window`` [s], in physical units. coverage, confidence : with this confidence, each number by itself is not exceeded by
    another trajectory of the law with at least this probability. law : how trajectories are drawn, in words. status : what ended
    it: "work" (the trials that were asked for) or "clock".
    """

    kind: str
    trials: int
    coverage: float
    confidence: float
    residual: float
    state_residual: np.ndarray
    state_error: np.ndarray
    window: np.ndarray
    duration: float
    seed: int
    seconds: float
    law: str
    status: str = WORK

    @property
    def sentence(self) -> str:
        """What it guarantees in words, with its coverage and confidence."""
        return (
            f"Statistical, not proved: with confidence {confidence_text(self.confidence)}, at least {100 * self.coverage:.4g} % of "
            f"the trajectories drawn as these {self.trials} stay below the stated numbers, each number by itself."
        )


def confidence_text(confidence: float) -> str:
    """0.999999 as "1 - 1e-06": the digits that matter are those after the nines."""
    return f"1 - {1 - confidence:.1g}" if confidence > 0.999 else f"{confidence:g}"


def sample_size(coverage: float, confidence: float = CONFIDENCE) -> int:
    """The fewest trajectories whose largest score covers ``coverage`` of the law with ``confidence``."""
    _check_shares(coverage, confidence)
    return math.ceil(math.log1p(-confidence) / math.log(coverage) - 1e-9)


def covered(trials: int, confidence: float = CONFIDENCE, exceedances: int = 0) -> float:
    """The share of the law that lies below a threshold which ``exceedances`` of ``trials`` exceeded (Clopper-Pearson).

    With none it is also the coverage of the largest score.
    """
    if not 0 <= exceedances <= trials or trials < 1:
        raise InputError(
            f"{exceedances} exceedances of {trials} trials; expected 0 <= exceedances <= trials, trials >= 1"
        )
    _check_shares(0.5, confidence)
    if exceedances == trials:
        return 0.0
    return 1 - float(betaincinv(exceedances + 1, trials - exceedances, confidence))


def _check_shares(coverage: float, confidence: float) -> None:
    for name, value in (("coverage", coverage), ("confidence", confidence)):
        if not 0 < value < 1:
            raise InputError(f"{name} is {value!r}; expected a number between 0 and 1, such as 0.99")


def bound_statistically(
    observer: RENObserver,
    plant: DiscreteSystem,
    trials: int | None = None,
    *,
    metric: np.ndarray | None = None,
    confidence: float = CONFIDENCE,
    duration: float | None = None,
    budget: float | None = None,
    work: float | None = None,
    seed: int = 0,
    jitter: float = 0.0,
) -> StatisticalBound:
    """Scores of fresh trajectories; the initial state and the initial estimate are drawn at random from the set of initial states.

    trials : 1375 when left out. metric : M of |r|_M, the observer's own when left out. duration : of a trajectory [s]; the
    plant's own when left out; errors are judged over its second half. work : operations, budget : seconds; where they do not suffice
    for all trials, fewer are counted and the coverage is that of this number (how long a trial takes does not depend on its
    score). jitter : relative change of initial states and estimates, to see what rounding makes of them.

    The plant is the discretised one. Raises InputError for shares and counts out of range.
    """
    system, begin = plant.system, time.monotonic()
    wanted = TRIALS if trials is None else int(trials)
    if wanted < 1:
        raise InputError(f"trials is {trials!r}; expected a whole number, 1 or more")
    M = np.asarray(observer.metric if metric is None else metric, dtype=float)
    root = np.linalg.cholesky((M + M.T) / 2)
    length = float(duration or system.duration or 200 * plant.dt)
    residual, state_residual, state_error = 0.0, np.zeros(system.nx), np.zeros(system.nx)
    count, part, status, turns = 0, 0, WORK, periods(system.states)
    if work is not None:
        wanted = int(np.clip(work / _cost(observer, plant, round(length / plant.dt)), min(_CHUNK, wanted), wanted))
    while count < wanted:
        size = min(_CHUNK, wanted - count)
        draw = int(np.random.default_rng([seed, 77, part]).integers(2**31))
        x0 = draw_initial_states(system, size, draw) * (1 + jitter) if jitter else None
        data = simulate(plant, size, length, draw, x0=x0, leave=True)
        there = (np.arange(len(data.t)) < data.lengths[:, None])[
            ..., None
        ]  # a trajectory counts until the plant leaves
        guess = draw_initial_states(system, size, draw + 1) * (1 + jitter)
        error = np.where(there, wrap(observer.run(guess, data.u, data.y) - data.x, turns), 0.0)
        ahead = wrap(observer.step(data.x[:, :-1], data.u[:, :-1], data.y[:, :-1]) - data.x[:, 1:], turns)
        ahead = np.where(there[:, 1:], ahead, 0.0)
        late = np.abs(error[:, data.x.shape[1] // 2 :])
        scores = (np.max(np.linalg.norm(ahead @ root, axis=-1)), np.abs(ahead).max(axis=(0, 1)), late.max(axis=(0, 1)))
        scores = [np.where(np.isnan(score), np.inf, score) for score in scores]  # a nan is the worst score, not none
        residual = float(np.maximum(residual, scores[0]))
        state_residual, state_error = np.maximum(state_residual, scores[1]), np.maximum(state_error, scores[2])
        count, part = count + size, part + 1
        if budget is not None and count < wanted and (time.monotonic() - begin) * (1 + 1 / part) > budget:
            status = CLOCK
            break
    return StatisticalBound(
        "statistical",
        count,
        covered(count, confidence),
        confidence,
        residual,
        state_residual,
        state_error,
        np.array([length / 2, length]),
        length,
        seed,
        time.monotonic() - begin,
        f"initial state and estimate independent, uniform over the set of initial states; "
        f"{'usual inputs' if system.feedback is None else 'inputs by the feedback law'}; {length:g} {system.time_unit}; "
        f"{getattr(plant, 'method', 'the')} model; no noise",
        status,
    )


def _cost(observer: RENObserver, plant: DiscreteSystem, samples: int) -> float:
    """Operations of one trial, in those of a residual bound: every node of the plant's graph, and the network twice."""
    ren = observer.weights
    nodes = _NO_GRAPH * plant.nx if plant.graph is None else len(plant.graph.nodes)
    return float(samples * (_NODE * nodes + _NETWORK * (ren.nx + ren.nv) * (ren.nx + ren.nu + ren.nv)))
