"""The numbers of a run in one document, ``metrics.json``, and as the table that ``observer run`` prints."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from observer import runs
from observer.run_chain import origins
from observer.runs import Run
from observer.storage import FORMAT_VERSION, package_version
from observer.validation.on_logs import judged_apart
from observer.validation.result import deciding, overall_verdict
from observer.validation.validate import LOGGED
from systems.base.errors import InputError
from systems.base.records import to_plain
from systems.feedback import commands_of

if TYPE_CHECKING:
    from observer.fitting.result import FitResult
    from observer.state_observer import RENObserver

_CERTIFICATE = (
    "rate",
    "rate_per_second",
    "rate_bound",
    "metric_condition",
    "lmi_margin",
    "gain_y",
    "gain_u",
    "holds",
    "reason",
)
_HEADER = ("format_version", "package_version", "command", "hashes")


def metrics_of(run: Run, command: str = "") -> dict[str, Any]:
    """The content of ``metrics.json``: what was measured and how it was made. Parts whose step is not done are absent.

    Units: seconds, and those of each state; ``one_step_loss`` is in squared physical units.
    """
    names = run.system.state_names
    document: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "package_version": package_version(),
        "command": command,
        "system": run.system.name,
        "dt": run.plant.dt,
        "units": {signal.name: signal.unit for signal in run.system.states},
        "discretization": {
            "method": run.plant.method,
            "substeps": run.plant.substeps,
            "error": dict(zip(names, np.asarray(run.plant.error, dtype=float), strict=True)),
        },
    }
    feedback = run.system.feedback
    if feedback is not None:
        names_of = [signal.name for signal in feedback.references]
        document["feedback"] = {"inputs": list(feedback.inputs), "references": names_of, "found": feedback.found}
    if run.observer is not None:
        document["network"] = _network(run.observer)
    if run.fit is not None:
        document["fit"] = _fit(run.fit, names)
    if run.certificate is not None:
        proof = run.certificate
        document["certificate"] = {name: getattr(proof, name) for name in _CERTIFICATE} | accuracy(run)
    for key, check in (("validation", run.validation), ("validation_noise", run.validation_noise)):
        if check is not None:
            document[key] = check.metrics() | {"warnings": list(check.warnings)}
    if run.validation is not None:
        document["validation"] |= _worst_cases(run)
    if run.logs:
        document["data"] = {
            "logs": {log["file"]: log["sha256"] for log in run.logs["logs"]},
            "trajectories": run.logs["trajectories"],
        }
        if run.validation is not None and run.config.get("data", {}).get("learned"):
            document["validation"]["logs_chose_the_iterate"] = not judged_apart(run.logs["trajectories"])
    if run.fine_tuning:
        document["fine_tuning"] = {name: value for name, value in run.fine_tuning.items() if name not in _HEADER}
    if "validation" in document:
        document["verdict"] = verdict(run)
    document |= origins(run.path, runs.METRICS)
    return to_plain(document)


def _network(observer: "RENObserver") -> dict[str, Any]:
    weights = observer.weights
    return {
        "kind": observer.meta().get("kind", "ren"),
        "nx": weights.nx,
        "nu": weights.nu,
        "ny": weights.ny,
        "nv": weights.nv,
        "parameters": int(sum(np.size(array) for array in observer.direct.values())),
        "activation": weights.activation,
        "contraction_rate": observer.contraction_rate,
    }


def _fit(fit: "FitResult", names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "status": fit.status,
        "message": fit.message,
        "solver": fit.solver,
        "one_step_loss": fit.one_step_loss,
        "one_step_rms": dict(zip(names, np.asarray(fit.one_step_rms, dtype=float), strict=True)),
        "start_loss": fit.start_loss,
        "seconds": fit.seconds,
        "iterations": fit.iterations,
        "seed": fit.seed,
        "fastest_rate": fit.search.rate,
        "warnings": list(fit.warnings),
    }


def _worst_cases(run: Run) -> dict[str, Any]:
    """The trials against their envelopes, the worst initial states that were found, and the convergence map."""
    from observer.validation.envelopes import trial_envelopes

    residual = run.worst_cases.residual if run.worst_cases is not None else math.nan
    checked = trial_envelopes(run.certificate, run.validation, run.plant, residual)
    found = {} if checked is None else {"envelope": checked.to_data()}
    return found | (
        {}
        if run.worst_cases is None
        else run.worst_cases.metrics(run.system.state_names, tuple(s.name for s in commands_of(run.system)))
    )


def accuracy(run: Run) -> dict[str, Any]:
    """The accuracy that the certificate states, in few numbers, with its ``kind`` (proved, sampled or statistical)."""
    from observer.certification.envelope import ultimate_bound

    bounds = run.certificate.bounds if run.certificate is not None else None
    if bounds is None:
        return {}
    names, result = (
        run.system.state_names,
        {"kind": bounds.kind, "accuracy": bounds.reason, "region": bounds.region.box},
    )
    if bounds.proof is not None and run.certificate is not None:
        p = bounds.proof.residual
        result |= {"residual_upper": p.upper, "residual_lower": p.lower, "residual_status": p.status}
        result |= {"residual_structural": bounds.structural, "residual_seconds": bounds.seconds}
        for key, held in (("steady_error", False), ("steady_error_unforced", True)):
            if held and bounds.horizon is None:
                continue
            try:
                values, sources = ultimate_bound(run.certificate, held_input=held)
            except InputError:  # a bound that is not finite, so none
                continue
            result |= {key: dict(zip(names, values, strict=True)), f"{key}_by": dict(zip(names, sources, strict=True))}
    if bounds.statistical is not None:
        s = bounds.statistical
        result |= {
            "trials": s.trials,
            "coverage": s.coverage,
            "confidence": s.confidence,
            "largest_residual_met": s.residual,
        }
        result |= {"largest_error_met": dict(zip(names, s.state_error, strict=True)), "window_met": s.window}
    return result


def verdict(run: Run) -> str:
    """``"pass"`` or ``"fail"``; "fail" without a validation."""
    return overall_verdict(run.validation, run.validation_noise, run.certificate)


SHOWN_STATES = 6


def table(run: Run) -> Iterator[tuple[str, str, str, str]]:
    """Rows (what, number, requirement, pass or fail) that sum a run up; no requirement, no last column."""
    if run.fit is not None:
        fit = run.fit
        ratio = fit.start_loss / fit.one_step_loss if fit.one_step_loss else math.inf
        better = f"{ratio:.3g} times below the linear observer" if ratio > 1 else "no better than the linear observer"
        yield "fit", f"{fit.status}, loss {fit.one_step_loss:.3g}", better, ""
    checks = deciding(run.validation, run.validation_noise)
    for check in checks:
        said = " (with noise)" if check.noise else ""
        for criterion in check.criteria:
            name = criterion.name.replace("_", " ")
            if "certificate" not in name or check is run.validation:
                yield f"{name}{said}", shown(criterion.value), criterion.requirement, _word(criterion.passed)
    if run.certificate is not None and not any("certificate" in c.name for check in checks for c in check.criteria):
        proof = run.certificate
        yield "certified rate", f"{proof.rate:.6g} per step", "the certificate holds", _word(proof.holds)
    if run.validation is not None:
        check, last = run.validation, checks[-1]
        peak = last.peak
        said = f"{number(peak.error)}{f' {peak.unit}' if peak.unit else ''} in {peak.state} at {peak.time:.3g} {run.system.time_unit}"
        yield "peak of the transient", said, f"{number(peak.ranges)} ranges; not judged without --peak", ""
        rows = list(zip(run.system.states, check.settling_time, last.rms_error, strict=True))
        if len(rows) > SHOWN_STATES:  # the hardest ones; the report has them all
            width = np.ptp(check.ranges, axis=1)
            hardest = np.sort(np.argsort(last.rms_error / width)[-SHOWN_STATES:])
            yield f"{len(rows)} states", f"the {SHOWN_STATES} hardest follow", "", ""
            rows = [rows[k] for k in hardest]
        noisy = " with noise" if last.noise else ""
        what = "difference from the equations' motion" if check.plant_method == LOGGED["equations"] else f"error{noisy}"
        for signal, time, rms in rows:
            unit = f" {signal.unit}" if signal.unit else ""
            time_text = f"{time:.3g} {run.system.time_unit}" if np.isfinite(time) else "never"
            yield f"{signal.name}", f"settles in {time_text}", f"RMS {what} {rms:.3g}{unit}", ""


def number(value: float) -> str:
    """Three digits; in words where it is not finite."""
    return f"{value:.3g}" if np.isfinite(value) else "unlimited"


def shown(value: Any) -> str:
    """A number for a person: four digits, yes or no for a truth value."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def _word(passed: bool) -> str:
    return "pass" if passed else "FAIL"
