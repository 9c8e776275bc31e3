"""What all explicit networks share: weights by name, a copy in NumPy, and for recurrent ones the sizes."""

import abc
from typing import Any, Self

import numpy as np

from systems.base.errors import InputError


class ExplicitWeights(abc.ABC):
    """An explicit network as its named weights, all NumPy arrays or all torch tensors."""

    @abc.abstractmethod
    def weights(self) -> dict[str, Any]:
        """The weights by name."""

    @abc.abstractmethod
    def with_weights(self, **changes: Any) -> Self:
        """A copy with some of the weights replaced, by name."""

    def _replaced(self, changes: dict[str, Any]) -> dict[str, Any]:
        """All weights, some of them replaced; InputError for a name that is not one."""
        known = self.weights()
        if not changes.keys() <= known.keys():
            raise InputError(f"got the weights {', '.join(changes)}; expected some of {', '.join(known)}")
        return known | changes

    def to_numpy(self, dtype: Any = np.float64) -> Self:
        """A copy with NumPy arrays, real ones of ``dtype``, detached from any autograd graph."""
        return self.with_weights(**{name: to_array(value, dtype) for name, value in self.weights().items()})


class RecurrentWeights(ExplicitWeights):
    """Those with x+ = A x + B1 w + B2 u + bx and y = C2 x + ..., whose shapes tell the sizes."""

    @property
    def nx(self) -> int:
        """Number of states."""
        return int(self.weights()["A"].shape[0])

    @property
    def nu(self) -> int:
        """Number of inputs."""
        return int(self.weights()["B2"].shape[1])

    @property
    def nv(self) -> int:
        """Number of neurons, or width at which an inner network is coupled."""
        return int(self.weights()["B1"].shape[1])

    @property
    def ny(self) -> int:
        """Number of outputs."""
        return int(self.weights()["C2"].shape[0])


def to_array(value: Any, dtype: Any = np.float64) -> np.ndarray:
    """A NumPy copy, detached from any autograd graph; complex stays complex. ``dtype`` None keeps the precision."""
    array = value if isinstance(value, np.ndarray) else value.detach().cpu().numpy()
    return np.array(array, np.result_type(dtype, 1j) if np.iscomplexobj(array) else dtype)
