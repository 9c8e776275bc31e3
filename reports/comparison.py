"""The variants of an experiment side by side: what each brings, and the table of their numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from reports.quantities import MISSING, Number, percent, time_unit
from reports.tables import Table

if TYPE_CHECKING:
    from observer.certification.certificate import Certificate
    from observer.fitting.result import FitResult
    from observer.validation.result import Validation


@dataclass(frozen=True)
class Variant:
    """One variant of an experiment; what it does not have is None (a published figure has only ``numbers``).

    description : a sentence that says what it is.
    numbers : further rows of the table, label -> number, text or ``Number(value, unit, digits)``.
    """

    validation: "Validation | None" = None
    fit: "FitResult | None" = None
    certificate: "Certificate | None" = None
    description: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)


def comparison_context(variants: Mapping[str, Variant], folder: Path) -> dict[str, Any]:
    """What the template needs: banners, the table, and links to the variants that have a report of their own."""
    banners = []
    for name, variant in variants.items():
        v = variant.validation
        report = (
            f"{quote(name)}/report.html" if _is_folder_name(name) and (folder / name / "report.html").is_file() else ""
        )
        banner = {
            "name": name,
            "description": variant.description,
            "report": report,
            "status": "",
            "headline": "",
            "sentence": "",
        }
        if v is not None:
            failed = "; ".join(
                f"{c.name.replace('_', ' ')} (required: {c.requirement})" for c in v.criteria if not c.passed
            )
            sentence = f"{int(np.sum(v.converged))} of {v.trials} trials converged, {v.n_diverged} diverged."
            banner |= {
                "status": "pass" if v.verdict == "pass" else "fail",
                "headline": "pass" if v.verdict == "pass" else "fail",
            }
            banner["sentence"] = f"{sentence} Not met: {failed}." if failed else f"{sentence} All criteria are met."
        banners.append(banner)
    return {"variants": banners, "tables": [comparison_table(variants)]}


def comparison_table(variants: Mapping[str, Variant]) -> Table:
    """One column per variant, one row per number; a dash where a variant does not have it."""
    columns = {name: _numbers(variant) for name, variant in variants.items()}
    labels = list(dict.fromkeys(label for numbers in columns.values() for label in numbers))
    # Rows given by hand come first: they are what the experiment is about.
    own = [label for label in labels if any(label in variant.numbers for variant in variants.values())]
    ordered = [*own, *[label for label in labels if label not in own]]
    rows = tuple((label, *[numbers.get(label, MISSING) for numbers in columns.values()]) for label in ordered)
    return Table(rows, ("", *columns))


def _numbers(variant: Variant) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    v, c, f = variant.validation, variant.certificate, variant.fit
    if v is not None:
        rows |= {"verdict": str(v.verdict), "trials": Number(v.trials), "diverged": Number(v.n_diverged)}
        rows["converged"] = percent(v.converged_fraction)
        rows["plant simulated by"] = str(v.plant_method)
        rows["window"] = (Number(float(v.window[0]), "", 5), Number(float(v.window[1]), time_unit(), 5))
        for i, (name, unit) in enumerate(zip(v.state_names, v.units, strict=True)):
            rows[f"RMS error of {name}"] = Number(v.rms_error[i], unit, 3)
            rows[f"largest error of {name}"] = Number(v.max_error[i], unit, 3)
            rows[f"settling time of {name}, median"] = (
                Number(v.settling_time[i], time_unit(), 3) if np.isfinite(v.settling_time[i]) else "never"
            )
    if c is not None:
        rows |= {"certificate holds": Number(c.holds), "contraction rate α*": Number(c.rate, "per step", 6)}
    if f is not None:
        rows |= {
            "one-step loss": Number(f.one_step_loss, "", 3),
            "loss of the linear observer": Number(f.start_loss, "", 3),
        }
        rows |= {"neurons": Number(int(f.observer.weights.nv)), "time to fit": Number(f.seconds, "s", 3)}
    for label, value in variant.numbers.items():
        rows[label] = value if isinstance(value, Number | str) else Number(value)
    return rows


def _is_folder_name(name: str) -> bool:
    return Path(name).name == name and name not in ("", ".", "..")
