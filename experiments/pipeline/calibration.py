"""``observer calibrate``: parameters of a plant from logs of inputs and outputs, written as a plant again, with a page beside it."""

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import systems
from experiments.pipeline.console import Console, Interrupted
from experiments.pipeline.lock import kept_folder
from experiments.pipeline.logs import timing_of
from experiments.pipeline.recipe import Recipe
from observer.calibration.calibrate import HELD_OUT, ITERATIONS, STARTS, Calibration, calibrate, free_parameters
from observer.storage import write_json, write_text
from systems.base.errors import InputError
from systems.base.output_places import check_files
from systems.recordings import log_files, parse_columns, read_recordings
from systems.toml_values import with_values

RESULT = "calibration.json"


def calibrated(
    recipe: Recipe, out: Path, asked: Mapping[str, Any], *, force: bool, console: Console
) -> tuple[Calibration, list[str]]:
    """Calibrate the plant of a recipe on its logs, write ``out`` and the folder beside it; the result and lines that sum it up.

    Raises InputError, before anything is written, for what cannot be used, and Interrupted where a stop left the best so far.
    """
    if recipe.data.files is None:
        raise InputError("--data is missing; expected logs of inputs and outputs, as in --data 'logs/*.csv'")
    system = systems.load_system(recipe.system)
    source, folder = Path(recipe.system), out.with_suffix("")
    kind = ".toml" if source.suffix.lower() == ".toml" and source.is_file() else ".py"
    if out.suffix.lower() != kind:
        what = (
            "a TOML plant is written as TOML again"
            if kind == ".toml"
            else "a plant that is no TOML file is written as a small .py file"
        )
        raise InputError(f"{out}: expected a file name that ends in {kind}; {what}")
    check_files([out], reads=[source, *log_files(recipe.data.files)], force=force)
    if not out.absolute().parent.is_dir():
        raise InputError(f"{out}: there is no folder {out.parent}; create it first")
    names = asked["parameters"].replace(" ", "").split(",") if asked.get("parameters") else None
    free = free_parameters(system, names)
    plant = systems.discretize(system, dt=recipe.dt, method=recipe.method, substeps=recipe.substeps)
    columns = parse_columns(recipe.data.columns) if recipe.data.columns else None
    with kept_folder(folder, "calibration"):
        with console.step("read", f"logs {recipe.data.files}, dt {plant.dt:g} {system.time_unit}"):
            data = read_recordings(
                recipe.data.files,
                system,
                plant.dt,
                columns=columns,
                required=("inputs", "outputs"),
                timing=timing_of(recipe.data),
            )
        for text in (*plant.warnings, *data.warnings):
            console.warn(text)
        with console.step(
            "calibrate", f"{', '.join(free)} from {len(data)} log{'s' if len(data) > 1 else ''}"
        ) as progress:
            found = calibrate(
                plant, data, parameters=free, starts=asked.get("starts") or STARTS, iterations=asked.get("iterations") or ITERATIONS,
                held_out=HELD_OUT if asked.get("held_out") is None else asked["held_out"], seed=recipe.seed, progress=progress,
            )  # fmt: skip
        command = _command(recipe, out, asked)
        _write(found, source, out, folder, command, console)
    if found.status == "interrupted":
        raise Interrupted(
            f"stopped; {out} holds the values of the best start that was finished. To search all: {command}"
        )
    return found, _lines(found, out, folder)


def _write(found: Calibration, source: Path, out: Path, folder: Path, command: str, console: Console) -> None:
    """The plant, the numbers and the page."""
    from reports.calibration import write_calibration

    values = {item.name: item.value for item in found.estimates}
    noise = {
        signal.name: signal.noise
        for signal, stated in zip(found.system.outputs, found.stated, strict=True)
        if not stated
    }
    rows = [
        f"{e.name} = {e.value:.6g} (before: {e.before:g}), {e.remark or f'+- {e.deviation:.2g}'}"
        for e in found.estimates
    ]
    head = [f"Calibrated: {command}", *rows, *found.directions]
    if out.suffix.lower() == ".toml":
        text = source.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
        content = "".join(f"# {line}\n" for line in head) + "\n" + with_values(text, values, noise)
    else:
        content = _python(source, out, values, noise, head)
    write_text(out, content)
    write_json(folder / RESULT, summary(found, out), command=command)
    with console.step("report", "page and figures"):
        write_calibration(folder, found, command=command)


def _python(source: Path, out: Path, values: Mapping[str, float], noise: Mapping[str, float], head: list[str]) -> str:
    """A plant file that loads ``source``, a name of the library or a file, with other values."""
    if source.is_file():
        way = os.path.relpath(source.absolute(), out.absolute().parent)
        where, first = f"str(Path(__file__).parent / {json.dumps(way)})", "from pathlib import Path\n\n"
    else:
        where, first = json.dumps(str(source)), ""
    levels = "".join(f'\n    {json.dumps(name)}: {{"noise": {value!r}}},' for name, value in noise.items())
    given = "".join(f"\n    {json.dumps(name)}: {value!r}," for name, value in values.items())
    outputs = f".with_outputs(**{{{levels}\n}})" if noise else ""
    remarks = "".join(f"# {line}\n" for line in head)
    return f"{remarks}{first}from systems import load_system\n\nsystem = load_system({where}).with_parameters(**{{{given}\n}}){outputs}\n"


def summary(found: Calibration, out: Path) -> dict[str, Any]:
    """The numbers of a calibration as plain data."""
    names, held = found.system.output_names, found.held_out
    outputs = {
        name: {
            "residual": level,
            "stated_noise": stated or None,
            "ljung_box_probability": w.probability,
            "white": w.white,
        }
        for name, level, stated, w in zip(names, found.noise, found.stated, found.white, strict=True)
    }
    judged = None if held is None else {
        name: {"free_run_rms": free, "one_step_rms": one, "one_step_white": w.white}
        for name, free, one, w in zip(names, held.free_run_rms, held.one_step_rms, held.white, strict=True)
    }  # fmt: skip
    return {
        "system": found.system.name, "file": str(out), "verdict": found.verdict, "status": found.status, "message": found.message,
        "parameters": {e.name: {**asdict(e), "remark": e.remark} for e in found.estimates},
        "not_determined": list(found.directions), "outputs": outputs, "held_out": judged,
        "starts": [{"cost": cost, "converged": done} for cost, done in found.starts], "iterations": found.iterations,
        "inflation": found.inflation, "seed": found.seed, "states_compared_with": None,
    }  # fmt: skip


def _lines(found: Calibration, out: Path, folder: Path) -> list[str]:
    width = max(len(e.name) for e in found.estimates)
    lines = []
    for e in found.estimates:
        unit = f" {e.unit}" if e.unit else ""
        known = e.remark or f"+- {e.deviation:.2g}, 95 % from {e.interval[0]:.6g} to {e.interval[1]:.6g}"
        lines.append(f"{e.name:<{width}}  {e.value:.6g}{unit}  {known}")
    lines += list(found.directions)
    for k, signal in enumerate(found.system.outputs):
        unit = f" {signal.unit}" if signal.unit else ""
        word = "white" if found.white[k].white else "not white: the equations leave something unexplained"
        text = f"{signal.name}: residual {found.noise[k]:.3g}{unit}, {word}"
        if found.held_out is not None:
            h = found.held_out
            text += f"; held-out logs: free-run {h.free_run_rms[k]:.3g}{unit}, one-step {h.one_step_rms[k]:.3g}{unit}"
        lines.append(text)
    return [
        *lines, "states were not compared with anything: the logs are used for their inputs and outputs alone",
        f"verdict: {found.verdict}", f"plant: {out}", f"report: {folder / 'report.html'}",
    ]  # fmt: skip


def _command(recipe: Recipe, out: Path, asked: Mapping[str, Any]) -> str:
    words = ["observer", "calibrate", recipe.system, "--data", str(recipe.data.files), "-o", str(out)]
    given = {"columns": recipe.data.columns, "dt": recipe.dt, "substeps": recipe.substeps, "seed": recipe.seed or None}
    if recipe.method != "rk4":
        given["method"] = recipe.method
    for name, value in {**given, **asked}.items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}", f"{value}"]
    return shlex.join(words)
