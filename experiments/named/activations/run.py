"""``observer experiment activations``: relu, tanh and sigmoid, for accuracy, tightness of what is proved, and speed.

Three tasks: an LBDN fits a step (``curve_fit``), an LBDN classifies digits, and a contracting REN becomes the observer of two
plants. Tightness is what ascent attains over what is certified: the slope over gamma, and the factor of one step over alpha*.
All three activations have slopes in [0, 1], which is all that the certificates use; sigmoid reaches 1/4 only, so
that its bounds cannot be tight unless the scalings make up for it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.named.contracting import run as contracting
from experiments.named.curve_fit import run as curve_fit
from experiments.runner import Measured, Parts, Size, one_thread
from observer.networks.activations import ACTIVATIONS

if TYPE_CHECKING:
    from observer import ExplicitREN
    from systems import System


@dataclass(frozen=True)
class ActivationsSize(Size):
    """Seeds of each task, fits of observers (neurons, iterations) and of LBDNs (``step_iterations``, ``digit_passes`` over the
    images), pairs and steps of the ascent.
    """

    seeds: int = 3
    plants: tuple[str, ...] = ("van_der_pol", "box")
    neurons: int = 12
    iterations: int = 300
    step_iterations: int = 3000
    digit_passes: int = 60
    hidden: tuple[int, ...] = (64, 64)
    gamma: float = 5.0
    pairs: int = 256
    ascent: int = 300
    points: int = 4096
    train: int | None = None


FULL = ActivationsSize()
SMOKE = ActivationsSize(
    seeds=1, plants=("van_der_pol",), neurons=3, iterations=4, step_iterations=60, digit_passes=4, hidden=(8,), pairs=16, ascent=20,
    points=128, train=300, name="smoke",
)  # fmt: skip


@one_thread()
def measure(size: ActivationsSize, seed: int, parts: Parts) -> Measured:
    """Measure every activation on every task; it passes when no bound is exceeded and every proof holds.

    Rows: task -> activation -> one per seed.
    """
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for task in ("step", "digits", *size.plants):
        for activation in ACTIVATIONS:
            for s in range(seed, seed + size.seeds):
                key = {"size": size.to_data(seeds=s), "task": task, "activation": activation}
                row = parts.keep(f"parts/{task}-{activation}-{s}", key, measure_task, task, size, activation, s)
                found.setdefault(task, {}).setdefault(activation, []).append(row)
                parts.say(
                    f"{task}, {activation}, seed {s}: {row['what']} {row['value']:.4g}, attained / certified "
                    f"{row['attained'] / row['certified']:.4f}, {row['seconds']:.1f} s"
                )
    return Measured(size, seed, found)


def measure_task(task: str, size: ActivationsSize, activation: str, seed: int) -> dict[str, Any]:
    """One fit: of the step, of the digits, or of the observer of the plant with the name ``task``."""
    if task == "step":
        return step(size, activation, seed)
    return digits(size, activation, seed) if task == "digits" else observer(size, task, activation, seed)


def step(size: ActivationsSize, activation: str, seed: int) -> dict[str, Any]:
    """The step of ``curve_fit``: loss over the least possible one, slope over gamma."""
    task = curve_fit.CurveFitSize(iterations=size.step_iterations, activation=activation)
    row = curve_fit.fit_step(task, seed)
    return {
        "what": "loss over the least", "value": row["loss"] / row["least_loss"], "attained": row["slope"], "certified": task.gamma,
        "proved": row["proved"], "seconds": row["seconds"], "speed": forward_time(1, task.hidden, activation),
    }  # fmt: skip


def digits(size: ActivationsSize, activation: str, seed: int) -> dict[str, Any]:
    """Digits of 8 x 8 pixels: errors in per cent, certified accuracy at 0.3, gain by ascent over pairs of images."""
    import torch

    from experiments.named.classification.data import load_images
    from experiments.named.classification.measure import bounded, tensors
    from experiments.named.classification.training import train
    from observer.networks import LBDN

    images = load_images()
    images = images if size.train is None else images.thinned(size.train, 100)
    x, y, _, _ = tensors(images)
    network = LBDN(64, size.hidden, 10, gamma=size.gamma, activation=activation, seed=seed, dtype="float32")
    late = max(1, size.digit_passes // 3)
    seconds = train(network, x, y, ((max(1, size.digit_passes - late), 1e-3), (late, 1e-4)), batch=50, seed=seed)
    classifier = bounded(network, seconds)
    test, labels = torch.from_numpy(images.test_x), torch.from_numpy(images.test_y)
    with torch.no_grad():
        errors = float((classifier.exact(test).argmax(dim=1) != labels).double().mean())
    return {
        "what": "errors [%]", "value": 100 * errors, "attained": largest_gain(classifier.exact, test, size, seed),
        "certified": size.gamma, "proved": classifier.facts["proved"], "seconds": seconds,
        "certified_accuracy": float((classifier.radius(test, labels) > 0.3).mean()),
        "speed": forward_time(64, size.hidden, activation),
    }  # fmt: skip


def largest_gain(logits: Any, x: Any, size: ActivationsSize, seed: int) -> float:
    """The largest |f(a) - f(b)| / |a - b| that ascent over pairs attains, from images and near neighbours of them."""
    import torch

    from observer.networks.kernels.optimizer import Adam

    generator = torch.Generator().manual_seed(seed)
    a = x[torch.randint(0, len(x), (size.pairs,), generator=generator)].clone()
    b = a + 0.3 * torch.randn(a.shape, generator=generator, dtype=a.dtype) / a.shape[1] ** 0.5
    a, b = a.requires_grad_(True), b.requires_grad_(True)
    optimizer, best = Adam([a, b], 0.01), 0.0
    for _ in range(size.ascent):
        optimizer.zero_grad()
        gain = (logits(a) - logits(b)).norm(dim=1) / (a - b).norm(dim=1).clamp_min(1e-6)
        best = max(best, float(gain.detach().max()))
        (-gain.log().sum()).backward()
        optimizer.step()
    return best


def observer(size: ActivationsSize, name: str, activation: str, seed: int) -> dict[str, Any]:
    """The fit of an observer: held-out loss in half ranges, and the factor of one step over the certified rate."""
    from observer import fit
    from observer.certification.contraction import contraction_rate
    from systems import discretize, load_system, simulate

    system = load_system(name)
    plant = discretize(system)
    data = simulate(plant, 60, float(system.duration or 20.0), seed)
    begin = time.process_time()
    fitted = fit(plant, data, size.neurons, activation=activation, iterations=size.iterations, seed=seed)
    seconds = time.process_time() - begin
    w, M, Lam = fitted.observer.weights, fitted.observer.metric, fitted.observer.multipliers
    rng = np.random.default_rng([seed, 11])
    attained = climb_near(w, M, system, size.points, rng)
    x0 = np.zeros((100, plant.nx))
    u, y = np.zeros((100, 400, plant.nu)), rng.uniform(-1, 1, (100, 400, plant.ny))
    return {
        "what": "one-step RMS / half range", "value": float(np.sqrt(np.mean((fitted.one_step_rms / half_ranges(system)) ** 2))),
        "attained": attained, "certified": contraction_rate(w, M, Lam), "proved": fitted.observer.contraction_rate < 1,
        "seconds": seconds, "speed": best_time(lambda: fitted.observer.run(x0, u, y)) / (100 * 399),
    }  # fmt: skip


def half_ranges(system: "System") -> np.ndarray:
    """Half of each state's range."""
    return 0.5 * np.ptp(system.state_ranges, axis=1)


def climb_near(w: "ExplicitREN", M: np.ndarray, system: "System", points: int, rng: np.random.Generator) -> float:
    """The largest one-step factor over random states and inputs of several sizes of the plant's region, climbed to."""
    from observer.networks.ren.explicit import ExplicitREN

    # In half ranges, so that a step of the climb is as large in every direction.
    scale = np.concatenate([half_ranges(system), 0.5 * np.ptp(system.input_ranges, axis=1)[: w.nu], np.ones(w.nu)])[
        : w.nx + w.nu
    ]
    S, U = np.diag(scale[: w.nx]), np.diag(scale[w.nx :])
    inverse = np.linalg.inv(S)
    scaled = ExplicitREN.with_identity_output(
        inverse @ w.A @ S,
        inverse @ w.B1,
        inverse @ w.B2 @ U,
        w.C1 @ S,
        w.D11,
        w.D12 @ U,
        inverse @ w.bx,
        w.bv,
        w.activation,
    )
    return contracting.climb(scaled, S @ M @ S, points, rng)


def forward_time(inputs: int, hidden: tuple[int, ...], activation: str) -> float:
    """Processor seconds of one evaluation of folded weights, in batches of 1,000 (float32)."""
    import torch

    from observer.networks import LBDN

    network = LBDN(inputs, hidden, 10, activation=activation, dtype="float32")
    with torch.no_grad():
        explicit, x = network.explicit(), torch.randn(1000, inputs)
        return best_time(lambda: explicit(x)) / 1000


def best_time(call: Callable[[], Any]) -> float:
    """The least processor time of seven calls [s], after one that does not count."""
    call()
    found = []
    for _ in range(7):
        begin = time.process_time()
        call()
        found.append(time.process_time() - begin)
    return min(found)
