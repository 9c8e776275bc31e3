"""What is proved and what is measured of an observer, as tables: its certificate and its validation."""

from typing import Any

import numpy as np

from observer.runs import Run
from reports.certificates import proof_rows, region_rows
from reports.figures.settling import certified_settling
from reports.quantities import Number, percent, time_unit
from reports.selection import absolute_error, widths
from reports.tables import Section, Table, interval, time
from systems.feedback import commands_of


def certificate_section(run: Run) -> Section:
    c = run.certificate
    if c is None:
        return Section("Certificate", note="Not computed yet: run `observer certify RUN`.")
    rows = (
        ("holds", Number(c.holds), c.reason),
        ("contraction rate α*", Number(c.rate, "per step", 8), "|Δx̂⁺|_M ≤ α* |Δx̂|_M, proved"),
        ("decay rate", Number(c.rate_per_second, f"1/{time_unit()}", 6), "−ln(α*) / dt"),
        (
            "time to 2 %",
            Number(certified_settling(c, run.plant.dt), time_unit(), 4),
            "ln(0.02) / ln(α*) · dt, in |e|_M",
        ),
        (
            "rate bound ᾱ",
            Number(c.rate_bound, "per step", 8),
            "required, and guaranteed by construction; α* ≤ ᾱ",
        ),
        ("condition number of M", Number(c.metric_condition), "with each state divided by half its range"),
        (
            "LMI margin",
            Number(c.lmi_margin),
            "smallest eigenvalue of the form scaled to unit diagonal; must not be negative",
        ),
        ("gain Γ_y", Number(c.gain_y), "one step, from measurement to |x̂⁺|_M"),
        ("gain Γ_u", Number(c.gain_u), "one step, from known input to |x̂⁺|_M"),
    )
    v = run.validation
    level = float("nan")
    if v is not None and c.holds and c.rate < 1:
        level = float(v.residual_level) / (1 - float(c.rate))
    per_state = tuple(
        (x.name, Number(gain), Number(gain * level, x.unit, 3))
        for x, gain in zip(run.system.states, np.asarray(c.state_gain, dtype=float), strict=True)
    )
    columns = (
        "state",
        "gain √(M⁻¹)ᵢᵢ, error per |e|_M",
        "ultimate bound from the sampled residual, r̂ √(M⁻¹)ᵢᵢ / (1 − α*), not proved",
    )
    tables = [Table(rows), Table(per_state, columns)]
    area, proofs = region_rows(run), proof_rows(run)
    if area:
        tables.append(Table(area, ("signal", "unit", "from", "to"), "Region X × U"))
    if proofs:
        columns = (
            "metric",
            "state",
            "valid from",
            "rate",
            "|r|_M proved",
            "|r|_M attained",
            "search",
            "|rᵢ| proved",
            "ultimate bound of |eᵢ|, proved",
        )
        tables.append(Table(proofs, columns, "Proved over the region, exact measurements, discretised plant"))
    return Section("Certificate", tuple(tables))


def validation_section(run: Run) -> Section:
    v, noisy = run.validation, run.validation_noise
    if v is None:
        return Section("Validation", note="Not computed yet: run `observer validate RUN`.")
    tables = [Table(_trials(v)), _per_state(v)]
    note = ""
    if noisy is None and not v.noise:
        stated = any(y.noise for y in run.system.outputs)
        note = "not computed yet, run `observer validate RUN`." if stated else "no output of this plant states a noise."
        note = f"With measurement noise: {note}"
    if noisy is not None:
        tables += [Table(_trials(noisy), title="With measurement noise"), _per_state(noisy)]
    if run.worst_cases is not None:
        tables += _worst_initial_states(run)
    return Section("Validation", tuple(tables), note)


def _worst_initial_states(run: Run) -> list[Table]:
    """What the search found for either goal, and from which initial states."""
    found, states, inputs = run.worst_cases.worst, run.system.states, commands_of(run.system)  # type: ignore[union-attr]
    units = {"settling": (time_unit(), 1.0), "late": ("% of range", 100.0)}
    names = {"settling": "error that lasts longest", "late": "error that is largest late"}
    rows = tuple(
        (
            names[goal], Number(units[goal][1] * w.value, units[goal][0], 4), Number(units[goal][1] * w.random, units[goal][0], 4),
            Number(w.ratio, "", 4), Number(w.trials), states[w.state].name,
        )
        for goal, w in found.items()
    )  # fmt: skip
    columns = ("search for the", "found", "worst random trial", "ratio", "initial states tried, each", "critical state")
    places = tuple(
        (
            f"{signal.name}, {what}",
            signal.unit or "–",
            *[Number(float(getattr(w, part)[k]), "", 4) for w in found.values()],
        )
        for part, what, signals in (("x0", "plant", states), ("x_hat0", "observer", states), ("u", "held", inputs))
        for k, signal in enumerate(signals)
    )
    where = Table(places, ("initial value", "unit", *[names[goal] for goal in found]), "Where they are")
    return [Table(rows, columns, "Worst initial states, found by search"), where]


def _trials(v: Any) -> tuple[tuple[Any, ...], ...]:
    return (
        ("verdict", v.verdict, ""),
        ("trials", Number(v.trials), ""),
        ("diverged", Number(v.n_diverged), "some error beyond ten ranges in the window, or not finite"),
        (
            "converged fraction",
            Number(v.converged_fraction, "", 6),
            "every error within 2 % of range over the whole window",
        ),
        (
            "left the range",
            Number(int(np.sum(~np.asarray(v.in_region, dtype=bool)))),
            "trials in which the plant left its operating range for a while",
        ),
        (
            "ended early",
            Number(int(v.left.sum())),
            f"trials that end where the plant leaves its doubled ranges; {int((~v.judged).sum())} of them before the window, not judged",
        ),
        ("length of a trial", Number(float(v.t[-1]) - float(v.t[0]), time_unit(), 6), ""),
        ("window", interval(v.window, time_unit()), "over which errors are judged"),
        ("plant simulated by", v.plant_method, ""),
        ("largest sampled residual r̂", Number(v.residual_level), "|r|_M along the trials; sampled, not proved"),
        ("seed", Number(v.seed), ""),
    )


def _per_state(v: Any) -> Table:
    settling = np.asarray(v.trial_settling, dtype=float)
    slow = np.quantile(np.where(np.isnan(settling), np.inf, settling), 0.95, axis=0, method="inverted_cdf")
    at_start = absolute_error(v)[:, 0].max(axis=0)
    rows = tuple(
        (
            name,
            unit or "–",
            time(v.settling_time[i]),
            time(slow[i]),
            Number(v.rms_error[i], "", 4),
            percent(float(v.rms_error[i]) / widths(v)[i], 3),
            Number(v.max_error[i], "", 4),
            Number(at_start[i], "", 4),
        )
        for i, (name, unit) in enumerate(zip(v.state_names, v.units, strict=True))
    )
    columns = (
        "state",
        "unit",
        "settling time, median",
        "settling time, 95 % of trials",
        "RMS error",
        "RMS / range",
        "largest error",
        "largest initial error",
    )
    return Table(rows, columns)
