"""Reports: result -> figure -> page. Computes nothing about observers; the only importer of matplotlib.

write_report(load_run("runs/vdp"))                                                      the page of one run
write_report(Run(folder, plant, fit=..., certificate=..., validation=...))              the same from results at hand
write_comparison_report(folder, title=..., variants={"ours": Variant(...), ...})        an experiment
reports.figures.errors_figure(validation, certificate)                                  one figure, to show or save
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)  # names: __init__.pyi
