"""Branch and bound: halve the cells whose bound is too far above what is attained, the worst first, until none is left.

Bounds are those of several numbers at once (columns). A cell is closed when each of them is at most (1 + gap) times the
largest value attained, or within rounding of it; nan closes nothing. At every moment the largest bound among open and closed
cells holds: the search can stop at any time, and go on later from its open cells.

Work is counted in cells, so that two searches of the same thing take the same steps. A clock can only stop one, and says so.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from observer.certification.residual.model import Cells, OutOfTimeError

_THINNEST = 2.0**-40  # of the region's width; a discontinuity would be halved for ever
PROBES = 64  # corners of children that are evaluated per round
_SAME = 1e-9  # relative: scores that differ by less count as equal, whatever a processor makes of their last digits
TIGHT, WORK, CLOCK, STOPPED = "tight", "work", "clock", "stopped"  # what ended a search


@dataclass(frozen=True, eq=False)
class SearchLimits:
    """What ends a search before all is within the gap.

    seconds : the clock, for when a machine is slow or busy. cells : as many are bounded, in all. until : (columns of the
    bounds,), every bound is at most this.
    """

    seconds: float
    cells: int | None = None
    until: np.ndarray | None = None

    def at_most(self, work: float | None, cost: float) -> "SearchLimits":
        """These, and no more operations than ``work`` at ``cost`` for a cell, all that goes with it included."""
        if work is None:
            return self
        cells = max(1, int(work / cost))
        return replace(self, cells=cells if self.cells is None else min(self.cells, cells))


@dataclass(eq=False)
class Search:
    """The state of a search over ``region`` (d, 2).

    bound : cells (n, d, 2) -> :class:`Cells`. values : points (k, d) -> (k, columns), attained. climb : points (k, d) and a
    column -> points that are better in it. columns : how many columns of the bounds must be brought within ``gap``.
    ``closed`` (columns of the bounds + 1,): the largest of every column over closed cells, and the rounding among them.
    lower (columns,), attained at best (columns, d). gains : |v_i| <= gains_i |v|_M, for rounding in the columns of states.
    climbs : that are left; what is news after them counts as it is. move : brings points to where they may be.
    """

    region: np.ndarray
    bound: Callable[[np.ndarray], Cells]
    values: Callable[[np.ndarray], np.ndarray]
    climb: Callable[[np.ndarray, int], np.ndarray]
    columns: int
    gap: float | np.ndarray  # (columns,) where they differ
    batch: int
    open: Cells
    closed: np.ndarray
    lower: np.ndarray
    best: np.ndarray
    gains: np.ndarray
    cells: int = 0
    seconds: float = 0.0
    climbs: int = 1_000_000
    move: Callable[[np.ndarray], np.ndarray] = np.asarray

    @property
    def upper(self) -> np.ndarray:
        """(columns of the bounds,), what is proved now."""
        bounds = np.maximum(self.closed[:-1], self.open.bounds.max(axis=0, initial=0.0))
        return np.where(np.isnan(bounds), np.inf, bounds)  # nan is no bound

    @property
    def rounding(self) -> float:
        """The largest part that rounding has in a bound of the first column."""
        return float(max(self.closed[-1], self.open.lost.max(initial=0.0)))

    def threshold(self) -> np.ndarray:
        """(columns,) below which a cell is closed."""
        lost = self.open.lost
        slack = 4 * lost[np.isfinite(lost)].min(
            initial=np.inf
        )  # the smallest cells': the large ones' is still too large
        slack = slack if np.isfinite(slack) else 4 * self.closed[-1]
        return np.maximum((1 + self.gap) * self.lower, self.lower + slack * np.append(1.0, self.gains)[: self.columns])

    def run(self, limits: "SearchLimits", progress: Callable[["Search"], None] | None = None) -> str:
        """Go on until all is closed ("tight"), so many cells are bounded ("work"), the seconds are over ("clock"), or Ctrl-C
        ("stopped"); or until what is looked for is proved ("tight" too)."""
        begun, before, status = time.perf_counter(), self.seconds, WORK  # of cells too thin to be halved too
        try:
            self._close()
            while len(self.open.cells):
                if limits.until is not None and (self.upper <= limits.until).all():
                    return TIGHT
                most = self.batch if limits.cells is None else min(self.batch, (limits.cells - self.cells) // 2)
                if most < 1 or time.perf_counter() - begun >= limits.seconds:
                    status = WORK if most < 1 else CLOCK
                    break
                try:
                    self._round(most)
                except OutOfTimeError:  # in the middle of it: all stays as it was before
                    status = CLOCK
                    break
                self.seconds = before + time.perf_counter() - begun
                if progress is not None:
                    progress(self)
        except KeyboardInterrupt:
            status = STOPPED
        self.seconds = before + time.perf_counter() - begun
        upper = self.upper[: self.columns]
        return TIGHT if (upper <= self.threshold()).all() and np.isfinite(upper).all() else status

    def _round(self, most: int) -> None:
        chosen = self._worst(most)
        parents = self.open.take(chosen)
        children = self.bound(halve(parents, self.region))
        # A part cannot be worse than the whole: of two bounds the smaller holds (fmin: nan is no bound).
        children.bounds[:, 0] = np.fmin(children.bounds[:, 0], np.repeat(parents.bounds[:, 0], 2))
        lower, best = self._attain(children)
        self.lower, self.best = lower, best  # from here on nothing can fail or wait
        keep = np.ones(len(self.open.cells), dtype=bool)
        keep[chosen] = False
        self.open = self.open.take(keep).join(children)
        self.cells += len(children.cells)
        self._close()

    def _worst(self, most: int) -> np.ndarray:
        """The worst ``most`` cells; of equal ones, as mirror images are, those that came first."""
        n = len(self.open.cells)
        if n <= most:
            return np.arange(n)
        score = np.max(self.open.bounds[:, : self.columns] / np.maximum(self.threshold(), 1e-300), axis=1)
        with np.errstate(divide="ignore"):
            key = np.round(np.log(np.where(np.isnan(score), np.inf, score)) / _SAME)
        return np.sort(np.argsort(-key, kind="stable")[:most])

    def _attain(self, children: Cells) -> tuple[np.ndarray, np.ndarray]:
        """Evaluate the suspected worst corners of the worst children; climb from the first that are news."""
        lower, best = self.lower.copy(), self.best.copy()
        for column in range(self.columns):
            bounds = np.where(np.isfinite(children.bounds[:, column]), children.bounds[:, column], np.inf)
            order = np.argsort(-bounds, kind="stable")[:PROBES]
            points = self.move(children.corners[order])
            value = self.values(points)[:, column]
            value = np.where(np.isfinite(value), value, -np.inf)
            k = int(np.argmax(value))
            if value[k] > lower[column]:
                lower[column], best[column] = value[k], points[k]
                if self.climbs > 0:
                    self.climbs -= 1
                    points = self.climb(points[[k]], column)
                    reached = np.maximum(self.values(points)[:, column], value[k])
                    lower[column], best[column] = reached[0], points[0]
        return lower, best

    def _close(self) -> None:
        cells, threshold = self.open, self.threshold()
        done = np.all(cells.bounds[:, : self.columns] <= threshold, axis=1)  # False for nan
        width = (self.region[:, 1] - self.region[:, 0])[None]
        relative = np.divide(
            cells.cells[..., 1] - cells.cells[..., 0], width, out=np.zeros(cells.cells.shape[:2]), where=width > 0
        )
        done |= np.all(relative <= _THINNEST, axis=1)
        if done.any():
            away = cells.take(done)
            bounds = np.column_stack([away.bounds, away.lost])
            bounds = np.where(np.isnan(bounds), np.inf, bounds)
            self.closed = np.maximum(self.closed, bounds.max(axis=0))
            self.open = cells.take(~done)


def halve(parents: Cells, region: np.ndarray) -> np.ndarray:
    """Both halves of each cell along its chosen dimension, or along its widest where that is too thin already."""
    cells, split = parents.cells, parents.split.copy()
    width = region[:, 1] - region[:, 0]
    relative = (cells[..., 1] - cells[..., 0]) / np.where(width > 0, width, np.inf)
    rows = np.arange(len(cells))
    split = np.where(relative[rows, split] > _THINNEST, split, np.argmax(relative, axis=1))
    middle = 0.5 * cells[rows, split, 0] + 0.5 * cells[rows, split, 1]
    result = np.repeat(cells, 2, axis=0)
    result[2 * rows, split, 1] = middle
    result[2 * rows + 1, split, 0] = middle
    return result
