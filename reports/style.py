"""One visual language for every figure: colours, sizes and file settings.

The colours are those of Okabe and Ito, distinct for every kind of colour vision; every role also has its own line
style, so that a figure survives a black-and-white printer. Sizes are those of a two-column paper, with text of 7.5 to
8 points at the printed size. Nothing here touches pyplot: the parameters hold only inside ``styled()``.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN = 3.5  # inches, the width of one column of a paper
WIDE = 7.16  # inches, the width of both columns

INK = "#1b1f24"
GREY = "#6b7280"
BLUE = "#0072B2"
ORANGE = "#E69F00"
GREEN = "#009E73"
VERMILION = "#D55E00"
PURPLE = "#AA4499"
SKY = "#56B4E9"
CYCLE = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)

LINES: dict[str, dict[str, Any]] = {
    "truth": {"color": INK, "linewidth": 1.0},
    "estimate": {"color": BLUE, "linewidth": 1.1, "linestyle": (0, (4, 1.5))},
    "median": {"color": BLUE, "linewidth": 1.3},
    "worst": {"color": VERMILION, "linewidth": 0.9},
    "tolerance": {"color": GREY, "linewidth": 0.9, "linestyle": (0, (1, 1.5))},
    "certified": {"color": GREEN, "linewidth": 1.2, "linestyle": (0, (6, 2))},
    "sampled": {"color": PURPLE, "linewidth": 1.0, "linestyle": (0, (5, 1.5, 1, 1.5))},
    "limit": {"color": GREEN, "linewidth": 0.9, "linestyle": (0, (1, 1.5))},
    "region": {"color": GREY, "linewidth": 0.8, "linestyle": (0, (2, 2))},
}
BAND: dict[str, Any] = {"color": BLUE, "alpha": 0.18, "linewidth": 0}

_PARAMETERS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same figure on every machine
    "mathtext.fontset": "dejavusans",
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.fontsize": 7.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "figure.labelsize": 8,
    "figure.constrained_layout.h_pad": 0.04,
    "figure.constrained_layout.w_pad": 0.04,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#4b5563",
    "axes.linewidth": 0.6,
    "xtick.color": "#4b5563",
    "ytick.color": "#4b5563",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "ytick.minor.size": 1.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e5e7eb",
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "legend.columnspacing": 1.4,
    "legend.borderaxespad": 0.2,
    "lines.solid_capstyle": "round",
    "pdf.fonttype": 42,  # embedded TrueType: publishers refuse Type 3
    "ps.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "observer",
    "savefig.dpi": 200,
    "agg.path.chunksize": 10000,
}


@contextmanager
def styled() -> Iterator[None]:
    """The house style, on top of matplotlib's defaults and not of a personal matplotlibrc; restored on leaving."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        # A unit in a script that the font lacks is drawn as a box: no reason to stop, or to clutter a terminal.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_PARAMETERS)
        yield


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure [inches] with its own Agg canvas, unknown to pyplot. Call it inside ``styled()``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def encode(figure: "Figure", suffix: str) -> bytes:
    """The figure as ``"pdf"``, ``"png"`` (200 dpi) or ``"svg"``, without a date: the same figure, the same bytes."""
    metadata = {"pdf": {"CreationDate": None}, "png": {"Software": None}, "svg": {"Date": None}}[suffix]
    buffer = io.BytesIO()
    with styled():
        if figure.get_layout_engine() is not None:  # lay out once: most of the time to write a figure would go into it
            figure.draw_without_rendering()
            figure.set_layout_engine(None)  # "none" would leave a placeholder that draws twice more for every file
        figure.savefig(buffer, format=suffix, metadata=metadata)
    return buffer.getvalue()


def plain(text: object, length: int = 28) -> str:
    """User text for a figure: no mathematics read into ``$``, no line breaks, the middle of a long name left out."""
    text = " ".join(str(text).split())
    text = "".join(character for character in text if character.isprintable())
    if len(text) > length:
        text = f"{text[: length // 2 - 1]}…{text[-(length // 2) + 1 :]}"
    return text.replace("$", r"\$")


def label(name: object, unit: object = "", template: str = "{}", limit: int = 30) -> str:
    """An axis label ``template.format(name) [unit]``, with the unit on a line of its own where it grows too long."""
    text, unit = template.format(plain(name, 24)), plain(unit, 18)
    if not unit:
        return text
    return f"{text}{' ' if len(text) + len(unit) < limit else chr(10)}[{unit}]"


def log_axis(axes: "Axes", low: float, high: float) -> None:
    """A log y axis from ``low`` to ``high`` (at least one and a half decades), with few labels."""
    import numpy as np
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = float(low), float(high)
    if not (np.isfinite(high) and high > 0):
        high = 1.0
    if not (np.isfinite(low) and 0 < low < high):
        low = high * 1e-3
    low = min(low, high / 30)
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(LogLocator(base=10, numticks=6))
    axes.yaxis.set_minor_locator(LogLocator(base=10, subs=(1.0,) if high / low > 1e4 else "auto", numticks=20))
    axes.yaxis.set_minor_formatter(NullFormatter())
