"""Activations of the neurons: functions whose slope stays in [0, 1], for NumPy arrays and torch tensors.

The contraction certificate rests on the incremental sector condition (MATH 2a)

    0 <= (w_a - w_b)(v_a - v_b) - (w_a - w_b)^2      for w = sigma(v),

which holds exactly when 0 <= sigma'(v) <= 1 everywhere. Functions that leave this interval are refused by name.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from systems.base.errors import InputError


@dataclass(frozen=True)
class Activation:
    """w = sigma(v), elementwise, on NumPy arrays and torch tensors of any shape.

    Attributes
    ----------
    name : ``"relu"``, ``"tanh"`` or ``"sigmoid"``.
    code : the small integer by which compiled kernels select the function; its place in ``ACTIVATIONS``.
    """

    name: str
    code: int
    _numpy: Callable[[Any], Any]
    _slope: Callable[[Any], Any]

    def __call__(self, v: Any) -> Any:
        """sigma(v), of the kind and shape of ``v``."""
        if _is_numpy(v):
            return self._numpy(v)
        return getattr(v, self.name)()

    def derivative(self, v: Any) -> Any:
        """sigma'(v), in [0, 1]; at the kink of relu the value is 0, as in torch."""
        return self.slope(self(v))

    def slope(self, w: Any) -> Any:
        """sigma'(v) as a function of the output w = sigma(v): all three activations allow it, so v need not be kept."""
        return self._slope(w)


def _is_numpy(v: Any) -> bool:
    return isinstance(v, np.ndarray | np.generic | float | int)


def _relu_slope(w: Any) -> Any:
    return (w > 0).astype(w.dtype) if _is_numpy(w) else (w > 0).to(w.dtype)


_FAMILY = {
    activation.name: activation
    for activation in (
        Activation("relu", 0, lambda v: np.maximum(v, 0), _relu_slope),
        Activation("tanh", 1, np.tanh, lambda w: 1 - w * w),
        # Through tanh: exp(-v) would overflow (a warning, hence an error in tests) for large negative v.
        Activation("sigmoid", 2, lambda v: 0.5 * np.tanh(0.5 * v) + 0.5, lambda w: w * (1 - w)),
    )
}
ACTIVATIONS: tuple[str, ...] = tuple(_FAMILY)

_SLOPES = {  # the range of the slope of functions that people ask for and that break the certificate
    "silu": (-0.0998, 1.0998),
    "swish": (-0.0998, 1.0998),
    "gelu": (-0.1289, 1.1289),
    "mish": (-0.1135, 1.0885),
    "selu": (0.0, 1.7581),
    "hardswish": (-0.5, 1.5),
    "sin": (-1.0, 1.0),
}


def get_activation(name: str) -> Activation:
    """The activation called ``name``; InputError, with the reason, for one that the certificate does not cover."""
    if isinstance(name, Activation):
        return name
    if name in _FAMILY:
        return _FAMILY[name]
    expected = f"use {', '.join(ACTIVATIONS[:-1])} or {ACTIVATIONS[-1]}"
    if name in _SLOPES:
        low, high = _SLOPES[name]
        raise InputError(
            f"activation {name!r}: its slope ranges over [{low:g}, {high:g}], and the contraction certificate holds"
            f" only for slopes in [0, 1]; {expected}"
        )
    near = difflib.get_close_matches(str(name).lower(), ACTIVATIONS, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise InputError(
        f"activation {name!r} is not known{hint}: the contraction certificate needs a function whose slope is known"
        f" to stay in [0, 1]; {expected}"
    )
