"""The plant and the data of a run: its source, its discretisation, and its trajectories from recipe and seed or from its logs."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from experiments.pipeline.logs import compared_logs, learn_from, learned_plant, timing_of
from experiments.pipeline.prepare import driven_plant
from experiments.pipeline.recipe import Recipe
from experiments.pipeline.verification.agreement import EPS, ROUNDINGS, compared
from experiments.pipeline.verification.findings import ABSENT, AGREES, DIFFERS, UNEXAMINED, Finding
from experiments.pipeline.verification.motion import motion_again
from observer import runs
from observer.runs import Run
from observer.storage import read_json
from systems import load_system
from systems.base.errors import InputError
from systems.base.records import to_plain
from systems.closed_loop import acting, is_driven, samples_inside, stays
from systems.integration import RTOL
from systems.process_noise import disturbed, process_noise, sample_deviation
from systems.trajectories import Trajectories, draw_commands, draw_initial_states, simulate


def plant_findings(run: Run, recipe: Recipe) -> Iterator[Finding]:
    """The plant as data, its measured discretisation error, and the source that it came from."""
    plant, path = run.plant, run.path / runs.SYSTEM
    document = read_json(path, changed=True)
    stored = {name: document.get(name) for name in ("system", "plant", "fingerprint")}
    anew = {"system": plant.system.to_data(), "plant": plant.to_data(), "fingerprint": plant.system.fingerprint}
    yield from compared(runs.SYSTEM, stored, to_plain(anew), near={"plant.error": error_rounding(run)})
    names = (
        ("dt", "substeps") if plant.system.kind == "discrete" else ("dt", "method", "substeps")
    )  # a map has no method
    settled = {name: value for name in names if (value := getattr(recipe, name)) is not None}
    sampling = {name: getattr(plant, name) for name in settled}
    yield from compared(runs.CONFIG, settled, sampling, what="sampling of the plant")
    yield from _source(run, recipe)


def error_rounding(run: Run) -> np.ndarray:
    """What the error of the discretisation ``(nx,)``, measured against the reference integrator, may be off by: that one's own."""
    return RTOL + 1e-4 * run.plant.error


def _source(run: Run, recipe: Recipe) -> Iterator[Finding]:
    """The plant read again from the library or from the copy of its file; a program is never run for it."""
    from experiments.pipeline.console import Console
    from experiments.pipeline.fine_tuning import noisy

    written, program = run.path / "source.toml", run.path / "source.py"
    if program.is_file():
        yield Finding(
            UNEXAMINED,
            program.name,
            "a program, which is never run here; what the numbers rest on was compared",
        )
        return
    if os.path.lexists(written) and not written.is_file():
        yield Finding(DIFFERS, written.name, "no file, which a copy of the plant's file is")
        return
    if recipe.data.learned:
        if not written.is_file() or not _logs_here(run):
            yield Finding(ABSENT, runs.SYSTEM, "learned from logs that are not here, so it was not learned again")
            return
        system = learned_plant(recipe.changed(system=str(written)), Console(quiet=True), _log_paths(run))
        assert system is not None
    else:
        try:
            system = load_system(str(written) if written.is_file() else recipe.system)
        except InputError as error:
            if written.is_file():
                yield Finding(DIFFERS, written.name, f"it gives no plant: {error}")
            else:
                yield Finding(ABSENT, runs.SYSTEM, f"its source is not here, so it was not read again ({error})")
            return
    if written.is_file():  # the copy stands for the file, whose name it does not have
        given = Path(recipe.system)
        names = {"source": given.name} if system.source == written.name else {}
        system = replace(system, **names, name=given.stem if system.name == written.stem else system.name)
    if not recipe.data.learned and run.system.feedback is not None and run.system.feedback.found:
        system = driven_plant(recipe, run.plant.with_system(system)).system
    if recipe.fine_tune.noise is not None:
        system = noisy(system, recipe.fine_tune.noise)
    yield from compared(
        runs.SYSTEM, to_plain(run.system.to_data()), to_plain(system.to_data()),
        what=f"the plant of {written.name if written.is_file() else recipe.system}",
        roundings=1e9 if recipe.data.learned else 0.0,  # a least-squares fit of the logs
    )  # fmt: skip


def log_findings(run: Run) -> Iterator[Finding]:
    """The logs that the run learned from, by their hashes."""
    for log, found in compared_logs(run.path):
        if found is None:
            yield Finding(ABSENT, f"log {log}", "no longer there, so not compared")
        elif found:
            yield Finding(AGREES, f"log {log}", "as it was read")
        else:
            yield Finding(DIFFERS, f"log {log}", "changed since the run learned from it")
    if run.logs and (run.path / runs.TRAJECTORIES).is_file():
        yield from compared(runs.LOGS, run.logs["trajectories"], len(run.trajectories), what="number of trajectories")


def _logs_here(run: Run) -> bool:
    return all(found for _, found in compared_logs(run.path))


def _log_paths(run: Run) -> list[str]:
    """The logs as they lie from here."""
    places = ((run.path / log["from_run"], Path(log["file"])) for log in run.logs["logs"])
    return [str(next(path for path in pair if path.is_file())) for pair in places]


def data_findings(run: Run, recipe: Recipe) -> Iterator[Finding]:
    """``trajectories.npz`` again, from the recipe and its seed, or from the logs where they are here."""
    part = runs.TRAJECTORIES
    if not (run.path / part).is_file():
        yield Finding(DIFFERS, part, "missing")
        return
    data, options = run.trajectories, recipe.data
    if not options.files:
        yield from motion_findings(
            part, run, data, recipe.seed, options.excitation, trajectories=options.trajectories,
            duration=options.duration or run.system.duration or 200 * run.plant.dt, truth="model", source=f"simulated, seed {recipe.seed}",
            moved=True,
        )  # fmt: skip
        return
    if not _logs_here(run):
        yield Finding(ABSENT, part, "read from logs that are not here, so not read again")
        return
    files = _log_paths(run)
    equations = None if options.learned else run.plant
    again = learn_from(files, run.system, run.plant.dt, options.columns, timing_of(options), plant=equations)
    exempt = () if files == [log["file"] for log in run.logs["logs"]] else ("source", "warnings")  # they name the files
    yield from compared(
        part, vars_of(data), vars_of(again), what="the logs, read again", exempt=exempt, near=_near(run, data)
    )


def _near(run: Run, data: Trajectories) -> dict[str, np.ndarray]:
    """What states that were estimated from the logs may differ by: where their solver stops."""
    return {"x": 1e-5 * np.ptp(run.system.state_ranges, axis=1)} if data.by_equations else {}


def vars_of(data: Trajectories) -> dict[str, object]:
    """What ``trajectories.npz`` holds."""
    return {name: getattr(data, name) for name in ("t", "x", "u", "y", "lengths", "source", "warnings")}


def motion_findings(
    part: str, run: Run, data: Trajectories, seed: int, excitation: str | None, *, trajectories: int,
    duration: float, truth: str, source: str = "", noise: bool = False, moved: bool | None = None,
    rows: slice | np.ndarray = slice(None),
) -> Iterator[Finding]:  # fmt: skip
    """Simulated data: initial states and inputs from the seed, and every sample from the one before it.

    ``rows``: the trajectories whose samples are looked at. ``moved``: by process noise; as ``noise`` when left out.
    """
    plant, system = run.plant, run.system
    moved = bool((noise if moved is None else moved) and sample_deviation(plant).any())
    steps = round(duration / plant.dt) + 1
    if data.x.shape != (trajectories, steps, plant.nx):
        yield Finding(
            DIFFERS, part, f"holds states of shape {data.x.shape}; the recipe gives {(trajectories, steps, plant.nx)}"
        )
        return
    lengths = samples_inside(system, data.x, data.u)
    gone = np.arange(steps) >= lengths[:, None]
    commands = draw_commands(system, plant.dt, trajectories, steps, seed, excitation)
    drawn = {
        "t": plant.dt * np.arange(steps),
        "x[:, 0]": draw_initial_states(system, trajectories, seed),
        "u": np.where(gone[..., None], np.nan, acting(system, data.t, data.x, data.y, commands)),
        "lengths": lengths,
    }
    stored = {"t": data.t, "x[:, 0]": data.x[:, 0], "u": data.u, "lengths": data.lengths}
    again = motion_again(
        plant, data, truth, rows,
        lambda: simulate(
            plant, trajectories, duration, seed, excitation, truth=truth, leave=True, process_noise=moved
        ),
    )  # fmt: skip
    following = np.array(again.following)
    if moved:
        following = disturbed(plant, following, process_noise(plant, trajectories, steps - 1, seed)[rows])
    drawn |= {"warnings": list(again.warnings), "method": again.method}
    stored |= {"warnings": list(data.warnings), "method": data.method}
    if source:
        drawn, stored = drawn | {"source": source}, stored | {"source": data.source}
        if not data.method:  # it is not stored with the data of a fit
            del drawn["method"], stored["method"]
    near = {} if not is_driven(system) else {"u": 1e-9 * np.ptp(system.input_ranges, axis=1)}
    yield from compared(part, stored, drawn, what="initial states and inputs of its seed", near=near)
    for k in np.flatnonzero(lengths[rows] < steps):
        last = lengths[rows][k] - 1
        if last < 0:
            continue
        at, command = following[k, last], commands[rows][k, last + 1]
        if stays(system, at, acting(system, data.t[last + 1], at, system.measure(at, command[: plant.nu]), command)):
            yield Finding(
                DIFFERS,
                part,
                f"a trajectory ends at t = {data.t[last]:g} {run.system.time_unit}, where the plant does not leave its ranges",
            )
            return
    following[gone[rows][:, 1:]] = np.nan
    yield from compared(
        part, {"x[:, 1:]": data.x[rows][:, 1:]}, {"x[:, 1:]": following}, what="every sample from the one before it by the plant",
        near={"x[:, 1:]": again.allowed},
    )  # fmt: skip
    y = system.measure(data.x, data.u, data.t)
    if noise:
        deviations = np.array([signal.noise for signal in system.outputs])
        y = y + deviations * np.random.default_rng([seed, 3]).standard_normal(y.shape)
    size = max(ROUNDINGS, 4.0 * len(system.output.nodes)) * EPS * np.nanmax(np.abs(data.x), initial=0.0)
    yield from compared(part, {"y": data.y}, {"y": y}, what="outputs", near={"y": size})
