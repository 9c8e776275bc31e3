"""Results -> matplotlib Figure, one file per family of pictures. Nothing here touches pyplot or a global parameter."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reports.figures.catalogue import ALL_FIGURES as ALL_FIGURES
    from reports.figures.catalogue import FigureKind as FigureKind
    from reports.figures.catalogue import Picture as Picture
    from reports.figures.catalogue import pictures as pictures
    from reports.figures.comparison import Curve as Curve
    from reports.figures.comparison import comparison_figure as comparison_figure
    from reports.figures.comparison import error_curve as error_curve
    from reports.figures.errors import errors_figure as errors_figure
    from reports.figures.errors import map_figure as map_figure
    from reports.figures.errors import norm_figure as norm_figure
    from reports.figures.estimates import phase_figure as phase_figure
    from reports.figures.estimates import starts_figure as starts_figure
    from reports.figures.estimates import states_figure as states_figure
    from reports.figures.settling import settling_figure as settling_figure
    from reports.figures.trade_off import trade_off_figure as trade_off_figure
    from reports.figures.training import loss_figure as loss_figure

_HOME = {
    **dict.fromkeys(("ALL_FIGURES", "FigureKind", "Picture", "pictures"), "catalogue"),
    **dict.fromkeys(("Curve", "comparison_figure", "error_curve"), "comparison"),
    **dict.fromkeys(("errors_figure", "map_figure", "norm_figure"), "errors"),
    **dict.fromkeys(("phase_figure", "starts_figure", "states_figure"), "estimates"),
    "settling_figure": "settling",
    "trade_off_figure": "trade_off",
    "loss_figure": "training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
