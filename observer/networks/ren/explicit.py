"""The explicit REN: the matrices that are evaluated, certified and shipped."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from observer.networks.activations import get_activation
from observer.networks.explicit_weights import RecurrentWeights, to_array
from observer.networks.kernels.equilibrium import solve_equilibrium
from observer.networks.shapes import check_shape
from systems.base.errors import InputError

WEIGHTS: tuple[str, ...] = ("A", "B1", "B2", "C1", "C2", "D11", "D12", "D21", "D22", "bx", "bv", "by")
_SYMBOLS = {
    "A": ("nx", "nx"),
    "B1": ("nx", "nv"),
    "B2": ("nx", "nu"),
    "C1": ("nv", "nx"),
    "C2": ("ny", "nx"),
    "D11": ("nv", "nv"),
    "D12": ("nv", "nu"),
    "D21": ("ny", "nv"),
    "D22": ("ny", "nu"),
    "bx": ("nx",),
    "bv": ("nv",),
    "by": ("ny",),
}


@dataclass(frozen=True, eq=False)
class ExplicitREN(RecurrentWeights):
    """A recurrent equilibrium network in explicit form (MATH 2a).

        x+ = A x + B1 w + B2 u + bx
        w  = sigma(v),   v = C1 x + D11 w + D12 u + bv
        y  = C2 x + D21 w + D22 u + by

    Shapes: A (nx, nx), B1 (nx, nv), B2 (nx, nu), C1 (nv, nx), C2 (ny, nx), D11 (nv, nv), D12 (nv, nu), D21 (ny, nv),
    D22 (ny, nu), bx (nx,), bv (nv,), by (ny,); nv = 0 is a linear model. All are NumPy arrays, or all torch tensors.
    D11 is strictly lower triangular: only that part of it is read, so that w is found row by row; the certificate
    (``observer.certification``) refuses anything above. Values are not checked here, shapes are.

    Errors: InputError for a wrong shape, a mixture of arrays and tensors, or an activation without a certificate.
    Source: Revay, Wang, Manchester, "Recurrent Equilibrium Networks", IEEE TAC 2023 (arXiv 2104.05942).
    """

    A: Any
    B1: Any
    B2: Any
    C1: Any
    C2: Any
    D11: Any
    D12: Any
    D21: Any
    D22: Any
    bx: Any
    bv: Any
    by: Any
    activation: str = "tanh"

    def __post_init__(self) -> None:
        get_activation(self.activation)
        kinds = {name: isinstance(getattr(self, name), np.ndarray) for name in WEIGHTS}
        if len(set(kinds.values())) > 1:
            arrays = ", ".join(name for name in WEIGHTS if kinds[name])
            raise InputError(
                f"only {arrays} are NumPy arrays; expected all weights to be of one kind: convert the others"
            )
        for name in ("A", "D11", "B2", "C2"):
            shape = getattr(getattr(self, name), "shape", ())
            if len(shape) != 2:
                raise InputError(f"{name} has shape {tuple(shape)}; expected ({', '.join(_SYMBOLS[name])}), two axes")
        sizes = {"nx": self.nx, "nv": int(self.D11.shape[0]), "nu": self.nu, "ny": self.ny}
        for name, symbols in _SYMBOLS.items():
            expected = tuple(sizes[symbol] for symbol in symbols)
            check_shape(name, getattr(self, name), expected, f"({', '.join(symbols)}{',' * (len(symbols) == 1)})")

    @classmethod
    def with_identity_output(cls, A, B1, B2, C1, D11, D12, bx, bv, activation: str = "tanh") -> "ExplicitREN":
        """The REN whose output is its state: C2 = I, D21 = 0, D22 = 0, by = 0. The form of every observer here."""
        if isinstance(A, np.ndarray):
            eye, zeros = np.eye(A.shape[0], dtype=A.dtype), lambda *shape: np.zeros(shape, dtype=A.dtype)
        else:
            eye, zeros = A.new_zeros(A.shape).fill_diagonal_(1), lambda *shape: A.new_zeros(shape)
        nx, nv, nu = A.shape[0], D11.shape[0], B2.shape[1]
        return cls(A, B1, B2, C1, eye, D11, D12, zeros(nx, nv), zeros(nx, nu), bx, bv, zeros(nx), activation)

    @property
    def has_identity_output(self) -> bool:
        """Whether y = x exactly."""
        if self.ny != self.nx:
            return False
        eye = ExplicitREN.with_identity_output(
            self.A, self.B1, self.B2, self.C1, self.D11, self.D12, self.bx, self.bv, self.activation
        )
        return all(bool((getattr(self, name) == getattr(eye, name)).all()) for name in ("C2", "D21", "D22", "by"))

    def weights(self) -> dict[str, Any]:
        """The twelve weights by name, in the order of ``WEIGHTS``."""
        return {name: getattr(self, name) for name in WEIGHTS}

    def with_weights(self, **changes: Any) -> "ExplicitREN":
        """A copy with some of the weights replaced, by name."""
        return replace(self, **changes)

    def to_torch(self, dtype: Any = None) -> "ExplicitREN":
        """A copy with torch tensors of ``dtype``: a torch.dtype, or None to keep the precision of the weights."""
        import torch

        return self.with_weights(
            **{k: torch.as_tensor(to_array(v, None), dtype=dtype) for k, v in self.weights().items()}
        )

    def equilibrium(self, x: Any, u: Any, kernel: str = "auto") -> Any:
        """The neurons w (..., nv) of w = sigma(C1 x + D11 w + D12 u + bv), for x (..., nx) and u (..., nu)."""
        b = _affine(self.bv, (self.C1, x), (self.D12, u))
        return solve_equilibrium(self.D11, b, self.activation, kernel)

    def next_state(self, x: Any, u: Any, kernel: str = "auto") -> Any:
        """x+ (..., nx) alone, for x (..., nx) and u (..., nu): all that an observer with identity output needs.

        With ``kernel`` "auto" it is one operation where gradients are recorded (``fused_step``).
        """
        if kernel == "auto" and len(self.D11) and not isinstance(self.A, np.ndarray):
            from observer.networks.kernels.fused_step import NextState, fits

            names = ("A", "B1", "B2", "C1", "D11", "D12", "bx", "bv")
            weights = {name: getattr(self, name) for name in names}
            if fits(x, u, weights):
                return NextState.apply(x, u, *weights.values(), get_activation(self.activation).code)
        return self._next(x, self.equilibrium(x, u, kernel), u)

    def step(self, x: Any, u: Any, kernel: str = "auto") -> tuple[Any, Any]:
        """One step: (x+ (..., nx), y (..., ny)) for x (..., nx) and u (..., nu), leading axes batched."""
        w = self.equilibrium(x, u, kernel)
        return self._next(x, w, u), _affine(self.by, (self.C2, x), (self.D21, w), (self.D22, u))

    def _next(self, x: Any, w: Any, u: Any) -> Any:
        return _affine(self.bx, (self.A, x), (self.B1, w), (self.B2, u))


def _affine(bias: Any, *terms: tuple[Any, Any]) -> Any:
    """bias (n,) + sum of M z over the terms (M (n, m), z (..., m)), of shape (..., n).

    One axis of samples: computed as M z' and transposed by a view, neurons-major in memory, the layout of the
    equilibrium kernels. In training this saves their copies, in both directions.
    """
    shapes = {z.shape[:-1] for _, z in terms}
    if len(shapes) != 1 or len(shapes.pop()) != 1:
        return sum((z @ M.T for M, z in terms[1:]), terms[0][1] @ terms[0][0].T) + bias
    if isinstance(bias, np.ndarray):
        return (sum((M @ z.T for M, z in terms[1:]), terms[0][0] @ terms[0][1].T) + bias[:, None]).T
    result = bias[:, None]
    for M, z in terms:
        result = result.addmm(M, z.T)
    return result.T
