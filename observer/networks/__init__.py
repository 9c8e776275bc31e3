"""Networks: free parameters to explicit matrices to a step. Names resolve when first used: torch takes a second."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)  # names: __init__.pyi
