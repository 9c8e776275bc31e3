"""Facts of a plant that are known without simulation; the contract tests check them.

equilibria   f(x, u) = 0 (a discrete map: f(x, u) = x)
invariants   V(x(t), p) is constant along every trajectory, for the stated parameters and constant inputs
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Invariant:
    """A conserved quantity ``function(x, p)``: x ``(..., nx)``, p the parameter values by name, result ``(...)``.

    It holds with ``parameters`` in place of the plant's own (friction switched off, say) and with the inputs held at
    ``inputs`` (zero when left out).
    """

    name: str
    function: Callable[[np.ndarray, Mapping[str, float]], np.ndarray]
    parameters: Mapping[str, float] = field(default_factory=dict)
    inputs: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Facts:
    """Facts of one plant, with its default parameters.

    ``equilibria`` are pairs (x, u). ``observable`` says whether some constant metric of condition number 1e4 or less (in
    range-scaled states) contracts over the whole region; where it is False, ``why_not`` gives the reason and the remedy.
    ``dimensionless`` plants need no units.
    """

    equilibria: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()
    invariants: tuple[Invariant, ...] = ()
    observable: bool = True
    dimensionless: bool = False
    why_not: str = ""
