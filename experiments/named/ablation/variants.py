"""What is varied: plants, factors and their settings. One factor at a time; everything else stays as in the default."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from systems import System


@dataclass(frozen=True)
class Case:
    """A plant and the options of ``fit`` that hold for all its variants."""

    name: str
    make: Callable[[], "System"]
    dt: float
    method: str
    trajectories: int
    options: Mapping[str, Any]


@dataclass(frozen=True)
class FitVariant:
    """One setting of one factor: ``options`` replace those of the case. ``reference``: the default itself."""

    factor: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    reference: bool = False

    @property
    def key(self) -> str:
        """Name of its folder."""
        return f"{self.factor}-{self.name}".replace(" ", "_").replace("%", "").replace(".", "_")


def cases() -> tuple[Case, ...]:
    """The box of arXiv 2306.12612 and the Van der Pol oscillator, at rates that a person would ask for."""
    from systems import box, van_der_pol

    return (
        Case("box", box, 0.01, "euler", 40, {"neurons": 20, "contraction_rate": 0.95}),
        Case("van_der_pol", van_der_pol, 0.05, "rk4", 40, {"neurons": 12, "contraction_rate": 0.80}),
    )


#: Titles of the factors, in the order of the page. The names of factors and variants are keys in stored files: they stay.
FACTORS: dict[str, str] = {
    "neurons": "What the neurons see",
    "start": "Initial weights",
    "solver": "Solver",
    "activation": "Activation",
    "headroom": "Rate margin: how far the rate asked for lies above the fastest possible",
    "data": "Where the training transitions are",
}

DEFAULT = FitVariant("default", "default", reference=True)

VARIANTS: tuple[FitVariant, ...] = (
    DEFAULT,
    FitVariant("neurons", "plain state", {"start": "plain"}),
    FitVariant("start", "neurons silent", {"start": "silent"}),
    FitVariant("start", "random weights", {"start": "random"}),
    FitVariant("solver", "levenberg_marquardt", {"solver": "levenberg_marquardt"}),
    FitVariant("solver", "lbfgs", {"solver": "lbfgs"}),
    FitVariant("solver", "adam", {"solver": "adam"}),
    FitVariant("activation", "relu", {"activation": "relu"}),
    FitVariant("activation", "sigmoid", {"activation": "sigmoid"}),
    FitVariant("headroom", "1 %", {"headroom": 0.01}),
    FitVariant("headroom", "5 %", {"headroom": 0.05}),
    FitVariant("headroom", "15 %", {"headroom": 0.15}),
    FitVariant("data", "trajectories alone", {"region_share": 0.0}),
    FitVariant("data", "region alone", {"region_share": 1.0}),
)

DEFAULT_NAMES: dict[str, str] = {
    "neurons": "projected state", "start": "projection observer", "solver": "gauss_newton", "activation": "tanh",
    "headroom": "as asked", "data": "half and half",
}  # fmt: skip
