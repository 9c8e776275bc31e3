"""The options of the command line in one table: flag, key of the recipe, meaning.

A command takes whole groups of them with ``@takes("plant", "fit")``; only what a person gave arrives in ``chosen``.
"""

import inspect
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from experiments.pipeline.recipe import Recipe


@dataclass(frozen=True)
class Option:
    """One option: its flag, the flat key of the recipe (empty: an option of the command alone), its type and its help.

    ``former``: a flag of earlier versions that is still accepted.
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


OPTIONS = (
    Option("plant", "--dt", "dt", float, "Sampling time in seconds; the plant's own when left out.", "SECONDS"),
    Option("plant", "--method", "method", str, "Discretisation: rk4, euler, exact or scipy.", "NAME"),
    Option("plant", "--substeps", "substeps", int, "Integration steps per sample; chosen for accuracy when left out.", "COUNT"),
    Option("seed", "--seed", "seed", int, "Seed of all random numbers; same seed, same run.", "NUMBER"),
    Option("data", "--trajectories", "data.trajectories", int, "Trajectories to learn from.", "COUNT"),
    Option("data", "--duration", "data.duration", float, "Length of a trajectory in seconds.", "SECONDS"),
    Option("data", "--excitation", "data.excitation", str, "Excitation of every input: walk, steps, sine, chirp, prbs, ...", "NAME"),
    Option("data", "--data", "data.files", str,
           "Logs to learn from instead of simulated data: a file, or a quoted pattern such as 'logs/*.csv'.", "FILES"),
    Option("data", "--columns", "data.columns", str,
           "Columns of the logs named differently from their signal, as speed=v_wheel,t=stamp.", "SIGNAL=COLUMN,..."),
    Option("fit", "--neurons", "fit.neurons", int, "Neurons of the observer; 0 gives the linear observer.", "COUNT"),
    Option("fit", "--activation", "fit.activation", str, "tanh, relu or sigmoid.", "NAME"),
    Option("fit", "--settling-time", "fit.settling_time", str,
           "Time for the error to fall to 2 %, as 1.5s; auto (the default) balances speed and noise.", "TIME"),
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
    Option("validation", "--map", "validation.map", str, "States of the convergence map; the first two when left out.", "STATE,STATE"),
    Option("validation", "--worst-trials", "validation.worst_trials", int,
           "Trials of the search for the worst initial state; chosen by the size of the plant when left out.", "COUNT"),
    Option("fresh", "--fresh", "", bool, "Start again in an existing run folder."),
    Option("output", "--quiet", "", bool, "No progress."),
    Option("output", "--json", "", bool, "The metrics as JSON on stdout, everything else on stderr."),
)  # fmt: skip
BY_KEY = {option.key: option.flag for option in OPTIONS if option.key}


def takes(*groups: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options of these groups (or single flags); its ``**chosen`` receives those given, by name."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(command)
        own = [item for item in signature.parameters.values() if item.kind is not inspect.Parameter.VAR_KEYWORD]
        added = [_parameter(option) for option in OPTIONS if option.group in groups or option.flag in groups]

        def call(**arguments: Any) -> Any:
            optional = {item.name for item in added}
            return command(
                **{
                    name: value
                    for name, value in arguments.items()
                    if name not in optional
                    or (value is not None and value is not False)  # 0 is given, and is not False here
                }
            )

        call.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
        call.__annotations__ = {item.name: item.annotation for item in [*own, *added]}
        call.__name__, call.__doc__ = command.__name__, command.__doc__
        return call

    return decorate


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
