"""The options of the command line in one table: flag, key, meaning. The key leads to type and range.

A key of the recipe is described in :mod:`experiments.pipeline.recipe`, one of a single command in
:mod:`experiments.pipeline.requests`. A command takes whole groups of options with ``@takes("plant", "fit")``: they are checked
before it begins, and only what a person gave arrives in it, by name or in ``chosen``.
"""

import inspect
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from experiments.pipeline.limits import check_limits
from systems.base.wording import shorten

if TYPE_CHECKING:
    from experiments.pipeline.recipe import Recipe


@dataclass(frozen=True)
class Option:
    """One option: its flag, its flat key (empty: a switch of the command line), how it is read, and its help.

    ``former``: another flag that is accepted as well.
    """

    group: str
    flag: str
    key: str
    type: type
    help: str
    metavar: str | None = None
    former: str | None = None

    @property
    def name(self) -> str:
        """The name by which it arrives in a command."""
        return self.flag.lstrip("-").replace("-", "_")


#: Of logs, for fit and estimate.
_SAMPLE_TIME = "Time from row to row of logs without a time column, as 50ms; a number is in the plant's unit of time."
_TIME_UNIT = "Unit of stamps that are numbers: ns, us, ms, s, min, h or d; told by the log when left out."
_DATE_ORDER = "How dates such as 03/04/2024 are read: dmy or mdy."

OPTIONS = (
    Option("plant", "--dt", "dt", float, "Sampling time, in the plant's unit of time; the plant's own when left out.", "TIME"),
    Option("plant", "--method", "method", str, "Discretisation: rk4, euler, exact or scipy.", "NAME"),
    Option("plant", "--substeps", "substeps", int, "Integration steps per sample; chosen for accuracy when left out.", "COUNT"),
    Option("seed", "--seed", "seed", int, "Seed of all random numbers; same seed, same run.", "NUMBER"),
    Option("data", "--trajectories", "data.trajectories", int, "Trajectories to learn from.", "COUNT"),
    Option("data", "--duration", "data.duration", float, "Length of a trajectory, in the plant's unit of time.", "TIME"),
    Option("data", "--excitation", "data.excitation", str, "Excitation of every input: walk, steps, sine, chirp, prbs, ...", "NAME"),
    Option("data", "--data", "data.files", str,
           "Logs to learn from instead of simulated data: a file, or a quoted pattern such as 'logs/*.csv'.", "FILES"),
    Option("data", "--columns", "data.columns", str,
           "Columns of the logs named differently from their signal, as speed=v_wheel,t=stamp.", "SIGNAL=COLUMN,..."),
    Option("data", "--sample-time", "data.sample_time", str, _SAMPLE_TIME, "TIME"),
    Option("data", "--time-unit", "data.time_unit", str, _TIME_UNIT, "UNIT"),
    Option("data", "--date-order", "data.date_order", str, _DATE_ORDER, "ORDER"),
    Option("fit", "--neurons", "fit.neurons", int, "Neurons of the observer; 0 gives the linear observer.", "COUNT"),
    Option("fit", "--activation", "fit.activation", str, "tanh, relu or sigmoid.", "NAME"),
    Option("fit", "--settling-time", "fit.settling_time", str,
           "Time for the error to fall to 2 %, as 1.5s or 30min; auto (the default) balances speed and noise.", "TIME"),
    Option("fit", "--solver", "fit.solver", str, "Solver of the fit; auto chooses by size.", "NAME"),
    Option("fit", "--iterations", "fit.iterations", int, "Largest number of iterations of the solver.", "COUNT", former="--epochs"),
    Option("fit", "--budget", "fit.budget", str, "Time limit of the training, as 20s or 2m.", "TIME"),
    Option("fit", "--tolerance", "fit.tolerance", float,
           "Stop training when the steady error, estimated from sampled residuals, is within this share of each range.", "SHARE"),
    Option("validation", "--trials", "validation.trials", int, "Trials, each from a random initial state.", "COUNT"),
    Option("validation", "--spread", "validation.spread", float,
           "Size of the set of initial estimates relative to that of the initial states.", "FACTOR"),
    Option("validation", "--noise", "validation.noise", bool, "Validate with measurement noise."),
    Option("validation", "--same-model", "validation.truth", bool,
           "Validate against the discretised plant instead of the reference integrator."),
    Option("validation", "--peak", "validation.peak", float,
           "Ranges that no error may exceed at any time, for the verdict; without it the peak is stated and not judged.", "RANGES"),
    Option("validation", "--map", "validation.map", str, "States of the convergence map; the first two when left out.", "STATE,STATE"),
    Option("validation", "--worst-trials", "validation.worst_trials", int,
           "Trials of the search for the worst initial state; chosen by the size of the plant when left out.", "COUNT"),
    Option("certificate", "--certify-budget", "certify_budget", str, "Time limit of the certificate, as 10s or 1m.", "TIME"),
    Option("fresh", "--fresh", "", bool, "Start again in an existing run folder."),
    Option("output", "--quiet", "", bool, "No progress."),
    Option("output", "--json", "", bool, "The metrics as JSON on stdout, everything else on stderr."),
)  # fmt: skip
#: The options of one command each; the group is its name.
_PER_OUTPUT, _NAMES = "VALUE[,VALUE...]", "NAME[,NAME...]"
OWN = (
    Option("certify", "--work", "certify.work", float, "Work to bound the residual: 1 is some 5 s, 4 four times as much.", "SHARE"),
    Option("certify", "--budget", "certify.budget", str, "Stop that work after this time, as 30s, done or not.", "TIME"),
    Option("certify", "--gap", "certify.gap", float,
           "Stop when the proved bound exceeds an attained residual by this share.", "SHARE"),
    Option("verify", "--budget", "verify.budget", str,
           "Time for what is searched and trained again, as 10m; 2m when left out.", "TIME"),
    Option("calibrate", "--parameters", "calibrate.parameters", str, "Only these of the parameters that have a range.", _NAMES),
    Option("calibrate", "--starts", "calibrate.starts", int, "Starts of the search, until two agree; 5 when left out.", "COUNT"),
    Option("calibrate", "--iterations", "calibrate.iterations", int, "Largest number of iterations of each start; 200 when left out.",
           "COUNT"),
    Option("calibrate", "--held-out", "calibrate.held_out", float,
           "Share of the logs that judges the result; 0.2 when left out, 0 for none.", "SHARE"),
    Option("compare", "--trials", "compare.trials", int, "Trials of each scenario; 20 when left out.", "COUNT"),
    Option("compare", "--duration", "compare.duration", float, "Length of a trial; 300 samples at most when left out.", "SECONDS"),
    Option("compare", "--estimators", "compare.estimators", str, "Only these classical estimators.", _NAMES),
    Option("compare", "--scenarios", "compare.scenarios", str, "Only these scenarios.", _NAMES, former="--conditions"),
    Option("compare", "--evaluations", "compare.evaluations", int,
           "Evaluations that the tuning of each estimator may take; 80 when left out.", "COUNT"),
    Option("compare", "--training", "compare.training", int, "Trajectories to tune on; 24 when left out.", "COUNT"),
    Option("compare", "--limit", "compare.limit", float,
           "Time limit of an estimator per scenario, 60 when left out; slower ones are left out.", "SECONDS"),
    Option("experiment", "--rows", "experiment.rows", str,
           "Of published_tables: rows or groups, as box,hyperkkl.duffing.", "NAMES"),
    Option("experiment", "--seeds", "experiment.seeds", str, "Of published_tables: seeds, as 0-4 or 0,2.", "NUMBERS"),
    Option("fine-tune", "--noise", "fine_tune.noise", str,
           "Standard deviation of the noise: one number, or one for each output; that of the plant when left out.", _PER_OUTPUT),
    Option("fine-tune", "--bias", "fine_tune.bias", str, "Standard deviation of a constant bias of the outputs.", _PER_OUTPUT),
    Option("fine-tune", "--dropout", "fine_tune.dropout", float, "Share of missing measurements, as 0.1.", "SHARE"),
    Option("fine-tune", "--horizon", "fine_tune.horizon", int, "Samples of each simulated trajectory.", "SAMPLES"),
    Option("fine-tune", "--contraction-rate", "fine_tune.contraction_rate", float,
           "Bound of the contraction rate per sample; chosen from the noise when left out.", "RATE"),
    Option("fine-tune", "--iterations", "fine_tune.iterations", int, "Largest number of iterations.", "COUNT"),
    Option("fine-tune", "--budget", "fine_tune.budget", str, "Time limit of the tuning, as 20s or 2m.", "TIME"),
    Option("estimate", "--columns", "estimate.columns", str, "Columns named differently from their signal.", "SIGNAL=COLUMN,..."),
    Option("estimate", "--sample-time", "estimate.sample_time", str, _SAMPLE_TIME, "TIME"),
    Option("estimate", "--time-unit", "estimate.time_unit", str, _TIME_UNIT, "UNIT"),
    Option("estimate", "--date-order", "estimate.date_order", str, _DATE_ORDER, "ORDER"),
    Option("estimate", "--initial-estimate", "estimate.initial_estimate", str,
           "Initial estimate; the first logged state, else the middle of the initial range, when left out.",
           "STATE=VALUE,...", former="--start"),
    Option("export", "--format", "export.format", str, "csv (when left out), parquet, hdf5 or npz.", "NAME"),
)  # fmt: skip
BY_KEY = {option.key: option.flag for option in (*OPTIONS, *OWN) if option.key}
LONGEST_NAME, LONGEST_PATH, DEEPEST = 255, 4000, 300  # of a path: bytes of a name, bytes of all, folders


def place(text: str) -> Path:
    """A path that a file system can have. Raises BadParameter, which names the option."""
    size, parts = len(os.fsencode(text)), Path(text).parts
    if not text.strip() or "\0" in text:
        raise typer.BadParameter(f"{shorten(text)} is no path; expected the name of a file or a folder")
    if size > LONGEST_PATH or len(parts) > DEEPEST or any(len(os.fsencode(part)) > LONGEST_NAME for part in parts):
        raise typer.BadParameter(
            f"{shorten(text)} has {len(parts)} parts and {size} bytes; expected at most {DEEPEST} parts of {LONGEST_NAME} bytes, "
            f"{LONGEST_PATH} together"
        )
    return Path(text)


def takes(*groups: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options of these groups (or single flags).

    Those that are given arrive checked, in the parameter of their name or in ``**chosen``.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(command)
        options = {item.name: item for item in (*OPTIONS, *OWN) if item.group in groups or item.flag in groups}
        own = [item for item in signature.parameters.values() if item.kind is not inspect.Parameter.VAR_KEYWORD]
        own = [item for item in own if item.name not in options]
        added = [_parameter(option) for option in options.values()]

        def call(**arguments: Any) -> Any:
            check_limits()
            absent = {name for name in options if arguments[name] is None or arguments[name] is False}  # 0 is given
            given = {name: value for name, value in arguments.items() if name not in absent}
            return command(**given | _checked({name: given[name] for name in options if name in given}, options))

        call.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
        call.__annotations__ = {item.name: item.annotation for item in [*own, *added]}
        call.__name__, call.__doc__ = command.__name__, command.__doc__
        return call

    return decorate


def _checked(given: Mapping[str, Any], options: Mapping[str, Option]) -> dict[str, Any]:
    """The options that have a range, as they are read. Raises InputError that names every one at fault."""
    names = {options[name].key: name for name in given if options[name].type is not bool and options[name].key}
    if not names:
        return {}
    from experiments.pipeline.requests import checked

    found = checked({key: given[name] for key, name in names.items()}, BY_KEY)
    return {names[key]: value for key, value in found.items()}


def _parameter(option: Option) -> inspect.Parameter:
    flag = option.type is bool
    flags = [option.flag] if option.former is None else [option.flag, option.former]
    detail = typer.Option(*flags, help=option.help, show_default=False, metavar=option.metavar)
    kind = Annotated[bool, detail] if flag else Annotated[option.type | None, detail]
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, default=False if flag else None, annotation=kind
    )


def to_keys(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The flat keys of the recipe that the given options set."""
    keys = {option.key: chosen[option.name] for option in OPTIONS if option.key and option.name in chosen}
    if "validation.truth" in keys:
        keys["validation.truth"] = "model"
    return keys


def command_for(recipe: "Recipe", folder: Path) -> str:
    """The command that makes a run again, with every option that differs from its default."""
    from experiments.pipeline.recipe import Recipe

    if recipe.fine_tune.source is not None:
        words = ["observer", "fine-tune", recipe.fine_tune.source, "--out", str(folder)]
        for name, value in recipe.fine_tune.model_dump(exclude={"source"}, exclude_none=True).items():
            text = ",".join(f"{item}" for item in value) if isinstance(value, tuple) else f"{value}"
            words += [f"--{name.replace('_', '-')}", text]
        return shlex.join(words)
    given, default = recipe.flat(), Recipe(system=recipe.system).flat()
    words = ["observer", "run", recipe.system, "--out", str(folder)]
    for key, value in given.items():
        if key in ("system", "data.learned") or value == default[key]:
            continue
        if key not in BY_KEY:
            return shlex.join([*words[:3], "--config", str(folder / "config.toml"), "--out", str(folder)])
        words += [BY_KEY[key]] if value is True or key == "validation.truth" else [BY_KEY[key], f"{value}"]
    return shlex.join(words)
