"""R2DN: a robust recurrent deep network. A linear system around a feedforward network, certified as a whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from observer.networks.explicit_weights import RecurrentWeights
from observer.networks.feedforward.lbdn import LBDN, ExplicitLBDN
from observer.networks.linear_solves import cholesky, solve
from observer.networks.network import (
    RecurrentNetwork,
    check_positive,
    check_rate,
    check_sizes,
    disturb,
    make_generator,
    random_values,
)
from observer.networks.proofs.r2dn import R2DNGuarantee
from observer.networks.proofs.ren import Supply
from observer.networks.ren.direct_map import DirectMap, metric_of
from observer.networks.ren.explicit import ExplicitREN
from observer.networks.ren.initial_values import polar_scale
from observer.networks.ren.supply import contraction_block, inner_from_block, inner_shapes
from systems.base.errors import InputError
from systems.base.wording import shorten

_HALVINGS = 80
MATRICES: tuple[str, ...] = ("A", "B1", "B2", "C1", "C2", "D12", "D21", "D22", "bx", "bv", "by")


@dataclass(frozen=True, eq=False)
class ExplicitR2DN(RecurrentWeights):
    """x+ = A x + B1 w + B2 u + bx,  w = phi(C1 x + D12 u + bv),  y = C2 x + D21 w + D22 u + by.

    phi: the ``inner`` ExplicitLBDN, nv to nv. Shapes as in ``ExplicitREN``, which has D11 in place of phi.
    """

    A: Any
    B1: Any
    B2: Any
    C1: Any
    C2: Any
    D12: Any
    D21: Any
    D22: Any
    bx: Any
    bv: Any
    by: Any
    inner: ExplicitLBDN

    def step(self, x: Any, u: Any) -> tuple[Any, Any]:
        """One step: (x+ (..., nx), y (..., ny)) for x (..., nx) and u (..., nu)."""
        w = self.inner(x @ self.C1.T + u @ self.D12.T + self.bv)
        x_next = x @ self.A.T + w @ self.B1.T + u @ self.B2.T + self.bx
        return x_next, x @ self.C2.T + w @ self.D21.T + u @ self.D22.T + self.by

    def weights(self) -> dict[str, Any]:
        """The matrices, and W0, b0, ... of the inner network, by name."""
        return {name: getattr(self, name) for name in MATRICES} | self.inner.weights()

    def with_weights(self, **changes: Any) -> "ExplicitR2DN":
        """A copy with some of the weights replaced, by name."""
        own = {name: changes[name] for name in MATRICES if name in changes}
        rest = {name: value for name, value in changes.items() if name not in MATRICES}
        return replace(self, inner=self.inner.with_weights(**rest), **own)


class R2DN(RecurrentNetwork):
    """R2DN that contracts at a rate and, with ``gamma``, has a bounded incremental gain (MATH 2c).

        G = blkdiag(C1'C1, B1~B1~')   in the map of ``DirectMap`` without neurons of its own (H in blocks nx | nx)
        A = E^-1 H21,  B1 = E^-1 B1~

    so that |dx+|_M <= rate |dx|_M, M = E'P^-1 E, for any 1-Lipschitz phi. H is (2 nx, 2 nx), however deep phi is.
    With ``gamma``: D22 = 0, D12 = sqrt(gamma) N12, D21 = sqrt(gamma) N21 with N'N < I, B2 = E^-1 B2~, and

        G = J Rc^-1 J' + blkdiag(C1'C1 + C2'C2/gamma, 0),   J = [[-C2'D21/gamma, -C1'D12], [B1~, B2~]],
        Rc = blkdiag(I - D21'D21/gamma, gamma I - D12'D12):   |dx+|_M^2 <= rate^2 |dx|_M^2 + gamma |du|^2 - |dy|^2/gamma

    Direct parameters: X (2 nx, 2 nx), Y (nx, nx), p (1,) if polar, B1 = B1~ (nx, nv), C1 (nv, nx), B2 (nx, nu), C2
    (ny, nx), bx, bv, by; D12, D21, D22 without gamma, and X_in, Y_in, Z_in, X_out, Y_out, Z_out of N12 and N21 with it;
    those of the inner LBDN (gamma = 1) as inner_XYk, inner_ak, inner_dk, inner_bk.

    Parameters
    ----------
    nu, nx, nv, ny : inputs, states, width of the coupling, outputs. hidden : the layers of neurons of phi.
    contraction_rate : per step, in (0, 1]. gamma : the gain, or None for contraction alone.
    linear_output : of phi; False gives its last layer an activation, as one published implementation does.
    The rest as in ``REN``.

    Errors: InputError for sizes or numbers out of range. Source: Barbara, Wang, Manchester (arXiv 2504.01250), which
    has neither a rate below one nor, in its code, the gain.
    """

    Y: torch.Tensor
    B1: torch.Tensor
    C1: torch.Tensor

    def __init__(
        self,
        nu: int,
        nx: int,
        nv: int,
        ny: int,
        *,
        hidden: Sequence[int] = (32, 32),
        contraction_rate: float = 0.95,
        gamma: float | None = None,
        activation: str = "relu",
        polar: bool = True,
        linear_output: bool = True,
        eps: float = 1e-9,
        norm_eps: float = 0.0,
        seed: int | torch.Generator = 0,
        dtype: str | torch.dtype = "float64",
    ) -> None:
        super().__init__()
        self.nu, self.nx, self.ny = check_sizes(nu=nu, nx=nx, ny=ny)
        (self.nv,) = check_sizes(1, nv=nv)
        self.contraction_rate, self.polar = check_rate(contraction_rate), bool(polar)
        self.gamma = None if gamma is None else check_positive("gamma", gamma)
        self.eps, self.norm_eps = (check_positive(n, v, zero=True) for n, v in (("eps", eps), ("norm_eps", norm_eps)))
        generator = make_generator(seed)
        options = {"activation": activation, "linear_output": linear_output, "norm_eps": norm_eps, "dtype": dtype}
        inner = LBDN(nv, hidden, nv, seed=generator, **options)
        self.activation, self._inner = inner.activation, (inner,)  # in a tuple: its parameters are registered here
        values = random_values({k: v for k, v in self.parameter_shapes().items() if k[:6] != "inner_"}, generator)
        if self.polar:
            values["p"] = polar_scale(values["X"], self.norm_eps)
        self._register(values | {f"inner_{k}": v.detach() for k, v in inner.named_parameters()}, dtype)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """The direct parameters of this network and their shapes."""
        nu, nx, nv, ny = self.nu, self.nx, self.nv, self.ny
        shapes: dict[str, tuple[int, ...]] = {
            "X": (2 * nx, 2 * nx),
            "Y": (nx, nx),
            **({"p": (1,)} if self.polar else {}),
        }
        shapes |= {"B1": (nx, nv), "C1": (nv, nx), "B2": (nx, nu), "C2": (ny, nx)}
        if self.gamma is None:
            shapes |= {"D12": (nv, nu), "D21": (ny, nv), "D22": (ny, nu)}
        else:
            for end, sizes in (("in", (nu, nv)), ("out", (nv, ny))):
                shapes |= {f"{name[0]}_{end}": shape for name, shape in inner_shapes(*sizes).items()}
        shapes |= {"bx": (nx,), "bv": (nv,), "by": (ny,)}
        return shapes | {f"inner_{name}": shape for name, shape in self._inner[0].parameter_shapes().items()}

    @property
    def hidden_layers(self) -> tuple[int, ...]:
        """The neurons of each layer of phi but the last."""
        return self._inner[0].hidden

    def _inner_part(self) -> LBDN:
        """phi, with the parameters as they are registered here (a cast or a move replaces them)."""
        inner = self._inner[0]
        for name in inner.parameter_shapes():
            inner._parameters[name] = getattr(self, f"inner_{name}")
        return inner

    @property
    def direct_map(self) -> DirectMap:
        """The map from X, Y and p to H and E, with its inverse."""
        return DirectMap(self.contraction_rate, self.polar, self.eps, self.norm_eps)

    def _couplings(self, direct: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """D12, D21, D22."""
        if self.gamma is None:
            return direct["D12"], direct["D21"], direct["D22"]
        found = []
        for end, wide in (("in", self.nu > self.nv), ("out", self.nv > self.ny)):
            X, Y, Z = (direct[f"{name}_{end}"] for name in "XYZ")
            found.append(self.gamma**0.5 * contraction_block(X, Y, Z, self._inner_eps, wide=wide))
        return found[0], found[1], direct["B2"].new_zeros(self.ny, self.nu)

    @property
    def _inner_eps(self) -> float:
        return max(self.eps, 1e-9)

    def _added(self, direct: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """G (2 nx, 2 nx)."""
        gamma, (B1, B2, C1, C2) = self.gamma, (direct[name] for name in ("B1", "B2", "C1", "C2"))
        top = C1.T @ C1
        if gamma is None:
            return torch.block_diag(top, B1 @ B1.T)
        D12, D21, _ = self._couplings(direct)
        J = torch.cat((torch.cat((-C2.T @ D21 / gamma, -C1.T @ D12), dim=1), torch.cat((B1, B2), dim=1)))
        eye_v, eye_u = (torch.eye(size, dtype=J.dtype, device=J.device) for size in (self.nv, self.nu))
        Rc = torch.block_diag(eye_v - D21.T @ D21 / gamma, gamma * eye_u - D12.T @ D12)
        G = J @ torch.cholesky_solve(J.T, cholesky(Rc))
        return G + torch.block_diag(top + C2.T @ C2 / gamma, torch.zeros_like(top))

    def _implicit(self) -> tuple[torch.Tensor, torch.Tensor]:
        """H (2 nx, 2 nx) and E (nx, nx)."""
        return self.direct_map.implicit(self.X, self.Y, self.p if self.polar else None, self._added(self.tensors()))

    def explicit(self) -> ExplicitR2DN:
        """The explicit network, differentiable in the parameters. Computed at each call: hoist it out of time loops."""
        D12, D21, D22 = self._couplings(self.tensors())
        H, E = self._implicit()
        n = self.nx
        solved = solve(E, torch.cat((H[n:, :n], self.B1, self.B2), dim=1))
        A, B1, B2 = solved.split((n, self.nv, self.nu), dim=1)
        # Contraction does not depend on B2, which is then free as it is; the gain does.
        B2 = self.B2 if self.gamma is None else B2
        inner = self._inner_part().explicit()
        return ExplicitR2DN(A, B1, B2, self.C1, self.C2, D12, D21, D22, self.bx, self.bv, self.by, inner)

    @torch.no_grad()
    def guarantee(self) -> R2DNGuarantee:
        """Rate and gain, with the metric M = E'P^-1 E and the guarantee of the inner network."""
        M = metric_of(*(value.double() for value in self._implicit())).cpu().numpy()
        inner = self._inner_part().guarantee()
        return R2DNGuarantee(self.contraction_rate, M, inner, self.gamma, (self.ny, self.nu))

    def supply_arrays(self) -> Supply | None:
        """(-I/gamma, 0, gamma I), or None without gain."""
        return self.guarantee().supply

    @torch.no_grad()
    def load_explicit(self, explicit: ExplicitR2DN, metric: np.ndarray) -> "R2DN":
        """Take over, in place, direct parameters whose explicit network is ``explicit``, to rounding, but for phi.

            E = rate^2 M,  P = rate^4 M,  F = E A,  Y = 0,  B1~ = E B1,   X'X = [[E, F'], [F, P]] - eps I - G

        metric M (nx, nx) must certify the rate and the gain. phi keeps the parameters that it has: its folded weights do
        not determine them. Errors: ValueError where M leaves no room.
        """
        explicit = explicit.to_numpy()
        E = self.contraction_rate**2 * np.asarray(metric, float)
        F = E @ explicit.A
        free = ("C1", "C2", "bx", "bv", "by") + (("D12", "D21", "D22", "B2") if self.gamma is None else ())
        values = {name: getattr(explicit, name) for name in free} | {"B1": E @ explicit.B1, "Y": np.zeros_like(E)}
        if self.gamma is not None:
            values["B2"] = E @ explicit.B2
            for end, D in (("in", explicit.D12), ("out", explicit.D21)):
                inner = inner_from_block(D / self.gamma**0.5, self._inner_eps)
                values |= {f"{name[0]}_{end}": value for name, value in inner.items()}
        G = self._added({name: torch.as_tensor(value) for name, value in values.items()}).numpy()
        form = np.block([[E, F.T], [F, self.contraction_rate**2 * E]]) - G
        self.load_direct(self.direct() | values | self.direct_map.factor(form))
        return self

    def check_output(self, C2: np.ndarray, D22: np.ndarray) -> None:
        """InputError for a feedthrough beside a gain."""
        if D22.any() and self.gamma is not None:
            raise InputError("an R2DN with a gain has no feedthrough; expected D = 0, or gamma=None")

    def load_linear_part(self, explicit: ExplicitREN, metric: np.ndarray, multipliers: np.ndarray) -> "R2DN":
        """Take over, in place, a REN whose neurons act on nothing; with a gain D12 = 0, and C1 halved until it fits.

        Without a gain the metric is enlarged as far as C1 needs. The multipliers of an R2DN are those of phi.
        """
        C1, D12 = np.array(explicit.C1), np.array(explicit.D12)
        if self.gamma is not None:
            D12 *= 0
        elif self.nx:
            metric = max(1.0, 4 * (np.linalg.norm(C1, 2) ** 2 + self.eps) / self.contraction_rate**2) * metric
        weights = {name: getattr(explicit, name) for name in MATRICES} | {"D12": D12}
        inner = self._inner_part().explicit()
        for _ in range(_HALVINGS):
            try:
                return self.load_explicit(ExplicitR2DN(**{**weights, "C1": C1}, inner=inner), metric)
            except ValueError:
                C1 = C1 / 2
        raise InputError("the linear system meets the bound with no margin; raise gamma or contraction_rate")

    @classmethod
    def example(cls, seed: int = 0) -> "R2DN":
        """Contraction alone for even seeds, with a gain for odd ones."""
        gamma = 1.5 if seed % 2 else None
        return disturb(cls(2, 3, 4, 2, hidden=(5,), gamma=gamma, contraction_rate=0.9, seed=seed), seed + 1, 0.3)


def load_published(direct: dict[str, Any], **options: Any) -> R2DN:
    """An R2DN of the parameters of the reference implementation, whose names differ for the inner network only.

    ``direct``: X, Y, p, B1, B2, C1, C2, D12, D21, D22, bx, bv, by and network.layers_k.{XY, a, d, b} (k = 0, 1, ...).
    Rate 1 and an activation in the last inner layer, as there; ``options`` are those of the constructor.
    """
    inner, own = {}, {}
    for name, value in direct.items():
        if name.startswith("network.layers_"):
            layer, what = name.removeprefix("network.layers_").split(".")
            inner[f"inner_{what}{int(layer)}"] = np.asarray(value)
        else:
            own[name] = np.asarray(value)
    if not inner or not {"B1", "B2", "C2"} <= own.keys():
        raise InputError(
            f"got {shorten(', '.join(sorted(direct)), 200)}; expected the parameters of an R2DN, network.layers_0.XY too"
        )
    hidden = [inner[f"inner_b{k}"].shape[0] for k in range(sum(name.startswith("inner_b") for name in inner) - 1)]
    sizes = (own["B2"].shape[1], own["B1"].shape[0], own["B1"].shape[1], own["C2"].shape[0])
    options = {"contraction_rate": 1.0, "linear_output": False, "polar": "p" in own, **options}
    return R2DN(*sizes, hidden=hidden, **options).load_direct(own | inner)  # type: ignore[return-value]
