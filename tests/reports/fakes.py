"""Runs with the shape of real ones, for plants of 1, 2, 3 and many states, without fitting anything.

The error obeys e+ = A e + r(x) with |A|_M = alpha*, so that every line of a figure stands where theory puts it: trials
lie under the certified decay until they reach the level of the residual.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from observer import Run
from observer.validation.result import Criterion
from systems.signals import Parameter, Signal

COMMAND = "observer run van_der_pol --out runs/vdp --seed 0"


class FakeValidation(SimpleNamespace):
    @property
    def error(self):
        return self.x_hat - self.x


def _derivative(x, u):
    nx = x.shape[-1]
    if nx == 1:
        return -x + u
    if nx == 2:
        return np.stack([x[..., 1], (1 - x[..., 0] ** 2) * x[..., 1] - x[..., 0] + u[..., 0]], -1)
    if nx == 3:
        a, b, c = np.moveaxis(x, -1, 0)
        return 0.2 * np.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c], -1)
    padded = np.concatenate([u, x, x[..., -1:]], -1)
    return 4 * (padded[..., 2:] - 2 * x + padded[..., :-2])


def fake_system(nx=2, **changes):
    names = {1: ["level"], 2: ["position", "velocity"], 3: ["x1", "x2", "x3"]}.get(
        nx, [f"node{i + 1}" for i in range(nx)]
    )
    units = {1: ["m"], 2: ["m", "m/s"], 3: ["", "", ""]}.get(nx, ["K"] * nx)
    spans = {3: [(-20.0, 20.0), (-25.0, 25.0), (0.0, 50.0)]}.get(nx, [(-3.0, 3.0)] * nx)
    states = tuple(Signal(n, u, s) for n, u, s in zip(names, units, spans, strict=True))
    fields = {
        "name": {2: "van_der_pol", 3: "lorenz"}.get(nx, f"chain of {nx}"),
        "states": states,
        "inputs": (Signal("force", "N", (-1.0, 1.0)),),
        "outputs": (Signal("y", units[0], noise=0.01),),
        "parameters": {"mu": Parameter(1.0, "1/s", (0.8, 1.2)), "mass": Parameter(2.5, "kg")},
        "dt": 0.05,
        "time_unit": "s",
        "kind": "continuous",
        "description": "A plant that exists only in tests.",
        "source": "Khalil, Nonlinear Systems, 3rd ed., example 1",
        "duration": 20.0,
        "feedback": None,
        "nx": nx,
        "nu": 1,
        "ny": 1,
        "fingerprint": "5d41402abc4b2a76b9719d911017c592ae3f1d2b6c7e8f90a1b2c3d4e5f60718",
    }
    fields |= changes
    fields["state_ranges"] = np.array([s.range for s in fields["states"]])
    fields["initial_ranges"] = np.array([s.initial or s.range for s in fields["states"]])
    return SimpleNamespace(**fields)


def fake_plant(system):
    return SimpleNamespace(
        system=system,
        dt=system.dt,
        method="rk4",
        substeps=2,
        error=np.full(system.nx, 3.2e-8),
        warnings=(),
        nx=system.nx,
    )


def _contraction(nx, dt):
    """A metric and an error dynamics A with |A|_M = alpha* exactly."""
    rate = float(np.exp(-3.0 * dt))
    generator = np.random.default_rng(nx)
    metric = np.diag(np.linspace(1.0, 1 / (3.0 * nx), nx)) + 0.02 * np.ones((nx, nx))
    root = np.linalg.cholesky(metric).T
    skew = generator.standard_normal((nx, nx)) / (8 * nx)
    skew = skew - skew.T
    orthogonal = np.linalg.solve(np.eye(nx) + skew, np.eye(nx) - skew)
    return metric, rate, np.linalg.solve(root, rate * orthogonal * np.linspace(1.0, 0.85, nx) @ root)


def fake_validation(system, trials=40, duration=12.0, seed=1, noise=False, diverge=(), slow=(), residual=2e-4):
    generator = np.random.default_rng(seed)
    nx, dt = system.nx, system.dt
    metric, rate, matrix = _contraction(nx, dt)
    count = round(duration / dt) + 1
    t = dt * np.arange(count)
    ranges = np.array([s.range for s in system.states])
    width = ranges[:, 1] - ranges[:, 0]
    x = np.empty((trials, count, nx))
    e = np.empty_like(x)
    u = 0.8 * np.sin(t[:, None] * generator.uniform(0.5, 2, trials))[..., None].swapaxes(0, 1)
    x[:, 0] = generator.uniform(ranges[:, 0], ranges[:, 1], (trials, nx))
    e[:, 0] = generator.uniform(ranges[:, 0], ranges[:, 1], (trials, nx)) - x[:, 0]
    largest = 0.0
    for k in range(count - 1):
        x[:, k + 1] = x[:, k]
        for _ in range(4):
            half = x[:, k + 1] + dt / 8 * _derivative(x[:, k + 1], u[:, k])
            x[:, k + 1] = x[:, k + 1] + dt / 4 * _derivative(half, u[:, k])
        r = residual * width * np.sin(6 * x[:, k] / width)
        largest = max(largest, float(np.sqrt(np.einsum("ki,ij,kj->k", r, metric, r)).max()))
        e[:, k + 1] = e[:, k] @ matrix.T + r + (0.004 * width * generator.standard_normal((trials, nx)) if noise else 0)
    for k in slow:
        e[k] += 0.08 * width
    for k in diverge:
        start = count // 3
        e[k, start:] = e[k, start] * np.exp(np.linspace(0, 680, count - start))[:, None]
        e[k, -5:] = np.nan
    relative = np.where(np.isfinite(e), np.abs(e), np.inf) / width
    diverged = (relative > 10).any((1, 2))
    window = (duration / 2, duration)
    late = relative[:, t >= window[0]]
    if noise:  # judged by its RMS
        late = np.sqrt(np.mean(late**2, axis=1, keepdims=True))
    converged = (late <= 0.02).all((1, 2))
    above = relative > 0.02
    last = np.where(above.any(1), count - 1 - np.argmax(above[:, ::-1], 1), 0)
    settling = np.where(last >= count - 1, np.nan, t[np.minimum(last + 1, count - 1)])
    good = ~diverged
    late_error = e[good][:, t >= window[0]]
    share = float(converged.mean())
    criteria = (
        Criterion(name="converged fraction", value=share, requirement="at least 0.99", passed=share >= 0.99),
        Criterion(name="diverged trials", value=int(diverged.sum()), requirement="0", passed=not diverged.any()),
        Criterion(name="certificate holds", value=True, requirement="yes", passed=True),
    )
    with np.errstate(all="ignore"):
        error_norm = np.sqrt(np.einsum("kni,ij,knj->kn", e, metric, e))
    passed = all(c.passed for c in criteria)
    return FakeValidation(
        t=t,
        x=x,
        x_hat=x + e,
        u=u,
        y=x[..., :1],
        state_names=tuple(s.name for s in system.states),
        units=tuple(s.unit for s in system.states),
        ranges=ranges,
        periods=np.array([s.period or np.nan for s in system.states]),
        dt=dt,
        diverged=diverged,
        converged=converged,
        in_region=np.ones(trials, bool),
        left=np.zeros(trials, bool),
        judged=np.ones(trials, bool),
        trial_settling=settling,
        settling_time=np.array([np.median(np.where(np.isnan(c), np.inf, c)) for c in settling.T]),
        rms_error=np.sqrt((late_error**2).mean((0, 1))) if good.any() else np.full(nx, np.nan),
        max_error=np.abs(late_error).max((0, 1)) if good.any() else np.full(nx, np.nan),
        window=window,
        error_norm=error_norm,
        decay=rate ** np.arange(count),
        residual_level=largest,
        criteria=criteria,
        verdict="pass" if passed else "fail",
        plant_method="DOP853",
        seed=seed,
        noise=noise,
        converged_fraction=share,
        trials=trials,
        n_diverged=int(diverged.sum()),
    )


def fake_certificate(system, **changes):
    metric, rate, _ = _contraction(system.nx, system.dt)
    fields = {
        "rate": rate,
        "rate_per_second": -np.log(rate) / system.dt,
        "rate_bound": rate**0.95,
        "metric": metric,
        "multipliers": np.ones(20),
        "metric_condition": float(np.linalg.cond(metric)),
        "lmi_margin": 3.7e-5,
        "gain_y": 0.71,
        "gain_u": 0.052,
        "state_gain": np.sqrt(np.diag(np.linalg.inv(metric))),
        "holds": True,
        "reason": "the certificate holds for the matrices that are shipped",
        "bounds": None,
    }
    return SimpleNamespace(**(fields | changes))


def fake_fit(system, plant, iterations=60, **changes):
    nx, nu, ny, nv = system.nx, 1, 1, 20
    k = np.arange(iterations + 1)
    loss = 1e-10 + 3e-5 * np.exp(-k / 5) + 2e-7 * np.exp(-k / 18)
    generator = np.random.default_rng(0)
    weights = SimpleNamespace(
        A=np.eye(nx), B1=np.zeros((nx, nv)), B2=np.zeros((nx, nu + ny)), C1=np.zeros((nv, nx)), D11=np.zeros((nv, nv)),
        D12=np.zeros((nv, nu + ny)), bx=np.zeros(nx), bv=np.zeros(nv), nx=nx, nu=nu + ny, nv=nv, ny=nx,
        activation="tanh",
    )  # fmt: skip
    fields = {
        "observer": SimpleNamespace(weights=weights, contraction_rate=0.87, system=system, dt=system.dt),
        "plant": plant,
        "status": "converged",
        "message": "The loss no longer falls. Nothing to do.",
        "solver": "gauss-newton",
        "history": {
            "iteration": k,
            "seconds": np.cumsum(0.03 + 0.02 * generator.random(iterations + 1)),
            "loss": loss,
            "held_out": 1.2 * loss * np.exp(0.1 * generator.standard_normal(iterations + 1)),
            "damping": np.ones(iterations + 1),
            "stage": np.where(k < 20, "start", "refine"),
        },
        "one_step_loss": 1.3e-10,
        "one_step_rms": np.linspace(4e-6, 2e-5, nx),
        "start_loss": 3e-5,
        "seconds": 2.61,
        "iterations": iterations,
        "seed": 0,
        "options": {"neurons": nv, "settling_time": 1.5, "activation": "tanh", "dtype": "float64"},
        "search": SimpleNamespace(metric=np.eye(nx), rate=0.83, condition=97.3, gain=1.4, samples=3000),
        "region": np.array([s.range for s in system.states]) * 1.2,
        "warnings": (),
    }
    return SimpleNamespace(**(fields | changes))


def fake_run(nx=2, path="run", **validation):
    """A whole run: what ``write_report`` is given."""
    system = fake_system(nx)
    plant = fake_plant(system)
    return Run(
        Path(path),
        plant,
        fake_fit(system, plant),
        certificate=fake_certificate(system),
        validation=fake_validation(system, **validation),
    )


def fake_starts(system, goals=("settling", "late")):
    """Worst initial states and a map of closed form: the error decays from 40 % of a range, twice as fast from random ones."""
    from observer.validation.worst_cases import ConvergenceMap, WorstCaseStudy, WorstInitialStates

    nx, t = system.nx, 0.05 * np.arange(200)
    width = np.array([s.range[1] - s.range[0] for s in system.states])
    slow, fast = (0.4 * np.exp(-r * t)[:, None] * width for r in (1.0, 2.0))
    worst = {
        goal: WorstInitialStates(
            goal, np.ones(nx), -np.ones(nx), np.zeros(1), value, 0.5 * value, nx - 1, 300, t, slow, fast
        )
        for goal, value in zip(goals, (3.0, 2e-3), strict=True)
    }
    states = tuple(range(min(nx, 2)))
    first = np.linspace(*system.states[0].range, 9)
    second = np.linspace(*system.states[1].range, 9) if nx > 1 else np.full(1, np.nan)
    settling = np.hypot(first[:, None], 0.5 * np.nan_to_num(second)[None, :])
    late = 1e-3 * np.exp(settling)
    settling[0, 0], settling[-1, -1], late[-1, -1] = np.inf, np.nan, np.nan
    return WorstCaseStudy(worst, ConvergenceMap(states, first, second, settling, late, 10.0, 5.0), 1e-3)
