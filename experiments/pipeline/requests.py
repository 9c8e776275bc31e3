"""The options that belong to one command and to no recipe: their types and ranges, and the check of all that was given."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from experiments.pipeline.kinds import (
    Columns,
    Count,
    DateOrder,
    OptionSection,
    Positive,
    SampleTime,
    Share,
    Text,
    Time,
    TimeUnit,
    between,
)
from experiments.pipeline.recipe import FineTuneRecipe, Recipe, nested, validated


class CalibrateRequest(OptionSection):
    """``observer calibrate``."""

    parameters: Text | None = None
    starts: Annotated[int, between(1, 10_000)] | None = None
    iterations: Count | None = None
    held_out: Annotated[float, between(0, 0.9)] | None = None


class CompareRequest(OptionSection):
    """``observer compare``."""

    trials: Count = 20
    duration: Positive | None = None
    estimators: Text | None = None
    scenarios: Text | None = None
    evaluations: Annotated[int, between(1, 1_000_000)] = 80
    training: Count = 24
    limit: Positive = 60.0


class CertifyRequest(OptionSection):
    """``observer certify``."""

    work: Share | None = None
    budget: Time | None = None
    gap: Share | None = None


class VerifyRequest(OptionSection):
    """``observer verify``."""

    budget: Time | None = None


class ExperimentRequest(OptionSection):
    """``observer experiment``."""

    rows: Text | None = None
    seeds: Text | None = None


class EstimateRequest(OptionSection):
    """``observer estimate``."""

    columns: Columns | None = None
    sample_time: SampleTime | None = None
    time_unit: TimeUnit | None = None
    date_order: DateOrder | None = None
    initial_estimate: Text | None = None


class ExportRequest(OptionSection):
    """``observer export``."""

    format: Literal["csv", "parquet", "hdf5", "npz"] = "csv"


SECTIONS: dict[str, type[OptionSection]] = {
    "calibrate": CalibrateRequest,
    "compare": CompareRequest,
    "certify": CertifyRequest,
    "verify": VerifyRequest,
    "experiment": ExperimentRequest,
    "estimate": EstimateRequest,
    "export": ExportRequest,
    "fine_tune": FineTuneRecipe,
}


def checked(given: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The values of options by key, as their kinds read them. Raises InputError that names the flags of those that are not possible.

    What belongs together is checked together; what was not given is left out.
    """
    found: dict[str, Any] = {}
    mine = {key: value for key, value in given.items() if key.partition(".")[0] in SECTIONS}
    for section, values in nested(mine).items():
        model = validated(SECTIONS[section], values, names, section=section)
        found |= {f"{section}.{name}": getattr(model, name) for name in values}
    shared = {key: value for key, value in given.items() if key not in mine}
    if shared:
        flat = validated(Recipe, nested({"system": "-", **shared}), names).flat()
        found |= {key: flat[key] for key in shared}
    return found
