"""What a row of the published tables is: one protocol, one fit per seed, some measured entries with their bars.

    Row  --measure(seed, size)-->  Measurement  --all seeds-->  Summary (median, worst, verdict per entry)

Entries are numbers that are better the smaller they are. ``published`` is the published value at the same protocol,
``bar`` what is asked of ours (a published bar is to be undercut, ``strict``).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.runner import Size
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories

if TYPE_CHECKING:
    from observer.certification.certificate import Certificate
    from observer.fitting.result import FitResult

PASS, MEDIAN, FAIL, OPEN = "pass", "median only", "fail", "not measured"


@dataclass(frozen=True)
class ProtocolSize(Size):
    """How large an experiment is: FULL is the published protocol, TOY exercises every line of it in seconds.

    trials : per protocol and input, None: as published. duration : share of the published duration.
    trajectories : to learn from, None: as the recipe says. budget : seconds of fitting, None: as the recipe says.
    iterations : of the solver at most; neurons : None: as the recipe says.
    """

    trials: int | None = None
    duration: float = 1.0
    trajectories: int | None = None
    budget: float | None = None
    iterations: int | None = None
    neurons: int | None = None

    def fitting(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """The recipe's arguments of ``fit`` with what this size replaces."""
        changes = {"budget": self.budget, "iterations": self.iterations, "neurons": self.neurons}
        return {**recipe, **{key: value for key, value in changes.items() if value is not None}}


FULL = ProtocolSize()
TOY = ProtocolSize(name="toy", trials=4, duration=0.04, trajectories=4, iterations=5, neurons=3)


@dataclass(frozen=True)
class Entry:
    """One number of a row: key in ``Measurement.values``, label, published value, bar; ``strict`` asks for less than it."""

    key: str
    label: str
    unit: str = ""
    published: float | None = None
    bar: float | None = None
    strict: bool = False

    def met(self, value: float | None) -> bool:
        """Whether a value meets the bar; what is not finite never does, and without a bar everything does."""
        if self.bar is None:
            return True
        if value is None or not np.isfinite(value):
            return False
        return value < self.bar if self.strict else value <= self.bar


@dataclass(frozen=True)
class ErrorTrace:
    """A line of a figure: y over x (seconds), and which panel it belongs to."""

    panel: str
    label: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Measurement:
    """What one fit reached. ``values`` by entry key; ``facts``: whatever else a reader wants, in words or numbers.

    seconds : wall time of the fit; processor_seconds : of all its threads. ``holds``: what must be true besides the
    bars (a proof, a refusal); ``reason``: a sentence for a person, in particular where it is not.
    """

    values: Mapping[str, float]
    holds: bool
    reason: str = ""
    seconds: float = float("nan")
    processor_seconds: float = float("nan")
    facts: Mapping[str, Any] = field(default_factory=dict)
    curves: tuple[ErrorTrace, ...] = ()

    def to_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**vars(self), "curves": [vars(curve) for curve in self.curves]}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Measurement":
        """The inverse of ``to_data``; None becomes nan."""
        values = {key: float("nan") if value is None else float(value) for key, value in data["values"].items()}
        wall, processor = (
            float("nan") if data[k] is None else float(data[k]) for k in ("seconds", "processor_seconds")
        )
        curves = tuple(
            ErrorTrace(c["panel"], c["label"], c["x"], [float("nan") if y is None else y for y in c["y"]])
            for c in data["curves"]
        )
        return cls(values, bool(data["holds"]), str(data["reason"]), wall, processor, dict(data["facts"]), curves)


@dataclass(frozen=True)
class Fitted:
    """A fitted observer, what its certificate proves without residual, and the processor time of the fit."""

    result: "FitResult"
    proof: "Certificate"
    processor_seconds: float

    @classmethod
    def on(cls, plant: DiscreteSystem, data: Trajectories, seed: int, recipe: Mapping[str, Any]) -> "Fitted":
        """Fit with the arguments of ``recipe``, and certify."""
        from observer import certify, fit

        clock = time.process_time()
        result = fit(plant, data, seed=seed, **recipe)
        processor = time.process_time() - clock
        return cls(result, certify(result.observer, plant, residual=False), processor)

    def measurement(
        self, values: Mapping[str, float], facts: Mapping[str, Any], curves: Sequence[ErrorTrace]
    ) -> Measurement:
        """What it reached; ``facts`` are added to those of every fit."""
        result, proof = self.result, self.proof
        common = {
            "rate bound": result.observer.contraction_rate, "rate proved": proof.rate, "condition": result.search.condition,
            "neurons": result.observer.weights.nv, "status": str(result.status), "iterations": result.iterations,
            "certificate": proof.reason,
        }  # fmt: skip
        reason = "" if proof.holds else proof.reason
        seconds = result.seconds, self.processor_seconds
        return Measurement(values, bool(proof.holds), reason, *seconds, {**common, **facts}, tuple(curves))


@dataclass(frozen=True)
class Row:
    """A row: ``group.name``, what it is, its entries, and what measures it.

    recipe : arguments of ``fit`` and of the data, stored with every result so that an old result is known as such.
    budget : seconds of fitting that the row is judged at (None: nothing is fitted).
    seeded : False where nothing is random, so that one measurement is all there is.
    """

    name: str
    title: str
    entries: tuple[Entry, ...]
    measure: Callable[[int, ProtocolSize], Measurement]
    recipe: Mapping[str, Any] = field(default_factory=dict)
    budget: float | None = None
    seeded: bool = True

    @property
    def group(self) -> str:
        """The protocol that the row belongs to."""
        return self.name.partition(".")[0]


@dataclass(frozen=True)
class EntrySummary:
    """An entry over all seeds."""

    entry: Entry
    median: float
    worst: float
    status: str


@dataclass(frozen=True)
class Summary:
    """A row over all measured seeds: its outcomes, and ``status``, the worst of theirs and of what must hold.

    ``seconds``, ``processor_seconds``: medians over the seeds.
    """

    row: Row
    measurements: Mapping[int, Measurement]
    outcomes: tuple[EntrySummary, ...]
    status: str
    seconds: float
    processor_seconds: float
    reason: str


def summarise(row: Row, measurements: Mapping[int, Measurement]) -> Summary:
    """Median and worst over the seeds. ``pass`` needs every seed to meet every bar, and what must hold to hold."""
    done = list(measurements.values())
    if not done:
        nothing = tuple(EntrySummary(e, float("nan"), float("nan"), OPEN) for e in row.entries)
        return Summary(row, {}, nothing, OPEN, float("nan"), float("nan"), "")
    outcomes = []
    for entry in row.entries:
        values = np.array([m.values.get(entry.key, np.nan) for m in done], dtype=float)
        ordered = np.where(np.isfinite(values), values, np.inf)  # a failed seed counts as arbitrarily bad
        median, worst = float(np.median(ordered)), float(ordered.max())
        status = PASS if entry.met(worst) else (MEDIAN if entry.met(median) else FAIL)
        outcomes.append(EntrySummary(entry, median, worst, status))
    statuses = [o.status for o in outcomes] + [PASS if all(m.holds for m in done) else FAIL]
    status = next((s for s in (FAIL, MEDIAN) if s in statuses), PASS)
    faults = [m.reason for m in done if m.reason and not m.holds] or [m.reason for m in done if m.reason]
    return Summary(
        row, dict(measurements), tuple(outcomes), status, float(np.median([m.seconds for m in done])),
        float(np.median([m.processor_seconds for m in done])),
        faults[0] if faults else "",
    )  # fmt: skip


def thinned(x: np.ndarray, y: np.ndarray, panel: str, label: str, points: int = 240) -> ErrorTrace:
    """A curve with at most ``points`` points, the early ones kept: an error falls fast and then stays."""
    index = np.unique(np.round(np.geomspace(1, len(x), points)).astype(int) - 1)
    every = np.unique(np.concatenate([index, np.linspace(0, len(x) - 1, points // 2).astype(int)]))
    return ErrorTrace(panel, label, [float(v) for v in np.asarray(x)[every]], [float(v) for v in np.asarray(y)[every]])
