"""Reports: result -> figure -> page. Computes nothing about observers; the only importer of matplotlib.

write_report(folder, system=..., plant=..., fit=..., certificate=..., validation=...)   one run
write_comparison_report(folder, title=..., variants={"ours": Variant(...), ...})        an experiment
reports.figures.errors_figure(validation, certificate)                                  one figure, to show or save
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reports.comparison import Variant as Variant
    from reports.figures.comparison import Curve as Curve
    from reports.quantities import Number as Number
    from reports.writing import write_comparison_report as write_comparison_report
    from reports.writing import write_report as write_report

_HOME = {
    "Curve": "figures.comparison",
    "Number": "quantities",
    "Variant": "comparison",
    "write_comparison_report": "writing",
    "write_report": "writing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
