"""The plant: systems from equations, their discretisation, simulation and what can be known from their outputs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)  # names: __init__.pyi
