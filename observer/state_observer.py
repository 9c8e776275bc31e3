"""What every observer does, and the contracting REN as an observer.

An observer is a predictor: x_hat[k+1] = f_o(x_hat[k], u[k], y[k]), all at the same sampling instant.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from observer.known_plant import nominal_inputs
from observer.networks.ren.explicit import ExplicitREN
from observer.networks.ren.rollout import rollout
from observer.scaling import Scaling
from systems.angles import Angles, angles, near, unwrapped
from systems.base.arrays import check_shapes, one_line
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.system import System


def check_last(name: str, value: Any, size: int, names: tuple[str, ...]) -> np.ndarray:
    """``value`` as floats ``(..., size)``, or an error that names the signals expected."""
    array = np.asarray(value, dtype=float)
    got = array.shape[-1] if array.ndim else None
    if got != size:
        expected = f"{size} ({', '.join(names)})" if names else str(size)
        raise InputError(
            f"{name} has {'no' if got is None else got} elements in its last dimension; expected {expected}"
        )
    return array


class StateObserver(ABC):
    """An observer of a sampled plant. ``state`` is an immutable value, batched over leading dimensions.

    Shapes: x_hat ``(..., nx)``, u ``(..., nu)`` (all inputs of the plant; only known ones are used), y ``(..., ny)``.
    A missing measurement is nan and is replaced by h(x_hat, u). Angles may be given on any branch
    (:mod:`systems.angles`): the branch of an estimate is that of the state's range, or of the initial estimate where the
    angle turns.
    """

    plant: DiscreteSystem

    @property
    def system(self) -> System:
        """The plant's signals and equations."""
        return self.plant.system

    @property
    def dt(self) -> float:
        """Seconds per sample."""
        return self.plant.dt

    def init(self, x_hat0: Any) -> Any:
        """The observer's state for an initial estimate: the estimate itself where the observer holds no more."""
        x_hat0 = check_last("x_hat0", x_hat0, self.system.nx, self.system.state_names)
        return np.array(angles(self.system).initial(x_hat0))

    @abstractmethod
    def step(self, state: Any, u: Any, y: Any) -> Any:
        """The state one sample later, from u and y at this sample."""

    def estimate(self, state: Any) -> np.ndarray:
        """x_hat of a state."""
        return state

    def covariance(self, state: Any) -> np.ndarray | None:
        """The estimate's covariance ``(..., nx, nx)`` where the observer has one."""
        return None

    def run(self, x_hat0: Any, u: Any, y: Any) -> np.ndarray:
        """Estimates ``(..., N, nx)`` along u ``(..., N, nu)`` and y ``(..., N, ny)``; row 0 is x_hat0.

        Row k uses measurements up to k-1 only, as a predictor must: it compares with x[k].
        """
        x_hat0, u, y = self._sequences(x_hat0, u, y)
        samples = u.shape[-2]
        result = np.empty((*x_hat0.shape[:-1], samples, self.system.nx))
        state = self.init(x_hat0)
        for k in range(samples):
            result[..., k, :] = self.estimate(state)
            if k + 1 < samples:
                state = self.step(state, u[..., k, :], y[..., k, :])
        return result

    def _sequences(self, x_hat0: Any, u: Any, y: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The arguments of ``run`` checked; x_hat0 broadcast to the batch."""
        system = self.system
        u = check_last("u", u, system.nu, system.input_names)
        y = check_last("y", y, system.ny, system.output_names)
        if u.ndim < 2 or y.ndim < 2 or u.shape[-2] != y.shape[-2]:
            raise InputError(f"u has shape {u.shape} and y {y.shape}; expected (..., N, size) with the same N")
        batch = np.broadcast_shapes(u.shape[:-2], y.shape[:-2], np.shape(x_hat0)[:-1])
        x_hat0 = angles(system).initial(check_last("x_hat0", x_hat0, system.nx, system.state_names))
        return np.broadcast_to(x_hat0, (*batch, system.nx)), u, y


#: shapes that the parts of a stored observer have
_STORED = {
    "A": ("nx", "nx"), "B1": ("nx", "nv"), "B2": ("nx", "nu"), "metric": ("nx", "nx"), "multipliers": ("nv",),
    "state_centre": ("nx",), "state_scale": ("nx",), "input_centre": ("nu",), "input_scale": ("nu",),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class RENObserver(StateObserver):
    """A contracting REN that predicts the plant one step ahead.

        x_hat+ = A x_hat + B1 w + B2 [u; y] + bx,   w = sigma(C1 x_hat + D11 w + D12 [u; y] + bv)

    Any two estimates under the same u and y approach each other: |dx+|_M <= rate |dx|_M for the bound
    ``contraction_rate`` (and for the sharper rate that :func:`observer.certify` finds), from anywhere in R^nx.

    ``weights``: explicit matrices in physical units, float64. ``metric`` M ``(nx, nx)`` and ``multipliers`` ``(nv,)``
    prove the rate. ``direct``: the free parameters they were made of, in network units, and ``scaling`` between the two.
    Its state *is* x_hat, so that ``x_hat = observer.step(x_hat, u, y)`` reads as in a textbook.

    Where an angle turns through, the network sees it, and what is measured of it, in the one turn of the region, and the turns are
    added again: f_o(x_hat + T e, u, y + T) = f_o(x_hat, u, y) + T e, and estimates under the same measurements approach each
    other as ever. How many turns there were is told by the measurement's own continuity, and the last angle that was measured belongs
    to the observer's state: ``init`` gives (x_hat, angle) as one longer vector. From a bare x_hat ``step`` goes on with the angle
    nearest to it.

    Source: Revay, Wang, Manchester, arXiv 2104.05942, section VIII; metric and rate: MATH 2a; angles: MATH 7.
    """

    weights: ExplicitREN
    metric: np.ndarray
    multipliers: np.ndarray
    contraction_rate: float
    scaling: Scaling
    direct: Mapping[str, np.ndarray]
    plant: DiscreteSystem
    eps: float = field(default=1e-9)

    def init(self, x_hat0: Any) -> np.ndarray:
        """The initial estimate, followed by its angles that turn."""
        x_hat0 = super().init(x_hat0)
        return np.concatenate([x_hat0, x_hat0[..., angles(self.system).turning]], axis=-1)

    def estimate(self, state: Any) -> np.ndarray:
        """x_hat of a state."""
        return state[..., : self.system.nx]

    def step(self, state: Any, u: Any, y: Any) -> np.ndarray:
        """x_hat[k+1] from x_hat[k], u[k] and y[k]."""
        system, known = self.system, angles(self.system)
        turning, state = known.turning, np.asarray(state, dtype=float)
        remembers = bool(len(turning)) and state.ndim > 0 and state.shape[-1] == system.nx + len(turning)
        x_hat = check_last("x_hat", state[..., : system.nx] if remembers else state, system.nx, system.state_names)
        u = check_last("u", u if system.nu else np.zeros(0), system.nu, system.input_names)
        y = check_last("y", y, system.ny, system.output_names)
        angle, shift = np.zeros(0), 0.0
        if known.any:
            angle = near(known.angle(y), state[..., system.nx :] if remembers else x_hat[..., turning], known.turn)
            angle = np.where(np.isnan(angle), x_hat[..., turning], angle)
            turns = known.turns(angle)
            shift = known.shift(turns)
            x_hat = x_hat - shift
            y = known.outputs(y, angle - turns * known.turn)
        if np.isnan(y).any():
            y = np.where(np.isnan(y), system.measure(x_hat, nominal_inputs(system, u)), y)
        v = u[..., system.known]
        batch = np.broadcast_shapes(v.shape[:-1], y.shape[:-1])
        v = np.concatenate(
            [np.broadcast_to(v, (*batch, v.shape[-1])), np.broadcast_to(y, (*batch, y.shape[-1]))], axis=-1
        )
        following = self.weights.next_state(x_hat, v) + shift
        if not remembers:
            return following
        return np.concatenate([following, np.broadcast_to(angle, (*following.shape[:-1], len(turning)))], axis=-1)

    def run(self, x_hat0: Any, u: Any, y: Any) -> np.ndarray:
        """As for every observer, in one compiled loop over all samples where no measurement is missing."""
        first, u_all, y_all = self._sequences(x_hat0, u, y)
        if u_all.shape[-2] < 2 or not self.weights.has_identity_output or np.isnan(y_all[..., :-1, :]).any():
            return super().run(x_hat0, u, y)
        known, batch, weights = angles(self.system), first.shape[:-1], self.weights
        v = [
            np.broadcast_to(a, (*batch, *a.shape[-2:]))
            for a in (u_all[..., :-1, self.system.known], y_all[..., :-1, :])
        ]
        if known.any:
            angle = unwrapped(known.angle(v[1]), first[..., known.turning], known.turn)
            turns = known.turns(angle)
            v = [v[0], known.outputs(v[1], angle - turns * known.turn), turns]
            weights = self._with_turns(known)
        return rollout(weights, first, np.concatenate(v, axis=-1))[0]

    def _with_turns(self, known: Angles) -> ExplicitREN:
        """The network on x_hat as it is, with the whole turns n as further inputs: A (x - n T e) + n T e, and C1 (x - n T e)."""
        w, step = self.weights, known.shift(np.eye(len(known.turning))).T
        return replace(
            w,
            B2=np.hstack([w.B2, step - w.A @ step]),
            D12=np.hstack([w.D12, -w.C1 @ step]),
            D22=np.hstack([w.D22, 0 * step]),
        )

    # Storage ---------------------------------------------------------------------------------------------------------

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All numbers of the observer by name: ``weights.*``, ``direct.*``, ``scaling.*``, ``metric``, ``multipliers``."""
        arrays = {f"weights.{name}": value for name, value in self.weights.weights().items()}
        arrays |= {f"direct.{name}": np.asarray(value) for name, value in self.direct.items()}
        arrays |= {f"scaling.{name}": value for name, value in vars(self.scaling).items()}
        return arrays | {"metric": self.metric, "multipliers": self.multipliers}

    def meta(self) -> dict[str, Any]:
        """What is no array, JSON-able."""
        return {
            "kind": "ren",
            "activation": self.weights.activation,
            "contraction_rate": self.contraction_rate,
            "dt": self.dt,
            "eps": self.eps,
            "nx": self.weights.nx,
            "nu": self.weights.nu,
            "nv": self.weights.nv,
            "state_names": list(self.system.state_names),
            "input_names": [self.system.input_names[k] for k in self.system.known] + list(self.system.output_names),
        }

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any], plant: DiscreteSystem
    ) -> "RENObserver":
        """Rebuild from :meth:`to_arrays` and :meth:`meta`; raises :class:`InputError` for what does not fit ``plant``."""
        wrong = next((k for k, v in arrays.items() if k.startswith("weights.") and v.dtype != np.float64), None)
        if wrong is not None:
            raise InputError(f"{wrong} holds {arrays[wrong].dtype} numbers; expected float64, as they were certified")
        try:

            def group(prefix: str) -> dict[str, np.ndarray]:
                return {k.removeprefix(prefix): np.array(v) for k, v in arrays.items() if k.startswith(prefix)}

            observer = cls(
                weights=ExplicitREN(**group("weights."), activation=str(meta["activation"])),
                metric=np.array(arrays["metric"]),
                multipliers=np.array(arrays["multipliers"]),
                contraction_rate=float(meta["contraction_rate"]),
                scaling=Scaling(**group("scaling.")),
                direct=group("direct."),
                plant=plant,
                eps=float(meta["eps"]),
            )
            whole = {"state_scale": ("nx", "nx")} if observer.scaling.state_scale.ndim == 2 else {}
            parts = {"A": observer.weights.A, "B1": observer.weights.B1, "B2": observer.weights.B2}
            check_shapes(
                parts | {"metric": observer.metric, "multipliers": observer.multipliers, **vars(observer.scaling)},
                {**_STORED, **whole},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the stored observer cannot be read ({one_line(error)})") from error
        system, stored = plant.system, float(meta["dt"])
        unit = system.time_unit
        if not math.isclose(stored, plant.dt, rel_tol=1e-9):
            raise InputError(
                f"the stored observer was fitted for dt = {stored:g} {unit}; the plant is discretised at {plant.dt:g} {unit}"
            )
        if observer.weights.nx != system.nx or observer.weights.nu != len(system.known) + system.ny:
            raise InputError(
                f"the stored observer has {observer.weights.nx} states and {observer.weights.nu} inputs; the plant "
                f"'{system.name}' needs {system.nx} and {len(system.known) + system.ny}"
            )
        return observer
