"""What the results mean, in plain sentences: the verdict, what is proved and what is not, and the key numbers."""

import math
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from observer.runs import Run
from observer.validation.result import deciding, largest_peak, overall_verdict
from observer.validation.validate import LOGGED
from reports.certificates import assumed_sentences, proved, proved_sentences, sampled_sentences
from reports.figures.settling import certified_settling
from reports.quantities import MISSING, NBSP, Number, number_text, percent, time_unit
from reports.selection import widths

ENDED_WELL = ("converged", "linear")
_NUMBERS = re.compile(r"-?[0-9][0-9.e+-]*")


@dataclass(frozen=True)
class Verdict:
    """The banner: ``status`` is "pass", "fail" or "open"; ``criteria`` as judged, with value and requirement."""

    status: str
    headline: str
    sentence: str
    criteria: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Knowledge:
    """One of the three cards: what is proved, sampled or assumed. ``sound`` is False where a proof or sample is missing."""

    title: str
    sentences: tuple[str, ...]
    sound: bool = True


@dataclass(frozen=True)
class KeyNumber:
    """A number in large type: what it is, the number, and a line below it."""

    label: str
    number: Number
    note: str = ""


def verdict(run: Run) -> Verdict:
    """The verdict of the run, or that it is still open; of a run that fails with what to try next."""
    checks = deciding(run.validation, run.validation_noise)
    if not checks:
        return Verdict("open", "Not validated", "Not computed yet: run `observer validate RUN`.")
    criteria = tuple(
        c if not check.noise else replace(c, name=f"{c.name}, with noise") for check in checks for c in check.criteria
    )
    criteria = tuple(c for c in criteria if not ("certificate" in c.name and c.name.endswith(", with noise")))
    last = checks[-1]
    reached = f"{int(np.sum(last.converged))} of {last.trials} trials converged{' with the stated noise' if last.noise else ''}"
    if last.plant_method == LOGGED["equations"]:
        reached = f"On logs without states {_predicted(last)}"
    if overall_verdict(run.validation, run.validation_noise, run.certificate) == "pass":
        return Verdict("pass", "Pass", f"{reached}. All criteria are met.", criteria)
    names = "; ".join(
        f"{c.name} is {number_text(c.value)}, required: {c.requirement}" for c in criteria if not c.passed
    )
    said = [f"{reached}.", f"Not met: {names}." if names else "", *next_steps(run)]
    return Verdict("fail", "Fail", " ".join(text for text in said if text), criteria)


def _predicted(check: Any) -> str:
    """How well y of logs without states is predicted."""
    found = next((c.value for c in check.criteria if c.name.startswith("RMS error of predicted y")), None)
    return f"y was predicted to {number_text(found, 3)} deviations of its noise"


def next_steps(run: Run) -> list[str]:
    """What to try where the verdict is "fail", the likeliest cause first."""
    v, noisy, c, steps = run.validation, run.validation_noise, run.certificate, []
    if c is not None and not c.holds:
        steps.append("The certificate does not hold: fit again with a longer `--settling-time` or another `--seed`.")
    if v is not None and v.n_diverged:
        steps.append("Trials diverged: narrow `initial`, or ask for a longer `--settling-time`, which lowers the gain.")
    elif v is not None and str(v.verdict) != "pass":
        settling = np.asarray(v.settling_time, dtype=float)
        outside = int(np.sum(~np.asarray(v.in_region, dtype=bool)))
        if outside > 0.2 * v.trials:
            steps.append(
                f"The plant left its ranges in {outside} of {v.trials} trials: widen them to where it moves, or narrow `initial`."
            )
        if np.isfinite(settling).all() and float(np.max(settling)) > 0.5 * float(v.window[0]):
            steps.append(
                "Errors still decay when they are judged: make the trials longer (`observer validate RUN --duration`)."
            )
        steps.append("More `--neurons` or `--iterations` lower the error that remains.")
    if not steps and noisy is not None and str(noisy.verdict) != "pass":
        steps.append(
            "Noise alone keeps the error above 2 % of a range: ask for a longer `--settling-time`, tune the gain with "
            "`observer fine-tune RUN`, or measure with a better sensor or one output more."
        )
    return [f"Next: {steps[0][0].lower()}{steps[0][1:]}", *steps[1:]] if steps else []


def summary(run: Run) -> str:
    """One paragraph for someone who reads nothing else."""
    s, v, fit = run.system, run.validation, run.fit
    inputs = [signal.name for signal in s.inputs if signal.role == "known"]
    known = f" and the known input{'s' if len(inputs) > 1 else ''} {_list(inputs)}" if inputs else ""
    parts = [
        "From "
        f"{_list([signal.name for signal in s.outputs])}{known}, this observer "
        f"estimates the state{'s' if len(s.states) > 1 else ''} {_list([signal.name for signal in s.states])} "
        f"of the plant “{s.name}” "
        f"every {number_text(run.plant.dt)}{NBSP}{time_unit()}."
    ]
    parts += feedback_sentences(run)
    if v is None:
        return " ".join([*parts, "It has not been validated yet."])
    if v.plant_method == LOGGED["equations"]:
        parts.append(
            f"The logs hold no states, and states were not compared with anything: in {v.trials} replays of logs held out of the fit, from "
            f"wrong initial estimates, {_predicted(v)}. Errors of states below are differences from the motion of the equations that "
            "explains the outputs of the log best."
        )
        return " ".join(parts)
    logged = v.plant_method == LOGGED["logs"]
    against = "on logs held out of the fit" if logged else f"against the plant, simulated by {v.plant_method}"
    trials = f"In {v.trials} trials of {number_text(float(v.t[-1]) - float(v.t[0]))}{NBSP}{time_unit()} {against},"
    converged = int(np.sum(v.converged))
    share = f"all {converged}" if converged == v.trials else f"{converged} of them" if converged else "none of them"
    parts.append(f"{trials} the estimate came within 2{NBSP}% of the range of every state and stayed there in {share}.")
    settling = np.asarray(v.settling_time, dtype=float)
    if np.isfinite(settling).all():
        slow = int(np.argmax(settling))
        parts.append(
            f"The slowest state, {v.state_names[slow]}, settles in {number_text(settling[slow], 3)}{NBSP}{time_unit()} in the "
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
    peak = peak_of(v)
    if math.isfinite(peak.ranges) and peak.ranges > 1.0:
        parts.append(
            f"On the way an error peaks at {_with_unit(peak.error, peak.unit)} in {peak.state}, {number_text(peak.ranges, 3)} times "
            "its range, "
            f"after {number_text(peak.time, 2)}{NBSP}s."
        )
    last = deciding(v, run.validation_noise)[-1]
    relative = np.asarray(last.rms_error, dtype=float) / widths(last)
    if np.isfinite(relative).all():
        i = int(np.argmax(relative))
        parts.append(
            f"After the transient the largest RMS error{' with the stated noise' if last.noise else ''} is "
            f"{_with_unit(last.rms_error[i], last.units[i])} in {last.state_names[i]}, {percent(relative[i], 2)} of its range."
        )
    if fit is not None and _cut_short(run):
        parts.append(f"The fit ended with the status “{plain_status(fit)}”.")
    return " ".join(parts)


def feedback_sentences(run: Run) -> list[str]:
    """What drives the plant in data and trials, where it is a feedback law."""
    feedback, v = run.system.feedback, run.validation
    if feedback is None:
        return []
    parts = [f"In simulated data and trials a feedback law drives {_list(list(feedback.inputs))}."]
    if feedback.found:
        parts.append(f"No law was given: {feedback.found}.")
    if v is not None and v.left.any():
        parts.append(f"In {int(v.left.sum())} trials the plant left its doubled ranges all the same; they end there.")
    return parts


def peak_of(v: Any) -> Any:
    """The largest error of any trial at any time."""
    return largest_peak(np.asarray(v.error, dtype=float), v.t, np.asarray(v.ranges), v.state_names, v.units)


def knowledge(run: Run) -> list[Knowledge]:
    """What is proved, what is sampled, what is assumed."""
    return [_proved(run), _sampled(run), _assumed(run)]


def _proved(run: Run) -> Knowledge:
    c = run.certificate
    if c is None:
        return Knowledge("Proved", ("Not computed yet: run `observer certify RUN`.",), sound=False)
    if not c.holds:
        return Knowledge("Proved", (str(c.reason),), sound=False)
    time = certified_settling(c, run.plant.dt)
    return Knowledge(
        "Proved",
        (
            f"Contraction: in every step, any two estimates with the same inputs and measurements approach each other by the factor "
            f"α* = {number_text(c.rate, 5)} or faster in the metric M, for all initial estimates and all inputs.",
            f"An initial error therefore decays to 2{NBSP}% in {number_text(time, 3)}{NBSP}{time_unit()}."
            if time is not None
            else "The rate is not below 1, so an initial error need not decay.",
            "Verified in float64 by the eigenvalues of the shipped matrices.",
            *proved_sentences(run),
        ),
    )


def _sampled(run: Run) -> Knowledge:
    v = run.validation
    if v is None:
        return Knowledge("Sampled", ("Not computed yet: run `observer validate RUN`.",), sound=False)
    more = "A bound is proved." if proved(run) else "A larger one may exist elsewhere in the region."
    return Knowledge(
        "Sampled",
        (
            f"Largest one-step residual along the trials: r̂ = {number_text(v.residual_level, 3)} in the metric M. {more}",
            *sampled_sentences(run),
            f"Remaining error: from {v.trials} random trials (seed {v.seed}){', with measurement noise' if v.noise else ''}. "
            "They are evidence, not proof.",
        ),
    )


def _assumed(run: Run) -> Knowledge:
    disturbed = [signal.name for signal in run.system.inputs if signal.role != "known"]
    sentences = [
        "The plant obeys the given equations with the given parameters and stays in its operating range.",
        *assumed_sentences(run),
        "Known inputs and measurements arrive on time, without a missing sample.",
    ]
    if disturbed:
        sentences.append(f"The observer does not measure {_list(disturbed)}.")
    if run.validation_noise is None and run.validation is not None and not run.validation.noise:
        sentences.append("These trials have no measurement noise.")
    error = np.asarray(run.plant.error, dtype=float)
    if error.size and np.isfinite(error).all() and error.max() > 0:
        sentences.append(
            "The discretised plant differs from the ODE by up to "
            f"{number_text(float(error.max()), 2)} of a range per step."
        )
    return Knowledge("Assumed", tuple(sentences))


def key_numbers(run: Run) -> list[KeyNumber]:
    """The numbers in large type."""
    v, c, fit, numbers = run.validation, run.certificate, run.fit, []
    if v is not None:
        last = deciding(v, run.validation_noise)[-1]
        noise = ", with noise" if last.noise else ""
        lost = f"of {last.trials}{noise}; {last.n_diverged} diverged"
        numbers.append(KeyNumber("Trials converged", Number(int(np.sum(last.converged))), lost))
        settling = np.asarray(v.settling_time, dtype=float)
        relative = np.asarray(last.rms_error, dtype=float) / widths(last)
        slow = int(np.argmax(np.where(np.isfinite(settling), settling, np.inf)))
        if math.isfinite(settling[slow]):
            numbers.append(
                KeyNumber(
                    "Settling time",
                    Number(settling[slow], time_unit(), 3),
                    f"median, slowest state {v.state_names[slow]}",
                )
            )
        else:
            numbers.append(
                KeyNumber("Settling time", Number(None), f"{v.state_names[slow]} never settled in the median")
            )
        hard = int(np.argmax(np.where(np.isfinite(relative), relative, np.inf)))
        note = f"{percent(relative[hard], 2)} of range, largest: {v.state_names[hard]}{noise}"
        numbers.append(KeyNumber("RMS error", Number(last.rms_error[hard], v.units[hard], 2), note))
        peak = peak_of(v)
        where = f"{number_text(peak.ranges, 3)} ranges of {peak.state}"
        where += ", an initial error" if peak.time == 0 else f", after {number_text(peak.time, 2)} s"
        numbers.append(
            KeyNumber(
                "Largest error on the way",
                Number(peak.error if math.isfinite(peak.ranges) else None, peak.unit, 3),
                where,
            )
        )
    if c is not None:
        holds = (
            f"per step, certified; {number_text(c.rate_per_second, 3)} per {time_unit()}"
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


def warnings(run: Run) -> list[str]:
    """Warnings of discretisation, fit and validation, and a fit that did not end well.

    A fit that was stopped by its limits is no warning where the observer passes all the same.
    """
    fit = run.fit
    said = [
        str(text)
        for text in (
            *run.plant.warnings,
            *getattr(fit, "warnings", ()),
            *getattr(run.validation, "warnings", ()),
        )
    ]
    if fit is not None and _cut_short(run):
        said.insert(0, f"The fit ended with the status “{plain_status(fit)}”. {fit.message}")
    once: dict[str, str] = {}
    for text in said:  # of data and trials, which differ in their numbers only
        once.setdefault(_NUMBERS.sub("#", text), text)
    return list(once.values())


def _cut_short(run: Run) -> bool:
    """Whether the fit ended early and no validation has passed since."""
    passed = run.validation is not None and str(run.validation.verdict) == "pass"
    return plain_status(run.fit) not in ((*ENDED_WELL, "iteration_limit", "budget") if passed else ENDED_WELL)


def plain_status(fit: Any) -> str:
    """The status of a fit as a word: the member of an enum prints itself with the name of its class."""
    return str(getattr(fit.status, "value", fit.status))


def _ratio(start: Any, end: Any) -> str:
    if start is None or end is None or not (math.isfinite(start) and math.isfinite(end) and start > 0 and end > 0):
        return ""
    ratio = float(f"{start / end:.2g}")
    return (
        f"{number_text(ratio)} times below the linear observer" if ratio > 1 else "no better than the linear observer"
    )


def _with_unit(value: Any, unit: str) -> str:
    text = number_text(value, 3)
    return f"{text}{NBSP}{unit}" if unit and text != MISSING else text


def _list(names: list[str], limit: int = 6) -> str:
    if len(names) > limit:
        return f"{', '.join(names[:2])}, …, {names[-1]} ({len(names)} in all)"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
