"""The first step of a run: simulate its data or read it from logs, and make the folder."""

from pathlib import Path

from experiments.pipeline.decision import simulated_data
from experiments.pipeline.job import Job, clear, size_of
from experiments.pipeline.logs import learn_from, log_record, timing_of
from experiments.pipeline.recipe import to_toml
from observer import runs
from observer.runs import Run
from observer.storage import write_bytes, write_json, write_text


def simulate_step(run: Run, job: Job) -> Run:
    """Simulate the data, or read it from logs; only when that went well, make the folder with plant, recipe and data."""
    options, plant, unit = job.recipe.data, run.plant, run.system.time_unit
    logs = {}
    if options.files:
        logs = log_record(options.files, run.path)  # before they are read: one that changes meanwhile differs later
        with job.console.step("read", f"logs {options.files}, dt {plant.dt:g} {unit}"):
            equations = None if options.learned else plant
            data = learn_from(options.files, run.system, plant.dt, options.columns, timing_of(options), plant=equations)
        logs["trajectories"] = len(data)
    else:
        length = f" of {options.duration:g} {unit}" if options.duration else ""
        about = f"{options.trajectories} trajectories{length}, dt {plant.dt:g} {unit} ({plant.method})"
        with job.console.step("simulate", about):
            data = simulated_data(job.recipe, plant)
    for text in data.warnings:
        job.console.warn(text)
    run.path.mkdir(parents=True, exist_ok=True)
    clear(run.path, "simulate", room=size_of(data))
    runs.save_plant(run.path, plant, command=job.command)  # first: it makes the folder a run folder
    given = Path(job.recipe.system)
    if given.suffix.lower() in (".toml", ".py") and given.is_file():
        write_bytes(run.path / f"source{given.suffix.lower()}", given.read_bytes())
    write_text(run.path / runs.CONFIG, to_toml(job.recipe))
    if logs:
        write_json(run.path / runs.LOGS, logs, command=job.command)
    runs.save_trajectories(run.path, data)
    return Run(run.path, plant, config=job.recipe.model_dump(exclude_none=True), logs=logs)
