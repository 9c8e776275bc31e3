"""What a certificate says of accuracy, for a page: a table of verdicts, and sentences that keep proof and sample apart."""

from typing import TYPE_CHECKING, Any

import numpy as np

from observer.runs import Run as Results
from reports.quantities import NBSP, Number, number_text

if TYPE_CHECKING:
    from observer.validation.envelopes import TrialEnvelopes

PASS, FAIL = "pass", "FAIL"


def bounds_of(results: Results) -> Any:
    """The bounds of the certificate, None where there is no certificate that holds and has some."""
    c = results.certificate
    return getattr(c, "bounds", None) if c is not None and c.holds else None


def proved(results: Results) -> bool:
    """Whether a residual bound is proved, so that there is an envelope."""
    bounds = bounds_of(results)
    return (
        bounds is not None
        and bounds.kind == "proved"
        and bool(np.isfinite([p.residual.upper for p in bounds.proofs]).all())
    )


def statistical(results: Results) -> bool:
    """Whether there is a statistical certificate instead."""
    bounds = bounds_of(results)
    return bounds is not None and bounds.kind == "statistical"


def compare(results: Results) -> "TrialEnvelopes | None":
    """The envelope of every noise-free trial of the validation; None where nothing bounds the errors or they were not measured so."""
    from observer.validation.envelopes import trial_envelopes

    residual = getattr(results.starts, "residual", float("nan"))
    return trial_envelopes(results.certificate, results.validation, results.plant, residual)


def verdict_rows(results: Results) -> tuple[tuple[Any, ...], ...]:
    """(requirement, number, how it is known, pass or fail): what is asked of the observer, line by line."""
    c, v, bounds = results.certificate, results.validation, bounds_of(results)
    rows: list[tuple[Any, ...]] = []
    if c is not None:
        rows.append(
            (
                f"contraction rate at most {number_text(c.rate_bound, 6)} per step",
                Number(c.rate, "", 7),
                "proved",
                _word(c.holds),
            )
        )
    if proved(results):
        p = bounds.proof.residual
        rows.append(("one-step residual bounded over X × U", Number(p.upper), "proved", PASS))
        ratio = p.upper / p.lower if p.lower > 0 else 1.0
        tight = f"that bound at most {number_text(1 + bounds.gap, 3)} times an attained residual"
        rows.append((tight, Number(ratio), f"attained; search ended: {p.status}", _word(ratio <= 1 + bounds.gap)))
    trials = compare(results)
    if trials is not None and v is not None:
        proven = trials.kind == "proved"
        how = f"{len(v.x)} trials, {trials.left} left X and count until then"
        how = (
            how
            if proven
            else f"{len(v.x)} trials; its residual was sampled along the data of the fit, its rate is proved"
        )
        word = _word(trials.crossed == 0) if proven else "not required"
        rows.append((f"trials that cross the {trials.kind} envelope: 0", Number(trials.crossed), how, word))
    if statistical(results):
        s = bounds.statistical
        rows.append(
            (
                "statistical coverage at least 99 %",
                Number(100 * s.coverage, "%", 5),
                f"{s.trials} fresh trajectories, not proved",
                _word(s.coverage >= 0.99),
            )
        )
    for criterion in v.criteria if v is not None else ():
        if "certificate" not in criterion.name:
            rows.append(
                (
                    f"{criterion.name}: {criterion.requirement}",
                    Number(criterion.value, "", 5),
                    "trials",
                    _word(criterion.passed),
                )
            )
    return tuple(rows)


def proved_sentences(results: Results) -> tuple[str, ...]:
    """What is proved of the residual and of the error, in the words of an engineer."""
    certificate = results.certificate
    if certificate is None or not proved(results):
        return ()
    from observer.certification.envelope import ultimate_bound

    bounds, states = bounds_of(results), results.system.states
    steady, by = ultimate_bound(certificate)
    parts = [f"{s.name} {_unit(e, s.unit)} ({name})" for s, e, name in zip(states, steady, by, strict=True)]
    text = [
        f"In one step the observer departs from the discretised plant by at most |r|_M = {number_text(bounds.proof.residual.upper, 4)}, "
        f"for every state in X and every input in U; {number_text(bounds.proof.residual.lower, 4)} is attained.",
        f"So with exact measurements, and while the plant stays in X, the error ends below: {'; '.join(parts)}.",
    ]
    if bounds.settled is not None:
        time, share = bounds.settled.samples * results.plant.dt, 100 * bounds.settled.share
        text.append(
            f"After {number_text(time, 3)}{NBSP}s in X the plant is in {number_text(share, 3)}{NBSP}% of it whatever the inputs "
            "in U (images of cells, enclosed); residuals elsewhere no longer count."
        )
    if bounds.horizon is not None:
        unforced, _ = ultimate_bound(certificate, held_input=True)
        if (unforced < 0.98 * steady).any():
            parts = [f"{s.name} {_unit(e, s.unit)}" for s, e in zip(states, unforced, strict=True)]
            text.append(f"Under the constant input {_list(bounds.held)}: {'; '.join(parts)} (many steps at once).")
    if bounds.structural > 0:
        text.append(
            f"Of that residual, {number_text(bounds.structural, 3)} is structural: no observer that contracts at this rate in M "
            "can have less."
        )
    return tuple(text)


def sampled_sentences(results: Results) -> tuple[str, ...]:
    """What is known from samples only: statistics and the discretisation error."""
    bounds, text = bounds_of(results), []
    if statistical(results):
        s = bounds.statistical
        worst = "; ".join(
            f"{x.name} {_unit(e, x.unit)}" for x, e in list(zip(results.system.states, s.state_error, strict=True))[:6]
        )
        text += [
            s.sentence,
            f"Largest residual |r|_M met: {number_text(s.residual, 3)}. Largest errors from {number_text(s.window[0])}{NBSP}s on: {worst}.",
        ]
    if proved(results) and np.nanmax(bounds.discretisation, initial=0.0) > 0:
        text.append(
            "What the discretisation adds in a step was measured at samples of X × U, at most |d|_M = "
            f"{number_text(bounds.proof.discretisation, 3)}; an envelope of the ODE rests on that number too."
        )
    return tuple(text)


def assumed_sentences(results: Results) -> tuple[str, ...]:
    """What a bound over a region takes for granted."""
    bounds = bounds_of(results)
    if bounds is None:
        return ()
    if bounds.kind == "statistical":
        return (f"Later trajectories are drawn as the sampled ones: {bounds.statistical.law}.",)
    return (bounds.region.sentence,) if bounds.kind == "proved" else (bounds.reason,)


def region_rows(results: Results) -> tuple[tuple[Any, ...], ...]:
    """(signal, unit, from, to) of X and U."""
    bounds = bounds_of(results)
    if bounds is None:
        return ()
    signals = (*results.system.states, *results.system.inputs)
    return tuple(
        (s.name, s.unit or "–", Number(low, "", 6), Number(high, "", 6))
        for s, (low, high) in zip(signals, bounds.region.box, strict=True)
    )


def proof_rows(results: Results) -> tuple[tuple[Any, ...], ...]:
    """One row per metric and state."""
    bounds = bounds_of(results)
    rows = []
    for p in bounds.proofs if bounds is not None else ():
        c, r = p.contraction, p.residual
        level = r.upper / (1 - c.rate)
        for i, s in enumerate(results.system.states):
            steady = min(c.state_gain[i] * level, p.gains.error[i] * level + r.state_upper[i])
            rows.append(
                (
                    p.name,
                    s.name,
                    Number(p.after * results.plant.dt, "s", 3),
                    Number(c.rate, "", 6),
                    Number(r.upper),
                    Number(r.lower),
                    r.status,
                    Number(r.state_upper[i], s.unit),
                    Number(steady, s.unit),
                )
            )
    return tuple(rows)


def _word(passed: bool) -> str:
    return PASS if passed else FAIL


def _unit(value: float, unit: str) -> str:
    text = number_text(value, 3)
    return f"{text}{NBSP}{unit}" if unit else text


def _list(values: np.ndarray) -> str:
    return ", ".join(number_text(value, 3) for value in values)
