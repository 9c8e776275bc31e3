"""The accuracy that a certificate guarantees, for a page: a table of verdicts, and sentences that separate proof and sample."""

from typing import TYPE_CHECKING, Any

import numpy as np

from observer.runs import Run
from observer.validation.result import deciding
from reports.quantities import NBSP, Number, number_text, time_unit

if TYPE_CHECKING:
    from observer.certification.bounds import Bounds, Proof
    from observer.validation.envelopes import TrialEnvelopes

PASS, FAIL, NOT_REQUIRED = "pass", "fail", "not required"


def bounds_of(run: Run) -> "Bounds | None":
    """The bounds of the certificate, None where there is no certificate that holds and has some."""
    c = run.certificate
    return c.bounds if c is not None and c.holds else None


def proof_of(run: Run) -> "Proof | None":
    """The proof in the shipped metric where every residual bound is finite, so that there is an envelope."""
    bounds = bounds_of(run)
    return bounds.proof if bounds is not None and bounds.proved else None


def proved(run: Run) -> bool:
    """Whether a residual bound is proved, so that there is an envelope."""
    return proof_of(run) is not None


def compare(run: Run) -> "TrialEnvelopes | None":
    """The envelope of every noise-free trial of the validation; None where nothing bounds the errors or they were not measured so."""
    from observer.validation.envelopes import trial_envelopes

    residual = getattr(run.worst_cases, "residual", float("nan"))
    return trial_envelopes(run.certificate, run.validation, run.plant, residual)


def verdict_rows(run: Run) -> tuple[tuple[Any, ...], ...]:
    """(requirement, number, source, pass or fail) of every requirement, and numbers beside them that decide nothing."""
    c, v, bounds, proof = run.certificate, run.validation, bounds_of(run), proof_of(run)
    rows: list[tuple[Any, ...]] = []
    if c is not None:
        asked = f"contraction rate at most {number_text(c.rate_bound, 6)} per step"
        rows.append((asked, Number(c.rate, "", 7), "proved", _word(c.holds)))
    if bounds is not None and proof is not None:
        p = proof.residual
        rows.append(("one-step residual bounded over X × U", Number(p.upper), "proved", NOT_REQUIRED))
        ratio = p.upper / p.lower if p.lower > 0 else 1.0
        tight = f"that bound over an attained residual, {number_text(1 + bounds.gap, 3)} sought"
        rows.append((tight, Number(ratio), f"attained; search ended: {p.status}", NOT_REQUIRED))
    trials = compare(run)
    if trials is not None and v is not None:
        how = f"{len(v.x)} trials; the residual was sampled along the data of the fit, the rate is proved"
        if trials.kind == "proved":
            how = f"{len(v.x)} trials, {trials.left} left X and count until then"
        rows.append((f"trials that cross the {trials.kind} envelope", Number(trials.crossed), how, NOT_REQUIRED))
    if bounds is not None and bounds.statistical is not None:
        s = bounds.statistical
        how = f"{s.trials} fresh trajectories, not proved"
        rows.append(("statistical coverage", Number(100 * s.coverage, "%", 5), how, NOT_REQUIRED))
    for check in deciding(v, run.validation_noise):
        for criterion in check.criteria:
            if "certificate" not in criterion.name:
                asked = f"{criterion.name}: {criterion.requirement}"
                source = "trials with noise" if check.noise else "trials"
                rows.append((asked, Number(criterion.value, "", 5), source, _word(criterion.passed)))
    return tuple(rows)


def proved_sentences(run: Run) -> tuple[str, ...]:
    """What is proved of the residual and of the error."""
    certificate, bounds, proof = run.certificate, bounds_of(run), proof_of(run)
    if certificate is None or bounds is None or proof is None:
        return ()
    from observer.certification.envelope import ultimate_bound

    states = run.system.states
    steady, by = ultimate_bound(certificate)
    parts = [f"{s.name} {_unit(e, s.unit)} ({name})" for s, e, name in zip(states, steady, by, strict=True)]
    text = [
        "One step of the observer differs from one step of the discretised plant by at most |r|_M = "
        f"{number_text(proof.residual.upper, 4)}, "
        f"for every state in X and every input in U; {number_text(proof.residual.lower, 4)} is attained.",
        f"With exact measurements, and while the plant stays in X, the ultimate bounds of the error are: {'; '.join(parts)}.",
    ]
    if bounds.settled is not None:
        time, share = bounds.settled.samples * run.plant.dt, 100 * bounds.settled.share
        text.append(
            f"After {number_text(time, 3)}{NBSP}{time_unit()} in X the plant is in {number_text(share, 3)}{NBSP}% of it for any inputs "
            "in U (enclosed images of cells); residuals elsewhere no longer count."
        )
    if bounds.horizon is not None:
        unforced, _ = ultimate_bound(certificate, held_input=True)
        if (unforced < 0.98 * steady).any():
            parts = [f"{s.name} {_unit(e, s.unit)}" for s, e in zip(states, unforced, strict=True)]
            under = f"Under the constant input {_list(bounds.held)}" if len(bounds.held) else "Over many steps at once"
            text.append(f"{under}: {'; '.join(parts)}{' (bound over many steps)' if len(bounds.held) else ''}.")
    if bounds.structural > 0:
        text.append(
            f"Of that residual, {number_text(bounds.structural, 3)} is structural: no observer that contracts at this rate in M "
            "can have less."
        )
    return tuple(text)


def sampled_sentences(run: Run) -> tuple[str, ...]:
    """What is known from samples only: statistics and the discretisation error."""
    bounds, proof, text = bounds_of(run), proof_of(run), []
    if bounds is not None and bounds.statistical is not None:
        s = bounds.statistical
        worst = "; ".join(
            f"{x.name} {_unit(e, x.unit)}" for x, e in list(zip(run.system.states, s.state_error, strict=True))[:6]
        )
        text += [
            s.sentence,
            f"Largest residual |r|_M: {number_text(s.residual, 3)}. Largest errors from "
            f"{number_text(s.window[0])}{NBSP}{time_unit()} on: {worst}.",
        ]
    if bounds is not None and proof is not None and np.nanmax(bounds.discretisation, initial=0.0) > 0:
        text.append(
            "The discretisation error of one step was sampled over X × U and is at most |d|_M = "
            f"{number_text(proof.discretisation, 3)}; an envelope for the ODE depends on this number too."
        )
    return tuple(text)


def assumed_sentences(run: Run) -> tuple[str, ...]:
    """What a bound over a region assumes."""
    bounds = bounds_of(run)
    if bounds is None:
        return ()
    if bounds.statistical is not None:
        return (f"Later trajectories follow the law of the sampled ones: {bounds.statistical.law}.",)
    return (bounds.region.sentence,) if bounds.kind == "proved" else (bounds.reason,)


def region_rows(run: Run) -> tuple[tuple[Any, ...], ...]:
    """(signal, unit, from, to) of X and U."""
    bounds = bounds_of(run)
    if bounds is None:
        return ()
    signals = (*run.system.states, *run.system.inputs)
    return tuple(
        (s.name, s.unit or "–", Number(low, "", 6), Number(high, "", 6))
        for s, (low, high) in zip(signals, bounds.region.box, strict=True)
    )


def proof_rows(run: Run) -> tuple[tuple[Any, ...], ...]:
    """One row per metric and state."""
    bounds = bounds_of(run)
    rows = []
    for p in bounds.proofs if bounds is not None else ():
        r, time = p.residual, Number(p.after * run.plant.dt, time_unit(), 3)
        shared = (time, Number(p.contraction.rate, "", 6), Number(r.upper), Number(r.lower), r.status)
        for s, one_step, ultimate in zip(run.system.states, r.state_upper, p.ultimate(), strict=True):
            rows.append((p.name, s.name, *shared, Number(one_step, s.unit), Number(ultimate, s.unit)))
    return tuple(rows)


def _word(passed: bool) -> str:
    return PASS if passed else FAIL


def _unit(value: float, unit: str) -> str:
    text = number_text(value, 3)
    return f"{text}{NBSP}{unit}" if unit else text


def _list(values: np.ndarray) -> str:
    return ", ".join(number_text(value, 3) for value in values)
