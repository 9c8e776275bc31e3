"""Timing on a machine that others use too: many repetitions, the minimum and the median of them."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Timing:
    """Seconds per call: ``least`` comes nearest to an idle machine, ``median`` is what this run gave."""

    least: float
    median: float

    @property
    def text(self) -> str:
        """Both in milliseconds."""
        return f"{1e3 * self.least:.3g} ({1e3 * self.median:.3g})"


def measure(
    function: Callable[[], object], seconds: float, most: int = 2000, clock: Callable[[], float] = time.perf_counter
) -> Timing:
    """Repeat ``function`` for about ``seconds``, at least three times after a first call that does not count.

    ``clock``: ``time.process_time`` counts what the processor did for this program alone, for work on one thread.
    """
    function()
    times: list[float] = []
    end = clock() + seconds
    while len(times) < 3 or (len(times) < most and clock() < end):
        start = clock()
        function()
        times.append(clock() - start)
    return Timing(min(times), float(np.median(times)))
