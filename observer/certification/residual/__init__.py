"""The proved bound of the one-step residual over a region, and of the error that it builds up over N steps (MATH 4)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)  # names: __init__.pyi
