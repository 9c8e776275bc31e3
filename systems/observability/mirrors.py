"""States that the outputs cannot tell from their mirror images: h(.., y, ..) = h(.., -y, ..)."""

from itertools import combinations

import numpy as np

from systems.discretization import DiscreteSystem
from systems.regions import admits, states_and_inputs

_POINTS, _SAME = 64, 1e-12
MOST = 8  # states in the outputs, up to which they are tried


def mirrored_states(plant: DiscreteSystem) -> tuple[tuple[str, ...], ...]:
    """Names of states whose signs, changed together, change no output anywhere: single ones, pairs, or all that an output holds."""
    system = plant.system
    seen = sorted(system.output.used("x"))
    if not seen or len(seen) > MOST or system.time_dependent:
        return ()
    x, u = states_and_inputs(system, system.state_ranges, _POINTS, 3)
    y = system.measure(x, u)
    size = np.abs(y).max(axis=0)
    found: list[tuple[int, ...]] = []
    for group in (*((k,) for k in seen), *combinations(seen, 2), tuple(seen)):
        if any(set(other) <= set(group) for other in found):
            continue
        turned = x.copy()
        turned[:, group] *= -1
        other = system.measure(turned, u)
        if np.isfinite(other).all() and (np.abs(other - y) <= _SAME * size).all():
            found.append(group)
    return tuple(tuple(system.state_names[k] for k in group) for group in found)


def mirror_sentences(plant: DiscreteSystem, region: np.ndarray) -> tuple[str, ...]:
    """What a person has to know of them: where both images lie in ``region`` ``(nx, 2)``, or only one."""
    system = plant.system
    sentences = []
    for names in mirrored_states(plant):
        rows = [system.state_names.index(name) for name in names]
        point = [system.state_names[k] for k in sorted(system.output.used("x"))]
        image = [f"-{name}" if name in names else name for name in point]
        x, _ = states_and_inputs(system, region, _POINTS, 4)
        turned = x.copy()
        turned[:, rows] *= -1
        both = bool((((turned >= region[:, 0]) & (turned <= region[:, 1])).all(axis=1) & admits(system, turned)).any())
        what = f"ambiguous: {', '.join(system.output_names)} are the same at ({', '.join(point)}) and at ({', '.join(image)})"
        side = f"{names[0]} > 0"
        if both:
            sentences.append(
                f'{what}, and both are in the region; if the plant is on one side, say so: [region] constraints = ["{side}"]'
            )
        else:
            sentences.append(
                f"{what}; only one of them is in the region, and an estimate is right while the plant stays there"
            )
    return tuple(sentences)
