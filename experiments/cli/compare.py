"""The command ``observer compare``: learned and classical estimators on the same trajectories."""

import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from experiments.cli.shared import console_of, recipe_of
from experiments.pipeline.console import DONE, Console, show
from experiments.pipeline.options import place, takes

if TYPE_CHECKING:
    from experiments.compare.learned import Found
    from experiments.compare.result import Settings
    from observer.runs import Run
    from observer.state_observer import RENObserver
    from systems.discretization import DiscreteSystem


@takes("plant", "seed", "compare", "fresh", "output")
def compare(
    source: Annotated[
        str,
        typer.Argument(metavar="NAME_OR_FILE|RUN", help="A plant, for which a REN is fitted first; or a fitted run."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FOLDER", parser=place, help="The folder of the comparison, not that of a run."),
    ],
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            "--with",
            metavar="RUN",
            parser=place,
            help="A further run of the same plant, as a fine-tuned one; repeatable.",
        ),
    ] = None,
    fine_tune: Annotated[
        bool,
        typer.Option("--fine-tune/--no-fine-tune", help="Also tune the REN for the noise."),
    ] = True,
    trials: int = 20,
    duration: float | None = None,
    estimators: str | None = None,
    scenarios: str | None = None,
    evaluations: int = 80,
    training: int = 24,
    limit: float = 60.0,
    **chosen: Any,
) -> int:
    """All estimators on the same trials, scenario by scenario: errors, settling, diverged runs, time per step; a report.

    Finished parts are kept: the same command resumes.
    """
    from experiments.compare import page
    from experiments.compare.result import Settings
    from experiments.compare.run import compare as measured
    from experiments.compare.run import trial_duration
    from experiments.pipeline.lock import kept_folder
    from observer.estimators import ESTIMATORS
    from observer.runs import load_run
    from observer.scenarios import SCENARIOS

    console = console_of(chosen)
    settings = Settings(
        trials=trials, duration=duration, training=training, evaluations=evaluations, seed=chosen.get("seed", 0), limit=limit,
        estimators=_chosen_names("--estimators", estimators, ESTIMATORS),
        scenarios=_chosen_names("--scenarios", scenarios, [item.name for item in SCENARIOS]),
    )  # fmt: skip
    run, plant = _source(source, chosen, console)
    others = {f"REN {folder.name}": _checked(load_run(folder), plant) for folder in beside or []}
    samples = round((settings.duration or trial_duration(plant)) / plant.dt)
    options = {
        "--trials": (trials, 20), "--duration": (duration, None), "--estimators": (estimators, None), "--scenarios": (scenarios, None),
        "--evaluations": (evaluations, 80), "--training": (training, 24), "--limit": (limit, 60.0), "--seed": (settings.seed, 0),
        **{f"--{name}": (chosen.get(name), None) for name in ("dt", "method", "substeps")},
    }  # fmt: skip
    words = ["observer", "compare", source, "--out", str(out)]
    words += [word for flag, (value, usual) in options.items() if value != usual for word in (flag, f"{value}")]
    words += [] if fine_tune else ["--no-fine-tune"]
    words += [word for folder in beside or [] for word in ("--with", str(folder))]
    with kept_folder(out, "comparison"):
        if chosen.get("fresh", False):
            _clear(out, [Path(source), *(beside or [])])
        learned, refused = _learned(run, plant, out, samples, settings, fine_tune, console)
        data = None if run is None else run.trajectories
        result = measured(plant, settings, {**learned, **others}, data, out, console.say, refused)
        report = page.write(out, result, shlex.join(words))
    if chosen.get("json"):
        print(json.dumps(json.loads((out / page.METRICS).read_text(encoding="utf-8"))))
    else:
        show(*result.advice, f"report: {report}")
    return DONE


def _clear(out: Path, reads: Sequence[Path]) -> None:
    """Remove the earlier results of a comparison, which may be nothing that it ``reads``."""
    from experiments.compare import learned, store, tuning
    from systems.base.output_places import refuse_emptying

    for name in (learned.FOLDER, store.FOLDER):
        refuse_emptying(out / name, reads)
    (out / tuning.TUNING).unlink(missing_ok=True)
    for name in (learned.FOLDER, store.FOLDER):
        shutil.rmtree(out / name, ignore_errors=True)


def _source(source: str, chosen: Mapping[str, Any], console: Console) -> "tuple[Run | None, DiscreteSystem]":
    """The run to compare, if it is one, and the plant."""
    from experiments.pipeline.prepare import plan
    from observer.runs import load_run
    from systems.base.errors import InputError

    if not Path(source).is_dir():
        return None, plan(recipe_of(source, None, dict(chosen)), console)[1]
    given = [name for name in ("dt", "method", "substeps") if name in chosen]
    if given:
        raise InputError(f"a run is sampled as it was; leave out --{given[0]}")
    run = load_run(source)
    _checked(run, run.plant)
    return run, run.plant


def _learned(
    run: "Run | None", plant: "DiscreteSystem", out: Path, samples: int, settings: "Settings", fine_tune: bool, console: Console
) -> "Found":  # fmt: skip
    """The learned observers: those of the run, or fitted here."""
    from experiments.compare.learned import from_plant, from_run
    from observer import runs
    from observer.storage import file_hash

    shared = samples, settings.evaluations
    if run is None:
        return from_plant(plant, out, *shared, settings.budget, settings.seed, fine_tune, console.say)
    weights = file_hash(run.path / runs.OBSERVER)
    return from_run(run, weights, out, *shared, settings.seed, fine_tune, console.say)


def _checked(run: "Run", plant: "DiscreteSystem") -> "RENObserver":
    """The observer of a run of this plant."""
    from observer.known_plant import chosen_plant
    from systems.base.errors import InputError

    if run.observer is None:
        raise InputError(f"{run.path}: holds no fitted observer; `observer fit {run.path}` makes one")
    try:
        chosen_plant(run.observer, plant)
    except InputError as error:
        raise InputError(f"{run.path}: {error}") from error
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
