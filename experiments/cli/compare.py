"""The command ``observer compare``: learned and classical estimators on the same trajectories."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.cli.shared import recipe_of
from experiments.pipeline.console import DONE, Console, answers
from experiments.pipeline.options import takes

_NAMES = "NAME[,NAME...]"


@answers
@takes("plant", "seed", "fresh", "output")
def compare(
    source: Annotated[
        str,
        typer.Argument(metavar="NAME_OR_FILE|RUN", help="A plant, for which a REN is fitted first; or a fitted run."),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="The folder of the comparison, not that of a run.")
    ],
    beside: Annotated[
        list[Path] | None,
        typer.Option("--with", metavar="RUN", help="A further run of the same plant, as a fine-tuned one; repeatable."),
    ] = None,
    trials: Annotated[int, typer.Option("--trials", metavar="COUNT", help="Trials of each condition.")] = 20,
    duration: Annotated[
        float | None,
        typer.Option("--duration", metavar="SECONDS", help="Length of a trial; 300 samples at most when left out."),
    ] = None,
    estimators: Annotated[
        str | None, typer.Option("--estimators", metavar=_NAMES, help="Some of the classical ones only.")
    ] = None,
    conditions: Annotated[
        str | None, typer.Option("--conditions", metavar=_NAMES, help="Some of the conditions only.")
    ] = None,
    evaluations: Annotated[
        int, typer.Option("--evaluations", metavar="COUNT", help="Runs that tuning may take for each.")
    ] = 80,
    training: Annotated[int, typer.Option("--training", metavar="COUNT", help="Trajectories to tune on.")] = 24,
    fine_tune: Annotated[
        bool,
        typer.Option(
            "--fine-tune/--no-fine-tune", help="Also the REN tuned for the noise, made from the one fitted for speed."
        ),
    ] = True,
    limit: Annotated[
        float,
        typer.Option(
            "--limit", metavar="SECONDS", help="What an estimator may take for a condition; slower ones are left out."
        ),
    ] = 60.0,
    **chosen: Any,
) -> int:
    """All estimators on the same trials, condition by condition: errors, settling, diverged runs, time per step; a report.

    What is finished is kept: the same command goes on where it was stopped.
    """
    from experiments.compare import learned as learned_observers
    from experiments.compare import run as comparison
    from experiments.compare import store
    from experiments.compare.learned import from_plant, from_run
    from observer import runs
    from observer.estimators import BASELINES
    from observer.runs import load_run
    from observer.scenarios import CONDITIONS
    from observer.storage import file_hash
    from systems.base.errors import InputError

    console = Console(chosen.get("quiet", False))
    settings = comparison.Settings(
        trials=trials, duration=duration, training=training, evaluations=evaluations, seed=chosen.get("seed", 0), limit=limit,
        estimators=comparison.chosen_names("--estimators", estimators, BASELINES),
        conditions=comparison.chosen_names("--conditions", conditions, [item.name for item in CONDITIONS]),
    )  # fmt: skip
    if (out / runs.SYSTEM).exists():
        raise InputError(f"{out}: is the folder of a run, and it is kept; give another --out")
    if chosen.get("fresh"):
        (out / comparison.TUNING).unlink(missing_ok=True)
        for name in (learned_observers.FOLDER, store.FOLDER):
            shutil.rmtree(out / name, ignore_errors=True)
    if Path(source).is_dir():
        given = [name for name in ("dt", "method", "substeps") if name in chosen]
        if given:
            raise InputError(f"a run is sampled as it was; leave out --{given[0]}")
        first = load_run(source)
        plant, data = first.plant, first.trajectories
        _checked(Path(source), first, plant)
    else:
        from experiments.pipeline.prepare import plan

        _, plant = plan(recipe_of(source, None, chosen), console)
        first, data = None, None
    others: dict[str, Any] = {}
    for folder in beside or []:
        others[f"REN {folder.name}"] = _checked(folder, load_run(folder), plant)
    samples = round((settings.duration or comparison.trial_duration(plant)) / plant.dt)
    if first is None:
        learned, refused = from_plant(
            plant, out, samples, evaluations, settings.budget, settings.seed, fine_tune, console.say
        )
    else:
        weights = file_hash(Path(source) / runs.OBSERVER)
        learned, refused = from_run(first, weights, out, samples, evaluations, settings.seed, fine_tune, console.say)
    learned = {**learned, **others}
    out.mkdir(parents=True, exist_ok=True)
    result = comparison.compare(plant, settings, learned, data, out, console.say)
    result.refused.update(refused)
    words = ["observer", "compare", source, "--out", str(out)]
    for flag, value, default in (
        ("--trials", trials, 20), ("--duration", duration, None), ("--estimators", estimators, None), ("--conditions", conditions, None),
        ("--evaluations", evaluations, 80), ("--training", training, 24), ("--limit", limit, 60.0), ("--seed", settings.seed, 0),
        ("--dt", chosen.get("dt"), None), ("--method", chosen.get("method"), None), ("--substeps", chosen.get("substeps"), None),
    ):  # fmt: skip
        words += [flag, f"{value}"] if value != default else []
    words += [] if fine_tune else ["--no-fine-tune"]
    words += [word for folder in beside or [] for word in ("--with", str(folder))]
    page = comparison.write(out, result, shlex.join(words))
    if chosen.get("json"):
        print(json.dumps(json.loads((out / comparison.METRICS).read_text(encoding="utf-8"))))
    else:
        for line in result.to_data()["advice"]:
            print(line)
        print(f"report: {page}")
    return DONE


def _checked(folder: Path, run: Any, plant: Any) -> Any:
    """The observer of a run of this plant."""
    from systems.base.errors import InputError

    if run.observer is None:
        raise InputError(f"{folder}: holds no fitted observer; `observer fit {folder}` makes one")
    if run.system.state_names != plant.system.state_names or abs(run.plant.dt - plant.dt) > 1e-12 * plant.dt:
        raise InputError(
            f"{folder}: is of another plant or sampling time; give runs of '{plant.system.name}' at dt {plant.dt:g}"
        )
    return run.observer
