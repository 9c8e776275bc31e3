"""What the outputs of a plant tell of its states, before any fit: rank, Gramian, hidden directions and their own decay.

``examine_observability`` looks at all of it; :mod:`systems.detectability` says how fast an observer can be.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from systems.observability.examination import Observability as Observability
    from systems.observability.examination import examine_observability as examine_observability
    from systems.observability.gramian import EmpiricalGramian as EmpiricalGramian
    from systems.observability.gramian import empirical_gramian as empirical_gramian
    from systems.observability.hidden import HiddenDirections as HiddenDirections
    from systems.observability.hidden import HiddenModes as HiddenModes
    from systems.observability.hidden import hidden_directions as hidden_directions
    from systems.observability.modes import Modes as Modes
    from systems.observability.modes import find_modes as find_modes
    from systems.observability.places import equilibria as equilibria
    from systems.observability.rank import LocalRank as LocalRank
    from systems.observability.rank import local_rank as local_rank
    from systems.observability.rank import windows as windows
    from systems.observability.subspace import distance_to_hidden as distance_to_hidden
    from systems.observability.subspace import hidden_modes as hidden_modes
    from systems.observability.subspace import hidden_subspace as hidden_subspace

_HOMES = {
    "EmpiricalGramian": "gramian",
    "HiddenDirections": "hidden",
    "HiddenModes": "hidden",
    "LocalRank": "rank",
    "Modes": "modes",
    "Observability": "examination",
    "distance_to_hidden": "subspace",
    "empirical_gramian": "gramian",
    "equilibria": "places",
    "examine_observability": "examination",
    "find_modes": "modes",
    "hidden_directions": "hidden",
    "hidden_modes": "subspace",
    "hidden_subspace": "subspace",
    "local_rank": "rank",
    "windows": "rank",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'systems.observability' has no attribute '{name}'")
    return getattr(import_module(f"systems.observability.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
