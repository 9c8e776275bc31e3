"""A field over space and time: truth, estimate and error as heat maps, for plants whose states are nodes of a line."""

from typing import TYPE_CHECKING

import numpy as np

from reports.quantities import time_unit
from reports.style import WIDE, label, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reports.figures.catalogue import Picture

FLOOR = 1e-6  # of the error's colour scale


@styled()
def field_figure(t: np.ndarray, truth: np.ndarray, estimate: np.ndarray) -> "Figure":
    """Three heat maps over time ``(N,)`` and node, of truth and estimate ``(N, nodes)`` and log10 of the absolute error."""
    figure = new_figure(WIDE, 5.2)
    axes = figure.subplots(3, 1, sharex=True)
    every = max(1, len(t) // 800)
    extent = (float(t[0]), float(t[-1]), -0.5, truth.shape[1] - 0.5)
    error = np.log10(np.maximum(np.abs(estimate - truth), FLOOR))
    rows = (
        (truth, "truth", "viridis", (0.0, 1.0)),
        (estimate, "estimate", "viridis", (0.0, 1.0)),
        (error, "log10 |error|", "magma", (-6.0, 0.0)),
    )
    for axis, (values, title, colours, (low, high)) in zip(axes, rows, strict=True):
        image = axis.imshow(
            values[::every].T,
            aspect="auto",
            origin="lower",
            extent=extent,
            cmap=colours,
            vmin=low,
            vmax=high,
            interpolation="nearest",
        )
        figure.colorbar(image, ax=axis, pad=0.01)
        axis.set_title(title, loc="left")
        axis.set_ylabel("node")
        axis.grid(False)
    axes[-1].set_xlabel(label("time", time_unit()))
    return figure


def field_picture(name: str, title: str, t: np.ndarray, truth: np.ndarray, estimate: np.ndarray) -> "Picture":
    """The figure with its words, for a report."""
    from reports.figures.catalogue import Picture

    reading = (
        "Top and middle: the field over time, the same colours for the same values. Bottom: the size of the error on a log scale, "
        "from black (1e-6 or less) to bright (1). The initial estimate is zero, and only one node and the boundary are "
        "measured; the error decays from the sensor and the ends inwards."
    )
    return Picture(
        name,
        title,
        reading,
        f"Heat maps of truth, estimate and error over time and node: {title}.",
        field_figure(t, truth, estimate),
        True,
    )
