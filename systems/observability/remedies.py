"""What can be done about an undetectable direction: the states whose measurement would make it detectable."""

import numpy as np

from systems.detectability import sample_jacobians
from systems.discretization import DiscreteSystem
from systems.observability.subspace import unobservable_modes, unobservable_subspace
from systems.observability.unobservable import UnobservableModes

ASKED = 6  # states that are tried: those with the largest parts in the direction


def revealing_states(plant: DiscreteSystem, found: UnobservableModes, rate: float) -> tuple[str, ...]:
    """Names of states that, measured as well, leave no unobservable mode at that point which does not decay at ``rate`` per sample."""
    jacobians = sample_jacobians(plant, points=found.point[None])
    a, c = jacobians.a[0], jacobians.c[0]
    slow = found.directions[np.abs(found.eigenvalues) >= rate]
    if not len(slow):
        return ()
    parts = np.abs(slow).max(axis=0)
    names = []
    for k in np.argsort(-parts, kind="stable")[:ASKED]:
        if parts[k] <= 0.05 * parts.max():
            continue
        more = np.concatenate([c, np.eye(plant.nx)[k : k + 1]])
        values, _ = unobservable_modes(a, unobservable_subspace(a, more))
        if not len(values) or np.abs(values[0]) < rate:
            names.append(int(k))
    return tuple(plant.system.state_names[k] for k in sorted(names))
