"""What the results mean, in plain sentences: the verdict, what is proved and what is not, and the key numbers."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from reports.certificates import assumed_sentences, proved, proved_sentences, sampled_sentences
from reports.figures.settling import certified_settling
from reports.quantities import MISSING, NBSP, Number, number_text, percent
from reports.results import Results
from reports.selection import widths

ENDED_WELL = ("converged", "linear")


@dataclass(frozen=True)
class Verdict:
    """The banner: ``status`` is "pass", "fail" or "open"; ``criteria`` as judged, with value and requirement."""

    status: str
    headline: str
    sentence: str
    criteria: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Claim:
    """One of the three cards: a kind of knowledge, and its sentences. ``sound`` is False where it is missing."""

    title: str
    sentences: tuple[str, ...]
    sound: bool = True


@dataclass(frozen=True)
class KeyNumber:
    """A number in large type: what it is, the number, and a line below it."""

    label: str
    number: Number
    note: str = ""


def verdict(results: Results) -> Verdict:
    """The verdict of the validation, or that it is still open."""
    v = results.validation
    if v is None:
        return Verdict("open", "Not validated", "Not computed yet: run `observer validate RUN`.")
    failed = [c for c in v.criteria if not c.passed]
    reached = f"{int(np.sum(v.converged))} of {v.trials} trials converged"
    if v.verdict == "pass":
        return Verdict("pass", "Pass", f"{reached}. All criteria are met.", tuple(v.criteria))
    names = "; ".join(f"{c.name} is {number_text(c.value)}, required: {c.requirement}" for c in failed)
    return Verdict("fail", "Fail", f"{reached}. {f'Not met: {names}.' if names else ''}".strip(), tuple(v.criteria))


def summary(results: Results) -> str:
    """One paragraph for someone who reads nothing else."""
    s, v, fit = results.system, results.validation, results.fit
    inputs = [signal.name for signal in s.inputs if signal.role == "known"]
    known = f" and the known input{'s' if len(inputs) > 1 else ''} {_list(inputs)}" if inputs else ""
    parts = [
        "From "
        f"{_list([signal.name for signal in s.outputs])}{known}, this observer "
        f"estimates the state{'s' if len(s.states) > 1 else ''} {_list([signal.name for signal in s.states])} "
        f"of the plant “{s.name}” "
        f"every {number_text(results.plant.dt)}{NBSP}s."
    ]
    if v is None:
        return parts[0] + " How well it does so has not been tried yet."
    logged = v.plant_method == "logged data"
    against = "on logs held out of the fit" if logged else f"against the plant, simulated by {v.plant_method}"
    starts = f"In {v.trials} trials of {number_text(float(v.t[-1]) - float(v.t[0]))}{NBSP}s {against},"
    converged = int(np.sum(v.converged))
    share = f"all {converged}" if converged == v.trials else f"{converged} of them" if converged else "none of them"
    parts.append(f"{starts} the estimate came within 2{NBSP}% of the range of every state and stayed there in {share}.")
    settling = np.asarray(v.settling_time, dtype=float)
    if np.isfinite(settling).all():
        slow = int(np.argmax(settling))
        parts.append(
            f"The slowest state, {v.state_names[slow]}, takes {number_text(settling[slow], 3)}{NBSP}s in the "
            "median trial."
        )
    else:
        never = [name for name, time in zip(v.state_names, settling, strict=True) if not math.isfinite(time)]
        parts.append(f"In the median trial {_list(never)} never settled.")
    if v.n_diverged:
        parts.append(f"{v.n_diverged} trial{'s' if v.n_diverged > 1 else ''} diverged.")
    outside = int(np.sum(~np.asarray(v.in_region, dtype=bool)))
    if outside:
        parts.append(f"In {outside} of them the plant left its operating range for a while.")
    relative = np.asarray(v.rms_error, dtype=float) / widths(v)
    if np.isfinite(relative).all():
        i = int(np.argmax(relative))
        parts.append(
            f"After the transient the largest RMS error is {_with_unit(v.rms_error[i], v.units[i])} in "
            f"{v.state_names[i]}, "
            f"{percent(relative[i], 2)} of its range."
        )
    passed = results.validation is not None and str(results.validation.verdict) == "pass"
    fine = (*ENDED_WELL, "iteration_limit", "budget") if passed else ENDED_WELL
    if fit is not None and plain_status(fit) not in fine:
        parts.append(f"The fit ended with the status “{plain_status(fit)}”.")
    return " ".join(parts)


def claims(results: Results) -> list[Claim]:
    """What is proved, what is sampled, what is assumed."""
    return [_proved(results), _sampled(results), _assumed(results)]


def _proved(results: Results) -> Claim:
    c = results.certificate
    if c is None:
        return Claim("Proved", ("Nothing yet. Not computed yet: run `observer certify RUN`.",), sound=False)
    if not c.holds:
        return Claim("Proved", (str(c.reason),), sound=False)
    time = certified_settling(c, results.plant.dt)
    return Claim(
        "Proved",
        (
            "Any two estimates fed with the same measurements approach each other by at least the factor α* = "
            f"{number_text(c.rate, 5)} "
            "in every step, in the metric M: from every start, for every input, without end.",
            f"So a wrong first guess is forgotten: to 2{NBSP}% in {number_text(time, 3)}{NBSP}s."
            if time is not None
            else "The rate is not below 1, so it gives no time to forget a wrong first guess.",
            "Checked in float64 by the eigenvalues of the matrices that are shipped.",
            *proved_sentences(results),
        ),
    )


def _sampled(results: Results) -> Claim:
    v = results.validation
    if v is None:
        return Claim("Sampled", ("Nothing yet. Not computed yet: run `observer validate RUN`.",), sound=False)
    more = "See what is proved." if proved(results) else "A larger one may exist elsewhere in the region."
    return Claim(
        "Sampled",
        (
            f"How well the observer copies the plant: the largest one-step residual met along the trials is r̂ = "
            f"{number_text(v.residual_level, 3)} in the metric M. {more}",
            *sampled_sentences(results),
            f"The accuracy that remains: {v.trials} random trials (seed "
            f"{v.seed}){', with measurement noise' if v.noise else ''}. "
            "They are evidence, not proof.",
        ),
    )


def _assumed(results: Results) -> Claim:
    disturbed = [signal.name for signal in results.system.inputs if signal.role != "known"]
    sentences = [
        "The plant is the given equation with the given parameters, and it stays in its operating range.",
        *assumed_sentences(results),
        "Known inputs and measurements arrive on time, without a missing sample.",
    ]
    if disturbed:
        sentences.append(f"The observer is not told of {_list(disturbed)}.")
    if results.validation_noise is None and results.validation is not None and not results.validation.noise:
        sentences.append("The sensors are free of noise in these trials.")
    error = np.asarray(results.plant.error, dtype=float)
    if error.size and np.isfinite(error).all() and error.max() > 0:
        sentences.append(
            "The discrete model that was fitted differs from the ODE by up to "
            f"{number_text(float(error.max()), 2)} of a range per step."
        )
    return Claim("Assumed", tuple(sentences))


def key_numbers(results: Results) -> list[KeyNumber]:
    """The numbers in large type."""
    v, c, fit, numbers = results.validation, results.certificate, results.fit, []
    if v is not None:
        numbers.append(
            KeyNumber("Trials converged", Number(int(np.sum(v.converged))), f"of {v.trials}; {v.n_diverged} diverged")
        )
        settling, relative = np.asarray(v.settling_time, dtype=float), np.asarray(v.rms_error, dtype=float) / widths(v)
        slow = int(np.argmax(np.where(np.isfinite(settling), settling, np.inf)))
        if math.isfinite(settling[slow]):
            numbers.append(
                KeyNumber(
                    "Settling time", Number(settling[slow], "s", 3), f"median, slowest state {v.state_names[slow]}"
                )
            )
        else:
            numbers.append(
                KeyNumber("Settling time", Number(None), f"{v.state_names[slow]} never settled in the median")
            )
        hard = int(np.argmax(np.where(np.isfinite(relative), relative, np.inf)))
        note = f"{percent(relative[hard], 2)} of range, largest: {v.state_names[hard]}"
        numbers.append(KeyNumber("RMS error", Number(v.rms_error[hard], v.units[hard], 2), note))
    if c is not None:
        holds = (
            f"per step, certified; {number_text(c.rate_per_second, 3)} per second"
            if c.holds
            else "per step; the certificate does not hold"
        )
        numbers.append(KeyNumber("Contraction rate α*", Number(c.rate, "", 4), holds))
    if fit is not None:
        better = _ratio(fit.start_loss, fit.one_step_loss)
        note = better or "held-out, mean of |x⁺ − x̂⁺|²"
        numbers.append(KeyNumber("One-step loss", Number(fit.one_step_loss, "", 2), note))
        weights = fit.observer.weights
        numbers.append(KeyNumber("Neurons", Number(int(weights.nv)), f"{weights.activation}, {weights.nx} states"))
    return numbers


def warnings(results: Results) -> list[str]:
    """Warnings of discretisation, fit and validation, and a fit that did not end well.

    A fit that was stopped by its limits is no warning where the observer passes all the same.
    """
    fit = results.fit
    said = [
        str(text)
        for text in (
            *results.plant.warnings,
            *getattr(fit, "warnings", ()),
            *getattr(results.validation, "warnings", ()),
        )
    ]
    passed = results.validation is not None and str(results.validation.verdict) == "pass"
    fine = (*ENDED_WELL, "iteration_limit", "budget") if passed else ENDED_WELL
    if fit is not None and plain_status(fit) not in fine:
        said.insert(0, f"The fit ended with the status “{plain_status(fit)}”. {fit.message}")
    return list(dict.fromkeys(said))


def plain_status(fit: Any) -> str:
    """The status of a fit as a word: the member of an enum prints itself with the name of its class."""
    return str(getattr(fit.status, "value", fit.status))


def _ratio(start: Any, end: Any) -> str:
    if start is None or end is None or not (math.isfinite(start) and math.isfinite(end) and start > 0 and end > 0):
        return ""
    ratio = float(f"{start / end:.2g}")
    return f"{number_text(ratio)} times below the linear start" if ratio > 1 else "no better than the linear start"


def _with_unit(value: Any, unit: str) -> str:
    text = number_text(value, 3)
    return f"{text}{NBSP}{unit}" if unit and text != MISSING else text


def _list(names: list[str], limit: int = 6) -> str:
    if len(names) > limit:
        return f"{', '.join(names[:2])}, …, {names[-1]} ({len(names)} in all)"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
