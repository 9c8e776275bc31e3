"""Timing on a machine that others use too: many repetitions, the minimum and the median of them."""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def markdown(table: Sequence[Sequence[str]]) -> str:
    """A table whose first row is its head."""
    head, *rows = table
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ("---",) * len(head), *rows))


def write_timings(
    arguments: list[str] | None,
    description: str | None,
    default: Path,
    sizes: tuple[Any, Any],
    measured: Callable[[Any], tuple[str, Sequence[Any]]],
    widths: tuple[int, ...],
) -> None:
    """The command of a page of timings: ``measured`` gives page and rows at the first of ``sizes``, or with --toy the second."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0] if description else None)
    parser.add_argument("--out", type=Path, default=default, help="the page to write")
    parser.add_argument("--toy", action="store_true", help="tiny sizes, to see that all runs")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    page, rows = measured(sizes[options.toy])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(page, encoding="utf-8")
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row.cells, widths, strict=True)))
    print(f"{time.perf_counter() - start:.0f} s; written to {options.out}")
