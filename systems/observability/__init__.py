"""How well the outputs of a plant determine its states, before any fit: rank, Gramian, unobservable directions and their own decay.

``examine_observability`` looks at all of it; :mod:`systems.detectability` says how fast an observer can be.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)  # names: __init__.pyi
