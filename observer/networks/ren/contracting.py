"""The contracting REN as a torch module: free parameters in, a network that contracts for every value of them out."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from observer.networks.activations import get_activation
from observer.networks.network import disturb
from observer.networks.proofs.guarantees import RENClaim, Verdict
from observer.networks.ren.direct_map import DirectToExplicit
from observer.networks.ren.explicit import ExplicitREN
from observer.networks.ren.initial_values import polar_scale, random_orthogonal
from observer.networks.ren.inverse_map import direct_parameters
from observer.networks.shapes import check_shape
from systems.base.errors import InputError

STARTS: tuple[str, ...] = ("random", "long_memory", "random_qr")
DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "float64": torch.float64}


class ContractingREN(torch.nn.Module):
    """Acyclic contracting REN with a rate bound, in direct (free) parameters (MATH 2a).

        H = X'X + eps I,   or polar   H = p^2 X'X / (|X|_F^2 + norm_eps) + eps I,   in blocks (nx | nv | nx)
        P = H33,  F = H31,  B1~ = H32,  C1~ = -H21,  E = (H11 + P/rate^2 + Y1 - Y1')/2,  Lam = diag(H22)/2
        A = E^-1 F,  B1 = E^-1 B1~,  B2 = E^-1 B2~,  C1 = Lam^-1 C1~,  D11 = -Lam^-1 stril(H22),  D12 = Lam^-1 D12~

    For every value of the parameters two solutions under the same input satisfy |dx+|_M <= rate |dx|_M with
    M = E' P^-1 E.

    Direct parameters: X (2 nx + nv, 2 nx + nv), Y1 (nx, nx), p (1,) if polar, B2 = B2~ (nx, nu), D12 = D12~ (nv, nu),
    bx (nx,), bv (nv,), and without identity output C2 (ny, nx), D21 (ny, nv), D22 (ny, nu), by (ny,).

    Parameters
    ----------
    nu, nx, nv, ny : numbers of inputs, states, neurons and outputs; nv = 0: linear; nx = 0: memoryless; ny = nx for
        identity output.
    contraction_rate : the bound per step, in (0, 1]. At 1 no rate is prescribed: error bounds need less than 1.
    activation : "relu", "tanh" or "sigmoid".
    polar : scale of H as one parameter of its own.
    feedthrough : "free" (D22 is a parameter) or "zero" (D22 = 0).
    identity_output : y = x; C2, D21, D22 and by are then constants and no parameters.
    eps : added to the diagonal of H. norm_eps : added inside the norm of the polar form; zero except for weights
        that came from an implementation which adds it.
    start : "random", "random_qr" (X orthogonal: H as well conditioned as can be), or "long_memory" (A near rate * I,
        and the neurons small enough for that rate). From a linear system: ``observer.networks.ren.from_linear``.
    seed : an integer or a ``torch.Generator``. dtype : "float64", "float32" or the torch dtype.

    Errors: InputError for sizes, a rate or options out of range. Source: arXiv 2104.05942, sections IV and V.
    """

    X: torch.Tensor
    Y1: torch.Tensor
    p: torch.Tensor
    B2: torch.Tensor
    C2: torch.Tensor
    D12: torch.Tensor
    D21: torch.Tensor
    D22: torch.Tensor
    bx: torch.Tensor
    bv: torch.Tensor
    by: torch.Tensor

    def __init__(
        self,
        nu: int,
        nx: int,
        nv: int,
        ny: int | None = None,
        *,
        contraction_rate: float = 0.95,
        activation: str = "tanh",
        polar: bool = True,
        identity_output: bool = False,
        feedthrough: str = "free",
        eps: float = 1e-9,
        norm_eps: float = 0.0,
        start: str = "random",
        seed: int | torch.Generator = 0,
        dtype: str | torch.dtype = "float64",
    ) -> None:
        super().__init__()
        ny = nx if ny is None else ny
        self.nu, self.nx, self.nv, self.ny = _sizes(nu=nu, nx=nx, nv=nv, ny=ny)
        self.contraction_rate = check_rate(contraction_rate)
        self.activation = get_activation(activation).name
        self.polar, self.identity_output = bool(polar), bool(identity_output)
        if self.identity_output and ny != nx:
            raise InputError(f"ny is {ny} with identity output; expected ny = nx = {nx}, or identity_output=False")
        if feedthrough not in ("free", "zero"):
            raise InputError(f"feedthrough {feedthrough!r} is not known; expected free or zero")
        self.feedthrough = "zero" if self.identity_output else feedthrough
        for name, value in (("eps", eps), ("norm_eps", norm_eps)):
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name} is {value!r}; expected a finite number, zero or positive")
        self.eps, self.norm_eps = float(eps), float(norm_eps)
        if start not in STARTS:
            raise InputError(f"start {start!r} is not known; expected {' or '.join(STARTS)}")
        generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(int(seed))
        values = _random_start(self, generator)
        if start == "random_qr":
            values |= _orthogonal_start(self, generator)
        if start == "long_memory":
            values |= _long_memory_start(self, values, generator)
        for name, value in values.items():
            self.register_parameter(name, torch.nn.Parameter(value.to(_dtype(dtype))))

    def extra_repr(self) -> str:
        """One line for ``print``."""
        sizes = f"nu={self.nu}, nx={self.nx}, nv={self.nv}, ny={self.ny}"
        return (
            f"{sizes}, contraction_rate={self.contraction_rate:g}, activation={self.activation!r}, polar={self.polar}"
        )

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """The direct parameters of this network and their shapes."""
        nu, nx, nv, ny = self.nu, self.nx, self.nv, self.ny
        shapes: dict[str, tuple[int, ...]] = {"X": (2 * nx + nv, 2 * nx + nv), "Y1": (nx, nx)}
        if self.polar:
            shapes["p"] = (1,)
        shapes |= {"B2": (nx, nu), "D12": (nv, nu), "bx": (nx,), "bv": (nv,)}
        if not self.identity_output:
            free = {"D22": (ny, nu)} if self.feedthrough == "free" else {}
            shapes |= {"C2": (ny, nx), "D21": (ny, nv), **free, "by": (ny,)}
        return shapes

    def _implicit(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """H, E and the diagonal of Lam."""
        n, rate = self.nx, self.contraction_rate
        gram = self.X.T @ self.X
        if self.polar:
            gram = self.p**2 * gram / (self.X.square().sum() + self.norm_eps)
        H = gram + self.eps * torch.eye(2 * n + self.nv, dtype=gram.dtype, device=gram.device)
        P = H[n + self.nv :, n + self.nv :]
        E = (H[:n, :n] + P / rate**2 + self.Y1 - self.Y1.T) / 2
        return H, E, H.diagonal()[n : n + self.nv] / 2

    def explicit(self, kernel: str = "auto") -> ExplicitREN:
        """The explicit network, differentiable in the parameters. Computed at each call: hoist it out of time loops.

        ``kernel``: "fused" is one operation, differentiable once, for parameters in main memory; "reference" is made of
        ordinary torch operations: for second derivatives, ``torch.func`` and other devices. "auto" goes by the device.
        """
        if kernel not in ("auto", "fused", "reference"):
            raise InputError(f"explicit kernel {kernel!r} is not known; expected auto, fused or reference")
        if self.nx and (kernel == "fused" or (kernel == "auto" and self.X.device.type == "cpu")):
            p = self.p if self.polar else None
            numbers = (self.contraction_rate, self.eps, self.norm_eps)
            A, B1, B2, C1, D11, D12 = DirectToExplicit.apply(self.X, self.Y1, p, self.B2, self.D12, *numbers)
        else:
            A, B1, B2, C1, D11, D12 = self._explicit_reference()
        if self.identity_output:
            return ExplicitREN.with_identity_output(A, B1, B2, C1, D11, D12, self.bx, self.bv, self.activation)
        D22 = self.D22 if self.feedthrough == "free" else B2.new_zeros(self.ny, self.nu)
        return ExplicitREN(A, B1, B2, C1, self.C2, D11, D12, self.D21, D22, self.bx, self.bv, self.by, self.activation)

    def _explicit_reference(self) -> tuple[torch.Tensor, ...]:
        """A, B1, B2, C1, D11, D12 as the equations have it."""
        n, m = self.nx, self.nx + self.nv
        H, E, Lam = self._implicit()
        A, B1, B2 = torch.linalg.solve(E, torch.cat((H[m:, :n], H[m:, n:m], self.B2), dim=1)).split(
            (n, self.nv, self.nu), dim=1
        )
        per_row = Lam[:, None]
        return A, B1, B2, -H[n:m, :n] / per_row, -H[n:m, n:m].tril(-1) / per_row, self.D12 / per_row

    def metric(self) -> torch.Tensor:
        """M = E' P^-1 E (nx, nx), in which the network contracts."""
        H, E, _ = self._implicit()
        m = self.nx + self.nv
        M = E.T @ torch.linalg.solve(H[m:, m:], E)
        return (M + M.T) / 2

    def multipliers(self) -> torch.Tensor:
        """The diagonal of Lam (nv,)."""
        return self._implicit()[2]

    def certificate(self) -> RENClaim:
        """The contraction that is promised, with the metric and the multipliers that prove it, in float64."""
        M, Lam = (value.detach().double().cpu().numpy() for value in (self.metric(), self.multipliers()))
        return RENClaim(self.contraction_rate, M, Lam)

    def verify(self, explicit: ExplicitREN | None = None) -> Verdict:
        """Recompute the promise in float64 from ``explicit`` (the network's own where it is left out) alone."""
        with torch.no_grad():
            return self.certificate().verify(self.explicit() if explicit is None else explicit)

    @classmethod
    def example(cls, seed: int = 0) -> "ContractingREN":
        """A small network at random parameters, far from any start: what the contract tests run on."""
        return disturb(cls(2, 3, 5, 2, contraction_rate=0.9, seed=seed), seed + 1)

    def forward(self, x: torch.Tensor, u: torch.Tensor, kernel: str = "auto") -> tuple[torch.Tensor, torch.Tensor]:
        """One step: (x+ (..., nx), y (..., ny)) for x (..., nx) and u (..., nu)."""
        return self.explicit().step(x, u, kernel)

    def direct(self) -> dict[str, np.ndarray]:
        """The direct parameters as NumPy arrays, by name: what ``from_direct`` takes."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.named_parameters()}

    @classmethod
    def from_direct(cls, direct: Mapping[str, Any], *, contraction_rate: float, **options: Any) -> "ContractingREN":
        """A network with the given direct parameters; sizes, ``polar`` and ``identity_output`` follow from them.

        ``options`` are those of the constructor (activation, eps, norm_eps, dtype). Without "p" the form is not
        polar, without "C2" the output is the state. Other names in ``direct`` are an error.
        """
        arrays = {name: np.asarray(value) for name, value in direct.items()}
        missing = {"X", "Y1", "B2", "D12", "bx", "bv"} - arrays.keys()
        if missing:
            raise InputError(
                f"direct parameters: {', '.join(sorted(missing))} missing; got {', '.join(sorted(arrays))}"
            )
        (nx, nu), nv = arrays["B2"].shape, arrays["D12"].shape[0]
        options.setdefault("dtype", str(arrays["X"].dtype))
        options.setdefault("polar", "p" in arrays)
        options.setdefault("identity_output", "C2" not in arrays)
        ny = nx if options["identity_output"] else arrays["C2"].shape[0]
        ren = cls(nu, nx, nv, ny, contraction_rate=contraction_rate, **options)
        shapes = ren.parameter_shapes()
        if shapes.keys() != arrays.keys():
            raise InputError(
                f"direct parameters: got {', '.join(sorted(arrays))}; expected {', '.join(sorted(shapes))}"
            )
        with torch.no_grad():
            for name, shape in shapes.items():
                check_shape(f"direct parameter {name}", arrays[name], shape, name)
                getattr(ren, name).copy_(torch.as_tensor(arrays[name]))
        return ren

    @classmethod
    def from_explicit(
        cls,
        explicit: ExplicitREN,
        metric: np.ndarray,
        multipliers: np.ndarray,
        contraction_rate: float,
        *,
        polar: bool = True,
        identity_output: bool | None = None,
        eps: float = 1e-9,
        norm_eps: float = 0.0,
        dtype: str | torch.dtype = "float64",
    ) -> "ContractingREN":
        """Direct parameters whose explicit network is ``explicit`` (MATH 3, step 11), to rounding.

        metric M (nx, nx) and multipliers Lam (nv,) must certify the rate:
        Q = [[rate^2 M, -C1'Lam, A'M], [., 2Lam - Lam D11 - D11'Lam, B1'M], [., ., M]] > 0. The network's own metric is
        then a multiple of M. ``identity_output`` None takes it from the weights.

        Errors: ValueError with the smallest eigenvalue when Q is not positive definite; InputError when identity output
        is asked of a network that has another one.
        """
        rate, explicit = check_rate(contraction_rate), explicit.to_numpy()
        if identity_output is None:
            identity_output = explicit.has_identity_output
        elif identity_output and not explicit.has_identity_output:
            raise InputError(
                "identity_output is True, but the network has another output (C2, D21, D22, by); use False"
            )
        values = direct_parameters(explicit, metric, multipliers, rate, eps)
        if polar:
            values["p"] = np.sqrt(np.square(values["X"]).sum() + norm_eps)[None]
        if not identity_output:
            values |= {name: getattr(explicit, name) for name in ("C2", "D21", "D22", "by")}
        options = {"activation": explicit.activation, "polar": polar, "identity_output": identity_output}
        return cls.from_direct(values, contraction_rate=rate, eps=eps, norm_eps=norm_eps, dtype=dtype, **options)


def check_rate(rate: float) -> float:
    """``rate`` as a float in (0, 1], or InputError."""
    if not (isinstance(rate, int | float | np.floating) and 0 < rate <= 1):
        raise InputError(f"contraction_rate is {rate!r}; expected a number in (0, 1], the factor per step: try 0.95")
    return float(rate)


def _sizes(**sizes: int) -> tuple[int, ...]:
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
            raise InputError(f"{name} is {value!r}; expected a whole number, at least 0")
    return tuple(int(value) for value in sizes.values())


def _dtype(dtype: str | torch.dtype) -> torch.dtype:
    found = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if found not in DTYPES.values():
        raise InputError(f"dtype is {dtype!r}; expected {' or '.join(DTYPES)}")
    return found  # type: ignore[return-value]


def _random_start(ren: ContractingREN, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Glorot normal matrices and small normal biases; p such that the polar form starts at H = X'X + eps I."""
    values = {}
    for name, shape in ren.parameter_shapes().items():
        deviation = math.sqrt(2 / max(1, sum(shape)))
        values[name] = deviation * torch.randn(shape, generator=generator, dtype=torch.float64)
    if ren.polar:
        values["p"] = (values["X"].square().sum() + ren.norm_eps).sqrt()[None]
    return values


def _orthogonal_start(ren: ContractingREN, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """X orthogonal, so that H = (1 + eps) I."""
    X = random_orthogonal(2 * ren.nx + ren.nv, generator)
    return {"X": X, **({"p": polar_scale(X, ren.norm_eps)} if ren.polar else {})}


def _long_memory_start(
    ren: ContractingREN, values: dict[str, torch.Tensor], generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """A = rate (I - diag U[.001, .05]), M = Lam = I; B1, C1, D11 random, halved until the rate allows them."""
    rate, n, q = ren.contraction_rate, ren.nx, ren.nv
    A = rate * np.diag(0.999 - 0.049 * torch.rand(n, generator=generator, dtype=torch.float64).numpy())
    B1, C1, D11 = (
        torch.randn(shape, generator=generator, dtype=torch.float64).numpy() / math.sqrt(max(1, q))
        for shape in ((n, q), (q, n), (q, q))
    )
    other = {name: values[name].numpy() for name in ("B2", "D12", "bx", "bv")}
    scale = 1.0
    while True:
        explicit = ExplicitREN.with_identity_output(
            A, scale * B1, other["B2"], scale * C1, scale * np.tril(D11, -1), other["D12"], other["bx"], other["bv"]
        )
        try:
            found = direct_parameters(explicit, np.eye(n), np.ones(q), rate, ren.eps)
            break
        except ValueError:
            scale /= 2
    if ren.polar:
        found["p"] = np.sqrt(np.square(found["X"]).sum() + ren.norm_eps)[None]
    return {name: torch.from_numpy(value) for name, value in found.items()}
