"""Certificates: what is proved about an observer from its explicit weights alone, in float64."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)  # names: __init__.pyi
