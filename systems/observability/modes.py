"""Fast and slow modes over the region, and what they ask of the sampling time and of the integration method.

Eigenvalues lambda of df/dx at points of the region: time constants 1/|lambda|, periods 2 pi/|Im lambda|, and the stiffness
ratio |lambda|_max / |lambda|_min of one point, without integrators (|lambda| below 1e-7 of the fastest there).
"""

from dataclasses import dataclass

import numpy as np

from systems.discretization import MAX_SUBSTEPS, STABLE, DiscreteSystem
from systems.evaluation import evaluate, jacobian
from systems.integration import INTEGRATOR, time_scales
from systems.regions import states_and_inputs

STIFF = 1000.0  # ratio of fastest to slowest mode from which a plant is called stiff
FINE, COARSE = 500.0, 1.0  # samples per fastest time constant


@dataclass(frozen=True)
class Modes:
    """Result of :func:`find_modes`: seconds, over the region of a continuous plant.

    ``fastest``, ``typical`` and ``slowest`` time constants (infinite where there is none); ``stiffness`` the largest ratio at one
    point; ``integrators`` whether some mode has (almost) no rate of its own; ``period`` the shortest of an oscillation (infinite
    where nothing oscillates); ``growth`` the largest Re lambda in 1/s; ``samples_per_fastest`` fastest/dt; ``fast_decays`` whether
    the fastest mode is damped, so that it may be forgotten; ``advice`` sentences.
    """

    fastest: float
    typical: float
    slowest: float
    stiffness: float
    integrators: bool
    period: float
    growth: float
    samples_per_fastest: float
    fast_decays: bool
    advice: tuple[str, ...]


def find_modes(
    plant: DiscreteSystem, region: np.ndarray | None = None, samples: int = 64, seed: int = 0
) -> Modes | None:
    """The modes of a continuous plant over region ``(nx, 2)``; None for a map, and where no Jacobian is finite."""
    system = plant.system
    if system.kind != "continuous":
        return None
    region = system.state_ranges if region is None else region
    x, u = states_and_inputs(system, region, samples, seed)
    if system.region is None:
        x = np.concatenate([region.mean(axis=1)[None], x])
        u = np.concatenate([system.input_ranges.mean(axis=1)[None], u])
    slopes = evaluate(jacobian(system.dynamics, "x"), t=np.zeros(1), x=x, u=u, p=system.parameter_values)
    slopes = np.broadcast_to(slopes, (len(x), plant.nx, plant.nx))
    slopes = slopes[np.isfinite(slopes).all(axis=(1, 2))]
    if not len(slopes):
        return None
    values = np.linalg.eigvals(slopes)
    sizes = np.abs(values)
    top = sizes.max(axis=1)
    own = sizes > INTEGRATOR * np.maximum(top, 1e-300)[:, None]
    least = np.where(own, sizes, np.inf).min(axis=1)
    moving = top > 0
    fastest_size = float(top.max())
    ratio = float((top[moving] / least[moving]).max()) if moving.any() else 1.0
    turning = np.abs(values.imag)
    turning = float(turning[turning > INTEGRATOR * np.maximum(sizes, 1e-300)].max(initial=0.0))
    row, column = np.unravel_index(int(np.argmax(sizes)), sizes.shape)
    fastest = 1 / fastest_size if fastest_size > 0 else np.inf
    found = Modes(
        fastest=fastest,
        typical=time_scales(system)[1],
        slowest=float(1 / least[moving].min()) if moving.any() else np.inf,
        stiffness=ratio,
        integrators=bool((~own).any()),
        period=2 * np.pi / turning if turning > 0 else np.inf,
        growth=float(values.real.max()),
        samples_per_fastest=fastest / plant.dt,
        fast_decays=bool(values.real[row, column] < -0.1 * fastest_size),
        advice=(),
    )
    return Modes(**{**vars(found), "advice": tuple(_advice(plant, found))})


def _advice(plant: DiscreteSystem, found: Modes) -> list[str]:
    """What the modes ask of dt and method."""
    text, unit = [], plant.system.time_unit
    dt, per = plant.dt, found.samples_per_fastest
    if not np.isfinite(found.fastest):
        return []
    if dt > 0.5 * found.period:
        text.append(
            f"dt {dt:g} {unit} is longer than half a period of the fastest oscillation ({found.period:.3g} {unit}): sampling aliases it to "
            f"a slower one; take dt of at most {found.period / 10:.1g} {unit}"
        )
    elif per < COARSE and found.fast_decays:
        text.append(
            f"the fastest mode ({found.fastest:.3g} {unit}) dies away within a sample: it need not be estimated fast; "
            f"dt of {found.fastest:.1g} {unit} or less shows it"
        )
    elif per < COARSE:
        text.append(
            f"dt {dt:g} {unit} is coarser than the fastest mode ({found.fastest:.3g} {unit}); {found.fastest / 5:.1g} {unit} suits it"
        )
    elif per > FINE:
        text.append(
            f"dt {dt:g} {unit} is {per:.3g} times finer than the fastest mode ({found.fastest:.3g} {unit}): a rate per sample is then "
            f"close to 1 and every run long; {found.fastest / 20:.1g} {unit} would suffice"
        )
    needed = dt / (STABLE * found.fastest)
    if plant.method in ("rk4", "euler") and needed > MAX_SUBSTEPS:
        text.append(
            f"stiff: an explicit method needs about {needed:.0f} steps per sample for stability alone; use --method cvodes"
        )
    elif found.stiffness > STIFF:
        explicit = plant.method in ("rk4", "euler")
        steps = (
            f" with {plant.substeps} substep{'s' if plant.substeps > 1 else ''}, for a larger dt use --method cvodes"
        )
        text.append(
            f"stiff: the slowest mode takes {found.stiffness:.3g} times as long as the fastest; {plant.method} "
            f"{'stays' if explicit else 'is'} accurate at this dt{steps if explicit else ''}"
        )
    return text
