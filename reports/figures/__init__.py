"""Results -> matplotlib Figure, one file per family of pictures. Nothing here touches pyplot or a global parameter."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)  # names: __init__.pyi
