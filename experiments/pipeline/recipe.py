"""The recipe of a run: every option, typed, with located errors, written to ``config.toml`` and read back from it.

A value of None means "chosen by the program from the plant"; such keys are left out of the file.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from experiments.pipeline.kinds import (
    LARGEST,
    SMALLEST,
    Columns,
    Count,
    DateOrder,
    Deviations,
    Moment,
    OptionSection,
    Positive,
    SampleTime,
    Seed,
    SettlingTime,
    Share,
    Text,
    Time,
    TimeUnit,
    between,
)
from systems.base.errors import InputError
from systems.base.wording import shorten
from systems.signals import EXCITATIONS

Model = TypeVar("Model", bound=OptionSection)


def _covered(name: str) -> str:
    """The name of an activation that the certificate covers; the refusal of another says why."""
    from observer.networks.activations import get_activation

    return get_activation(name).name


def _solver(name: str) -> str:
    from observer.fitting.solvers import SOLVERS

    if name not in ("auto", *SOLVERS):
        raise ValueError(f"expected auto, {' or '.join(SOLVERS)}")
    return name


def _excitation(kind: str) -> str:
    if kind not in EXCITATIONS:
        raise ValueError(f"expected one of {', '.join(EXCITATIONS)}")
    return kind


def _truth(value: Any) -> Any:
    """``oracle``, as the reference integrator was called in recipes of format 1."""
    return "reference" if value == "oracle" else value


Excitation = Annotated[str, AfterValidator(_excitation)]


class DataRecipe(OptionSection):
    """Simulated data: how many trajectories, how long [s], and the excitation of the inputs (None: the plant's own).

    Or logs instead: ``files``, a path or a pattern, ``columns`` as ``signal=column,...`` where the names differ, and what the logs do
    not say of their time (``sample_time``, ``time_unit``, ``date_order``: see ``systems.Timing``).
    """

    trajectories: Count = 100
    duration: Positive | None = None
    excitation: Excitation | None = None
    files: Text | None = None
    columns: Columns | None = None
    sample_time: SampleTime | None = None
    time_unit: TimeUnit | None = None
    date_order: DateOrder | None = None
    learned: bool = False  # the plant has no equations, so that the logs are all there is; found out by the program

    @model_validator(mode="after")
    def _one_source(self) -> "DataRecipe":
        if self.files is not None and (self.trajectories != 100 or self.duration or self.excitation):
            raise ValueError(
                "logs have their own trajectories, duration and inputs; leave those options out with --data"
            )
        for name in ("columns", "sample_time", "time_unit", "date_order"):
            if getattr(self, name) is not None and self.files is None:
                raise ValueError(f"{name} belongs to logs; give the logs with --data")
        return self


class FitRecipe(OptionSection):
    """The observer and its fit: see ``observer.fit``, whose arguments these are."""

    neurons: Annotated[int, between(0, 100_000)] = 20
    activation: Annotated[str, AfterValidator(_covered)] = "tanh"
    settling_time: SettlingTime = None
    contraction_rate: Annotated[float, between(SMALLEST, 1)] | None = None
    solver: Annotated[str, AfterValidator(_solver)] = "auto"
    iterations: Count | None = None
    budget: Time | None = None
    tolerance: Share | None = None
    dtype: Literal["float64", "float32"] = "float64"
    condition: Annotated[float, between(1, LARGEST)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _former_name(cls, given: Any) -> Any:
        """``epochs``, as the iterations were called in recipes of format 1."""
        if not isinstance(given, Mapping) or "epochs" not in given:
            return given
        rest = {name: value for name, value in given.items() if name != "epochs"}
        if rest.get("iterations") is not None:
            raise ValueError("epochs is the former name of iterations; give only iterations")
        return rest | {"iterations": given["epochs"]}

    @model_validator(mode="after")
    def _one_rate(self) -> "FitRecipe":
        if self.settling_time is not None and self.contraction_rate is not None:
            raise ValueError("settling_time and contraction_rate both state the rate; give one of them")
        return self


class ValidationRecipe(OptionSection):
    """Trials from random initial states: see ``observer.validate``, whose arguments these are.

    ``peak``: ranges that no error may exceed at any time (None: it is stated, and not judged). ``seed``: of a validation
    that was repeated with another one than that of the run.
    """

    trials: Count = 200
    duration: Positive | None = None
    spread: Share = 1.0
    estimate_start: Literal["random", "zero", "centre"] = "random"
    truth: Annotated[Literal["reference", "model"], BeforeValidator(_truth)] = "reference"
    noise: bool = False
    excitation: Excitation | None = None
    window: tuple[Moment, Moment] | None = None
    map: Text | None = None
    worst_trials: Annotated[int, between(20, 1_000_000)] | None = None
    peak: Share | None = None
    seed: Seed | None = None


class FineTuneRecipe(OptionSection):
    """Where a fine-tuned run came from (None: it is none), and the arguments of ``observer.fine_tune``."""

    source: str | None = None
    noise: Deviations | None = None
    bias: Deviations | None = None
    dropout: Annotated[float, between(0, 0.999)] | None = None
    horizon: Annotated[int, between(2, 100_000)] | None = None
    contraction_rate: Annotated[float, between(SMALLEST, 1 - SMALLEST)] | None = None
    iterations: Count | None = None
    budget: Time | None = None


class Recipe(OptionSection):
    """A whole run. ``system`` is a name of the library or a file as it was given.

    ``certify_budget`` [s]: the clock's limit of the certificate; where it is reached, another run gets other numbers.
    """

    system: str
    dt: Positive | None = None
    method: Literal["rk4", "euler", "exact", "scipy", "cvodes"] = "rk4"
    substeps: Annotated[int, between(1, 100_000)] | None = None
    seed: Seed = 0
    certify_budget: Time | None = None
    data: DataRecipe = Field(default_factory=DataRecipe)
    fit: FitRecipe = Field(default_factory=FitRecipe)
    validation: ValidationRecipe = Field(default_factory=ValidationRecipe)
    fine_tune: FineTuneRecipe = Field(default_factory=FineTuneRecipe)

    @property
    def validation_seed(self) -> int:
        """The seed of the validation; in its trials it is one more, so that they are not those of the fit."""
        return self.seed if self.validation.seed is None else self.validation.seed

    def flat(self) -> dict[str, Any]:
        """Every key with its section in front, ``{"dt": 0.05, "fit.neurons": 20, ...}``."""
        return dict(_flatten(self.model_dump()))

    def changed(self, **values: Any) -> "Recipe":
        """The recipe with some flat keys replaced (``**{"fit.neurons": 40}``). Raises InputError for bad ones."""
        return build(self.flat() | values)


def build(flat: Mapping[str, Any], names: Mapping[str, str] | None = None, source: str = "") -> Recipe:
    """A Recipe from flat keys. ``names`` gives the word by which a person knows a key (``--neurons``) in messages."""
    return validated(Recipe, nested(flat), names or {}, source)


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Flat keys as a document, ``{"fit.neurons": 20}`` as ``{"fit": {"neurons": 20}}``."""
    document: dict[str, Any] = {}
    for key, value in flat.items():
        section, _, item = key.rpartition(".")
        target = document.setdefault(section, {}) if section else document
        target[item] = value
    return document


def read_recipe(path: Path) -> Recipe:
    """The recipe in a ``config.toml``. Raises InputError that names the file and the keys at fault."""
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no regular file")
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; expected a recipe, like the config.toml of a run") from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: not a recipe in TOML ({error}); copy the config.toml of a run and edit it"
        ) from error
    return validated(Recipe, document, {}, str(path))


def differences(old: Recipe, new: Recipe) -> list[str]:
    """The keys in which two recipes differ, as ``fit.neurons (20 there, 40 asked for)``, but for the plant's name."""
    before, after = old.flat(), new.flat()
    return [
        f"{key} ({_shown(before[key])} there, {_shown(after[key])} asked for)"
        for key in before
        if key != "system" and before[key] != after[key]
    ]


def to_toml(recipe: Recipe, remarks: Mapping[str, str] | None = None) -> str:
    """The text of ``config.toml``. ``remarks`` are values that the program chose: comments behind absent keys."""
    remarks = remarks or {}
    document = recipe.model_dump()
    lines = ["# Every option of this run. `observer run NAME_OR_FILE --config config.toml --out RUN` makes it again."]
    tables = [("", {key: value for key, value in document.items() if not isinstance(value, dict)})]
    tables += [(key, value) for key, value in document.items() if isinstance(value, dict)]
    for section, values in tables:
        if section == "fine_tune" and values["source"] is None:
            continue
        if section:
            lines += ["", f"[{section}]"]
        for key, value in values.items():
            remark = remarks.get(f"{section}.{key}" if section else key)
            if value is not None:
                lines.append(f"{key} = {_toml_value(value)}")
            elif remark is not None:
                lines.append(f"# {key} = {remark}")
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace(
            "\x7f", "\\u007f"
        )  # JSON strings are TOML strings but for DEL
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    return repr(value)


def validated(
    model: type[Model], document: Mapping[str, Any], names: Mapping[str, str], source: str = "", section: str = ""
) -> Model:
    """The model of a document, or InputError that names every key at fault (``names`` by its full key) and what is expected."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        faults = [_fault(model, item, names, section) for item in error.errors(include_url=False)]
        raise InputError((f"{source}: " if source else "") + "; ".join(faults)) from error


def _fault(model: type[OptionSection], item: Any, names: Mapping[str, str], section: str) -> str:
    parts = [str(part) for part in (section, *item["loc"]) if part != "" and not str(part).startswith("function-")]
    key = ".".join(parts)
    key = names.get(key) or names.get(".".join(parts[:2]), key)  # an element of a sequence is named by its option
    if item["type"] == "extra_forbidden":
        return f"{key}: no such option; expected {_neighbours(model, item['loc'])}"
    if item["type"] == "missing":
        return f'{key}: missing; it names the plant, as in system = "box"'
    cause = item.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return str(cause) if key in str(cause) else f"{key}: {cause}"
    advice = item["msg"].removeprefix("Value error, ")
    advice = advice[0].lower() + advice[1:]
    if isinstance(item["input"], Mapping):
        return f"{key}: {advice}"
    return f"{key} is {shorten(item['input'])}; {advice.replace('input should be', 'expected')}"


def _neighbours(model: Any, location: tuple[Any, ...]) -> str:
    for part in location[:-1]:
        found = Recipe.model_fields.get(str(part))
        model = found.default_factory if found is not None and found.default_factory else model
    return "one of " + ", ".join(model.model_fields)


def _flatten(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _shown(value: Any) -> str:
    return "automatic" if value is None else repr(value)
