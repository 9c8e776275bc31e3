"""The plant: systems from equations, their discretisation, simulation and what can be known from their outputs.

Every plant of :mod:`systems.library` is a function of this package too: ``systems.pendulum()``.
"""

import lazy_loader

_named, _, __all__ = lazy_loader.attach_stub(__name__, __file__)  # names: __init__.pyi


def __getattr__(name: str) -> object:
    try:
        return _named(name)
    except AttributeError:
        from systems.library import ALL_SYSTEMS

        if name not in ALL_SYSTEMS:
            raise
        return ALL_SYSTEMS[name]


def __dir__() -> list[str]:
    from systems.library import NAMES

    return sorted([*__all__, *NAMES])
