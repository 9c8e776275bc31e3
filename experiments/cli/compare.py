"""The command ``observer compare``: learned and classical estimators on the same trajectories."""

import json
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from experiments.cli.shared import console_of, recipe_of
from experiments.pipeline.console import DONE, answers
from experiments.pipeline.options import takes

if TYPE_CHECKING:
    from observer.runs import Run
    from observer.state_observer import RENObserver
    from systems.discretization import DiscreteSystem

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
    trials: Annotated[int, typer.Option("--trials", metavar="COUNT", help="Trials of each scenario.")] = 20,
    duration: Annotated[
        float | None,
        typer.Option("--duration", metavar="SECONDS", help="Length of a trial; 300 samples at most when left out."),
    ] = None,
    estimators: Annotated[
        str | None, typer.Option("--estimators", metavar=_NAMES, help="Some of the classical ones only.")
    ] = None,
    scenarios: Annotated[
        str | None, typer.Option("--scenarios", "--conditions", metavar=_NAMES, help="Some of the scenarios only.")
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
            "--limit", metavar="SECONDS", help="What an estimator may take for a scenario; slower ones are left out."
        ),
    ] = 60.0,
    **chosen: Any,
) -> int:
    """All estimators on the same trials, scenario by scenario: errors, settling, diverged runs, time per step; a report.

    What is finished is kept: the same command goes on where it was stopped.
    """
    from experiments.compare import page
    from experiments.compare.learned import from_plant, from_run
    from experiments.compare.result import Settings
    from experiments.compare.run import compare as measured
    from experiments.compare.run import trial_duration
    from observer.estimators import ESTIMATORS
    from observer.runs import OBSERVER, load_run
    from observer.scenarios import SCENARIOS
    from observer.storage import file_hash

    say, seed = console_of(chosen).say, chosen.get("seed", 0)
    settings = Settings(
        trials=trials, duration=duration, training=training, evaluations=evaluations, seed=seed, limit=limit,
        estimators=_chosen_names("--estimators", estimators, ESTIMATORS),
        scenarios=_chosen_names("--scenarios", scenarios, [item.name for item in SCENARIOS]),
    )  # fmt: skip
    _prepare(out, fresh=chosen.get("fresh", False))
    first, plant = _source(source, chosen)
    others = {f"REN {folder.name}": _observer(folder, load_run(folder), plant) for folder in beside or []}
    samples = round((settings.duration or trial_duration(plant)) / plant.dt)
    if first is None:
        learned, refused = from_plant(plant, out, samples, evaluations, settings.budget, seed, fine_tune, say)
    else:
        weights = file_hash(first.path / OBSERVER)
        learned, refused = from_run(first, weights, out, samples, evaluations, seed, fine_tune, say)
    out.mkdir(parents=True, exist_ok=True)
    data = None if first is None else first.trajectories
    result = measured(plant, settings, {**learned, **others}, data, out, say, refused)
    words = ["observer", "compare", source, "--out", str(out)]
    for flag, value, default in (
        ("--trials", trials, 20), ("--duration", duration, None), ("--estimators", estimators, None), ("--scenarios", scenarios, None),
        ("--evaluations", evaluations, 80), ("--training", training, 24), ("--limit", limit, 60.0), ("--seed", seed, 0),
        ("--dt", chosen.get("dt"), None), ("--method", chosen.get("method"), None), ("--substeps", chosen.get("substeps"), None),
    ):  # fmt: skip
        words += [flag, f"{value}"] if value != default else []
    words += [] if fine_tune else ["--no-fine-tune"]
    words += [word for folder in beside or [] for word in ("--with", str(folder))]
    report = page.write(out, result, shlex.join(words))
    if chosen.get("json"):
        print(json.dumps(json.loads((out / page.METRICS).read_text(encoding="utf-8"))))
    else:
        print("\n".join([*result.advice, f"report: {report}"]))
    return DONE


def _prepare(out: Path, *, fresh: bool) -> None:
    """Refuse the folder of a run; with ``fresh`` remove what an earlier comparison kept."""
    from experiments.compare import learned, store
    from experiments.compare.tuning import TUNING
    from observer.runs import SYSTEM
    from systems.base.errors import InputError

    if (out / SYSTEM).exists():
        raise InputError(f"{out}: is the folder of a run, and it is kept; give another --out")
    if fresh:
        (out / TUNING).unlink(missing_ok=True)
        for name in (learned.FOLDER, store.FOLDER):
            shutil.rmtree(out / name, ignore_errors=True)


def _source(source: str, chosen: dict[str, Any]) -> "tuple[Run | None, DiscreteSystem]":
    """The fitted run to compare with its plant, or only the plant."""
    from observer.runs import load_run
    from systems.base.errors import InputError

    if not Path(source).is_dir():
        from experiments.pipeline.prepare import plan

        return None, plan(recipe_of(source, None, chosen), console_of(chosen))[1]
    given = [name for name in ("dt", "method", "substeps") if name in chosen]
    if given:
        raise InputError(f"a run is sampled as it was; leave out --{given[0]}")
    run = load_run(source)
    _observer(Path(source), run, run.plant)
    return run, run.plant


def _observer(folder: Path, run: "Run", plant: "DiscreteSystem") -> "RENObserver":
    """The observer of a run of this plant."""
    from observer.known_plant import chosen_plant
    from systems.base.errors import InputError

    if run.observer is None:
        raise InputError(f"{folder}: holds no fitted observer; `observer fit {folder}` makes one")
    try:
        chosen_plant(run.observer, plant)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error
    return run.observer


def _chosen_names(flag: str, text: str | None, known: Sequence[str]) -> tuple[str, ...]:
    """``"a,b"`` as names of ``known``, in their order; all of them when left out. Raises InputError that names the option."""
    from systems.base.errors import InputError

    if text is None:
        return tuple(known)
    asked = [part.strip() for part in text.split(",") if part.strip()]
    for name in asked:
        if name not in known:
            raise InputError(f"{flag} names '{name}'; expected some of {', '.join(known)}")
    return tuple(name for name in known if name in asked)
