"""The command ``observer``. Imports nothing heavy: each command loads what it needs when it runs.

Exit codes: 0 done and the verdict is pass; 1 done and the verdict is fail, or no such observer exists; 2 bad input;
3 a fault of the application; 130 and 143 stopped by Ctrl-C and SIGTERM, with what was finished kept.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from experiments.cli import compare as compare_command
from experiments.cli import fine_tuning as fine_tuning_command
from experiments.cli import logs as log_commands
from experiments.cli.logs import check_fit
from experiments.pipeline.console import DONE, FAILED, Console, answers
from experiments.pipeline.options import BY_KEY, takes, to_keys
from experiments.registry import EXPERIMENTS, named

if TYPE_CHECKING:
    from experiments.pipeline.recipe import Recipe
    from observer.runs import Run

app = typer.Typer(
    name="observer",
    help="State observers that converge by construction, from your ODE to a validated observer and a report.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Reference = Annotated[
    str, typer.Argument(metavar="NAME_OR_FILE", help="A plant of the library, or a .toml or .py file.")
]
Folder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
Out = Annotated[Path, typer.Option("--out", metavar="RUN", help="The folder of the run; made when it does not exist.")]
Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="A recipe to start from, like the config.toml of a run.")
]
ALL = ("plant", "seed", "data", "fit", "validation", "fresh", "output")


def _version(asked: bool) -> None:
    if asked:
        from observer.storage import package_version

        print(f"observer {package_version()}")
        raise typer.Exit()


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command("list")
@answers
@takes("output")
def list_(**chosen: Any) -> int:
    """The plants of the library and the named experiments."""
    from systems import ALL_SYSTEMS

    plants = [make() for make in ALL_SYSTEMS.values()]
    if chosen.get("json"):
        rows = [{"name": p.name, "nx": p.nx, "nu": p.nu, "ny": p.ny, "description": p.description} for p in plants]
        print(
            json.dumps(
                {"systems": rows, "experiments": [{"name": e.name, "description": e.description} for e in EXPERIMENTS]}
            )
        )
        return DONE
    width = max(len(name) for name in [*(p.name for p in plants), *(e.name for e in EXPERIMENTS)])
    print("Plants (observer run NAME --out RUN); sizes are states, inputs, outputs:")
    for plant in plants:
        print(f"  {plant.name:<{width}}  {plant.nx}, {plant.nu}, {plant.ny}  {_first_line(plant.description)}")
    print("Experiments (observer experiment NAME):")
    for item in EXPERIMENTS:
        print(f"  {item.name:<{width}}  {item.description}")
    return DONE


@app.command()
@answers
def new(file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, .toml or .py.")]) -> int:
    """Write a plant to start from, with every field explained."""
    from systems.files import write_template

    write_template(file)
    print(f"{file} written; edit it, then `observer check {file}`")
    return DONE


@app.command()
@answers
@takes("plant", "seed", "--settling-time", "output")
def check(system: Reference, **chosen: Any) -> int:
    """Look at a plant: signals, discretisation, time scales, what the outputs tell, and how fast an observer can be."""
    from experiments.cli.check import examine, lines

    findings = examine(_recipe(system, None, chosen), Console(chosen.get("quiet", False)))
    if chosen.get("json"):
        print(json.dumps(findings))
    else:
        print("\n".join(lines(findings)))
    return DONE if findings["detectable"] else FAILED


@app.command()
@answers
@takes(*ALL)
def simulate(system: Reference, out: Out, config: Config = None, **chosen: Any) -> int:
    """Make a run folder with the plant, the recipe and simulated data."""
    from experiments.pipeline.steps import done, prepare, simulate_step

    console = Console(chosen.get("quiet", False))
    run, job = prepare(_recipe(system, config, chosen), out, fresh=chosen.get("fresh", False), console=console)
    if done("simulate", run):
        console.say(f"{out}: simulated already")
    else:
        run = simulate_step(run, job)
    if chosen.get("json"):
        _print_metrics(run)
    return DONE


@app.command()
@answers
@takes("plant", "seed", "data", "fit", "fresh", "output")
def fit(
    run_folder: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="The folder of a run.")] = None,
    plant: Annotated[
        str | None, typer.Option("--plant", metavar="NAME_OR_FILE", help="With --data: the plant that was logged.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="RUN", help="With --data: the folder of the new run.")
    ] = None,
    **chosen: Any,
) -> int:
    """Fit the observer of a run; an interrupted fit goes on. Or from logs: fit --data FILES --plant FILE --out RUN."""
    from experiments.pipeline.steps import done, fit_step, prepare, reopen, simulate_step

    console, fresh = Console(chosen.get("quiet", False)), chosen.get("fresh", False)
    folder = check_fit(run_folder, plant, out, chosen)
    if plant is not None:
        run, job = prepare(_recipe(plant, None, chosen), folder, fresh=fresh, console=console)
        run = run if done("simulate", run) else simulate_step(run, job)
    else:
        run, job = reopen(folder, to_keys(chosen), step="fit", fresh=fresh, console=console)
    if done("fit", run) and not fresh:
        console.say(f"{folder}: fitted already; --fresh fits again")
    else:
        run = fit_step(run, job, fresh=fresh)
    _print_results(run, chosen)
    return FAILED if run.fit is None or run.fit.status == "non_finite" else DONE


@app.command()
@answers
@takes("output")
def certify(
    run_folder: Folder,
    budget: Annotated[
        str | None,
        typer.Option("--budget", metavar="TIME", help="Time to bound the residual, as 30s; 5s when left out."),
    ] = None,
    gap: Annotated[
        float | None,
        typer.Option(
            "--gap", metavar="SHARE", help="Stop when the proved bound exceeds an attained residual by this share."
        ),
    ] = None,
    **chosen: Any,
) -> int:
    """Certify the observer of a run: contraction rate, gains, and a proved bound of its residual over the region."""
    from experiments.pipeline.recipe import seconds
    from experiments.pipeline.steps import certify_step, reopen
    from systems.base.errors import InputError

    try:
        time = None if budget is None else float(seconds(budget))
    except ValueError as error:
        raise InputError(f"--budget is {budget!r}; {error}") from error
    if (time is not None and not 0 < time < float("inf")) or (gap is not None and not 0 < gap < float("inf")):
        raise InputError(
            f"--budget is {budget}, --gap is {gap}; expected a time above 0 such as 30s, and a share above 0"
        )
    run, job = reopen(run_folder, {}, step="certify", fresh=False, console=Console(chosen.get("quiet", False)))
    run = certify_step(run, job, budget=time, gap=gap)
    _print_results(run, chosen)
    return DONE if run.certificate is not None and run.certificate.holds else FAILED


@app.command()
@answers
@takes("seed", "validation", "output")
def validate(run_folder: Folder, **chosen: Any) -> int:
    """Validate the observer of a run from random starts; options given here replace those of the run."""
    from experiments.pipeline.steps import reopen, validate_step

    run, job = reopen(
        run_folder, to_keys(chosen), step="validate", fresh=False, console=Console(chosen.get("quiet", False))
    )
    return _finish(validate_step(run, job), chosen)


@app.command()
@answers
@takes("output")
def report(run_folder: Folder, **chosen: Any) -> int:
    """Write the report of a run."""
    from experiments.pipeline.steps import reopen, report_step

    run, job = reopen(run_folder, {}, step="report", fresh=False, console=Console(chosen.get("quiet", False)))
    return _finish(report_step(run, job), chosen)


@app.command()
@answers
@takes("output")
def verify(run_folder: Folder, **chosen: Any) -> int:
    """Check the files of a run, and its certificate anew from the shipped matrices."""
    from experiments.pipeline.verify import verify as compare

    found = compare(run_folder)
    if chosen.get("json"):
        print(json.dumps(vars(found)))
    else:
        for word, texts in (("agrees", found.agrees), ("absent", found.absent), ("DIFFERS", found.differs)):
            for text in texts:
                print(f"{word:<8} {text}")
        print(f"{run_folder}: " + (f"{len(found.differs)} differ" if found.differs else "as certified"))
    return FAILED if found.differs else DONE


@app.command()
@answers
@takes(*ALL)
def run(system: Reference, out: Out, config: Config = None, **chosen: Any) -> int:
    """All steps: simulate, fit, certify, validate, report. The same command resumes what was stopped."""
    from experiments.pipeline.steps import prepare, run_all

    console = Console(chosen.get("quiet", False))
    state, job = prepare(_recipe(system, config, chosen), out, fresh=chosen.get("fresh", False), console=console)
    return _finish(run_all(state, job), chosen)


@app.command()
@answers
@takes("fit", "seed", "fresh", "output")
def experiment(
    name: Annotated[str, typer.Argument(help="One of those that `observer list` shows.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="RUN", help="The folder of the results; runs/NAME when left out.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Run the published recipe again instead of taking its stored figures.")
    ] = False,
    rows: Annotated[
        str | None,
        typer.Option("--rows", metavar="NAMES", help="Of published_tables: rows or groups, as box,hyperkkl.duffing."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", metavar="NUMBERS", help="Of published_tables: seeds, as 0-4 or 0,2.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Of mnist and others: the folder of the data files.")
    ] = None,
    **chosen: Any,
) -> int:
    """Run a named experiment and compare it with what was published."""
    from experiments.runner import run_experiment

    item, folder, console = named(name), out or Path("runs") / name, Console(chosen.get("quiet", False))
    values = _recipe(name, None, chosen).flat()
    options = {key.rpartition(".")[2]: values[key] for key in to_keys(chosen) if key in values}
    options |= {"rows": rows, "seeds": seeds, "data": data, "seed": values["seed"], "fresh": chosen.get("fresh", False)}
    code = run_experiment(item, folder, full=full, quiet=console.quiet, report=console.say, **options)
    if chosen.get("json"):
        print((folder / "metrics.json").read_text(encoding="utf-8"), end="")
    return code


app.command("fine-tune")(fine_tuning_command.fine_tune)
app.command()(compare_command.compare)
app.command()(log_commands.estimate)
app.command()(log_commands.export)


def _recipe(system: str, config: Path | None, chosen: dict[str, Any]) -> "Recipe":
    from experiments.pipeline.recipe import build, read_recipe

    base = read_recipe(config).flat() if config is not None else {}
    return build({**base, "system": system, **to_keys(chosen)}, BY_KEY)


def _finish(state: "Run", chosen: dict[str, Any]) -> int:
    """Print the results and where the report is; the exit code is the verdict."""
    from experiments.pipeline.metrics import verdict

    _print_results(state, chosen)
    return DONE if verdict(state) == "pass" else FAILED


def _print_results(state: "Run", chosen: dict[str, Any]) -> None:
    from experiments.pipeline.metrics import table, verdict

    if chosen.get("json"):
        _print_metrics(state)
    stream = sys.stderr if chosen.get("json") else sys.stdout
    rows = list(table(state))
    widths = [max((len(row[k]) for row in rows), default=0) for k in range(4)]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip(), file=stream)
    if state.validation is not None:
        print(f"verdict: {verdict(state)}", file=stream)
    page = state.path / "report.html"
    if page.is_file():
        print(f"report: {page}", file=stream)


def _print_metrics(state: "Run") -> None:
    from experiments.pipeline.metrics import metrics_of
    from observer.storage import plain

    print(json.dumps(plain(state.metrics or metrics_of(state)), indent=1, allow_nan=False))


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""
