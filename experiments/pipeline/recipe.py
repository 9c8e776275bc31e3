"""The recipe of a run: every option, typed, with located errors, written to ``config.toml`` and read back from it.

A value of None means "chosen by the program from the plant"; such keys are left out of the file.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from systems.base.errors import InputError
from systems.signals import EXCITATIONS

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds(value: Any) -> Any:
    """``"20s"``, ``"1.5m"``, ``"2h"``, ``"300ms"`` or a number, as seconds."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text[len(number) :] or "s"
    if unit not in _UNITS:
        raise ValueError("expected a time such as 20s, 2m or 1h")
    try:
        return float(number) * _UNITS[unit]
    except ValueError:
        raise ValueError("expected a time such as 20s, 2m or 1h") from None


def _settling(value: Any) -> Any:
    """A time, or "auto", which is what is done when nothing is said: both are None."""
    if isinstance(value, str) and value.strip().lower() == "auto":
        return None
    try:
        return seconds(value)
    except ValueError:
        raise ValueError("expected a time such as 20s, 2m or 1h, or auto") from None


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


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


def _mapping(text: str) -> str:
    from systems.recordings import parse_columns

    parse_columns(text)
    return text


class DataRecipe(_Section):
    """Simulated data: how many trajectories, how long [s], and the excitation of the inputs (None: the plant's own).

    Or logs instead: ``files``, a path or a pattern, and ``columns`` as ``signal=column,...`` where the names differ.
    """

    trajectories: Count = 100
    duration: Positive | None = None
    excitation: Excitation | None = None
    files: Annotated[str, Field(min_length=1)] | None = None
    columns: Annotated[str, AfterValidator(_mapping)] | None = None
    learned: bool = False  # the plant has no equations, so that the logs are all there is; found out by the program

    @model_validator(mode="after")
    def _one_source(self) -> "DataRecipe":
        if self.files is not None and (self.trajectories != 100 or self.duration or self.excitation):
            raise ValueError(
                "logs have their own trajectories, duration and inputs; leave those options out with --data"
            )
        if self.columns is not None and self.files is None:
            raise ValueError("columns belong to logs; give the logs with --data")
        return self


class FitRecipe(_Section):
    """The observer and its fit: see ``observer.fit``, whose arguments these are."""

    neurons: Annotated[int, Field(ge=0, le=100_000)] = 20
    activation: Annotated[str, AfterValidator(_covered)] = "tanh"
    settling_time: Annotated[Positive | None, BeforeValidator(_settling)] = None
    contraction_rate: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    solver: Annotated[str, AfterValidator(_solver)] = "auto"
    iterations: Count | None = None
    budget: Annotated[Positive, BeforeValidator(seconds)] | None = None
    tolerance: Positive | None = None
    dtype: Literal["float64", "float32"] = "float64"
    condition: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None

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


class ValidationRecipe(_Section):
    """Trials from random initial states: see ``observer.validate``, whose arguments these are.

    ``seed``: of a validation that was repeated with another one than that of the run.
    """

    trials: Count = 200
    duration: Positive | None = None
    spread: Positive = 1.0
    estimate_start: Literal["random", "zero", "centre"] = "random"
    truth: Annotated[Literal["reference", "model"], BeforeValidator(_truth)] = "reference"
    noise: bool = False
    excitation: Excitation | None = None
    window: tuple[float, float] | None = None
    map: Annotated[str, Field(min_length=1)] | None = None
    worst_trials: Annotated[int, Field(ge=20, le=1_000_000)] | None = None
    seed: Seed | None = None


class FineTuneRecipe(_Section):
    """Where a fine-tuned run came from (None: it is none), and the arguments of ``observer.fine_tune``."""

    source: str | None = None
    noise: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...] | None = None
    bias: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    horizon: Annotated[int, Field(ge=2, le=100_000)] | None = None
    contraction_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    iterations: Count | None = None
    budget: Annotated[Positive, BeforeValidator(seconds)] | None = None


class Recipe(_Section):
    """A whole run. ``system`` is a name of the library or a file as it was given."""

    system: str
    dt: Positive | None = None
    method: Literal["rk4", "euler", "exact", "scipy", "cvodes"] = "rk4"
    substeps: Annotated[int, Field(ge=1, le=100_000)] | None = None
    seed: Seed = 0
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
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        section, _, item = key.rpartition(".")
        target = nested.setdefault(section, {}) if section else nested
        target[item] = value
    return _validated(nested, names or {}, source)


def read_recipe(path: Path) -> Recipe:
    """The recipe in a ``config.toml``. Raises InputError that names the file and the keys at fault."""
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; expected a recipe, like the config.toml of a run") from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: not a recipe in TOML ({error}); copy the config.toml of a run and edit it"
        ) from error
    return _validated(document, {}, str(path))


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


def _validated(document: Mapping[str, Any], names: Mapping[str, str], source: str) -> Recipe:
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        faults = [_fault(item, names) for item in error.errors(include_url=False)]
        raise InputError((f"{source}: " if source else "") + "; ".join(faults)) from error


def _fault(item: Any, names: Mapping[str, str]) -> str:
    key = ".".join(str(part) for part in item["loc"] if not str(part).startswith("function-"))
    key = names.get(key, key)
    if item["type"] == "extra_forbidden":
        return f"{key}: no such option; expected {_neighbours(item['loc'])}"
    if item["type"] == "missing":
        return f'{key}: missing; it names the plant, as in system = "box"'
    cause = item.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return str(cause)
    advice = item["msg"].removeprefix("Value error, ")
    advice = advice[0].lower() + advice[1:]
    if isinstance(item["input"], Mapping):
        return f"{key}: {advice}"
    return f"{key} is {item['input']!r}; {advice.replace('input should be', 'expected')}"


def _neighbours(location: tuple[Any, ...]) -> str:
    model: Any = Recipe
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
