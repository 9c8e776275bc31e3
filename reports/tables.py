"""Every number of the results, with its unit, in the order in which they came to be."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from reports.certificates import proof_rows, region_rows, verdict_rows
from reports.figures.fine_tuning import NAMES, seconds_to_settle
from reports.figures.settling import certified_settling
from reports.quantities import Number, percent
from reports.results import Results
from reports.selection import absolute_error, widths
from reports.sentences import plain_status


@dataclass(frozen=True)
class Table:
    """Rows of text and ``Number`` under column heads; without heads, rows of (name, value, remark)."""

    rows: tuple[tuple[Any, ...], ...]
    columns: tuple[str, ...] = ()
    title: str = ""


@dataclass(frozen=True)
class Section:
    """A heading, its tables, and a note where a part is missing."""

    title: str
    tables: tuple[Table, ...] = ()
    note: str = ""


def sections(results: Results) -> list[Section]:
    """Plant, discretisation, network, fit, certificate, validation; fine-tuning where there was one."""
    tuned = results.metrics.get("fine_tuning")
    return [
        *_verdict(results),
        *([_fine_tuning(tuned, results)] if tuned else []),
        _plant(results),
        _discretisation(results),
        _network(results),
        _fit(results),
        _certificate(results),
        _validation(results),
    ]


def _fine_tuning(tuned: Mapping[str, Any], results: Results) -> Section:
    """Rates and errors before and after, on the same trials."""
    names = [name for name in NAMES if name in tuned["rates"]]
    options = results.fit.options if results.fit is not None and results.fit.options else {}
    facts = [
        ("tuned from", str(tuned["source"]), "that run is kept as it is"),
        ("noise", _cell(tuned["noise"]), "standard deviation of each output, tuned for"),
        ("bias", _cell(tuned["bias"]), "standard deviation of a constant for each trajectory, tuned for"),
        (
            "missing measurements",
            percent(tuned["dropout"]),
            "tuned for; the certificate speaks of samples that are there",
        ),
        ("loss before", Number(options.get("simulation_loss_before")), "held-out simulations, squares of half a range"),
        ("loss after", Number(options.get("simulation_loss")), "same simulations"),
    ]
    rates = tuple(
        (
            NAMES[name],
            Number(tuned["rates"][name], "", 6),
            Number(seconds_to_settle(tuned["rates"][name], results.plant.dt), "s", 4),
            "linearised plant, not proved" if name == "constant gain" else "proved",
        )
        for name in names
    )
    tables = [Table(tuple(facts)), Table(rates, ("observer", "rate per step", "time to 2 %", ""))]
    rows = tuple(
        (item["name"], state, unit or "–", *[Number(item["rms"][name][i], "", 4) for name in names])
        for item in tuned.get("conditions", ())
        for i, (state, unit) in enumerate(zip(tuned["states"], tuned["units"], strict=True))
    )
    if rows:
        columns = ("condition", "state", "unit", *[f"RMS {NAMES[name]}" for name in names])
        tables.append(Table(rows, columns, "Errors over the second half of the same trials"))
    return Section("Fine-tuning", tuple(tables))


def _verdict(results: Results) -> list[Section]:
    """Requirement, number, pass or fail, before everything else."""
    rows = verdict_rows(results)
    if not rows:
        return []
    return [Section("Verdict", (Table(rows, ("requirement", "number", "known from", "pass or fail")),))]


def _plant(results: Results) -> Section:
    s = results.system
    rows = [
        ("name", s.name, ""),
        ("kind", f"{s.kind}-time", "differential equation" if s.kind == "continuous" else "difference equation"),
        ("states, inputs, outputs", f"{s.nx}, {s.nu}, {s.ny}", "nx, nu, ny"),
    ]
    rows += [("description", s.description, "")] if s.description else []
    rows += [("source", s.source, "")] if s.source else []
    rows += [("fingerprint", f"{s.fingerprint[:16]}…", "first digits of the SHA-256 of the equations")]
    states = tuple(
        (
            x.name,
            x.unit or "–",
            _interval(x.range),
            _interval(x.initial or x.range),
            _interval(x.limits),
            Number(x.period),
        )
        for x in s.states
    )
    tables = [
        Table(tuple(rows)),
        Table(states, ("state", "unit", "operating range", "starts", "limits", "period"), "States"),
    ]
    if s.inputs:
        inputs = tuple((u.name, u.unit or "–", _interval(u.range), u.role, u.excitation or "walk") for u in s.inputs)
        tables.append(Table(inputs, ("input", "unit", "range", "role", "excitation"), "Inputs"))
    outputs = tuple((y.name, y.unit or "–", _interval(y.range), Number(y.noise)) for y in s.outputs)
    tables.append(Table(outputs, ("output", "unit", "range", "noise (standard deviation)"), "Outputs"))
    if s.parameters:
        rows = tuple(
            (name, Number(p.value, "", 6), p.unit or "–", _interval(p.range)) for name, p in s.parameters.items()
        )
        tables.append(Table(rows, ("parameter", "value", "unit", "range"), "Parameters"))
    return Section("Plant", tuple(tables))


def _discretisation(results: Results) -> Section:
    p = results.plant
    rows = (
        ("sampling time dt", Number(p.dt, "s", 6), ""),
        ("method", p.method, ""),
        ("substeps", Number(p.substeps), "of the method within one sample"),
    )
    error = np.broadcast_to(np.asarray(p.error, dtype=float), (len(results.system.states),))
    errors = tuple((x.name, Number(e, "", 3)) for x, e in zip(results.system.states, error, strict=True))
    columns = ("state", "largest one-step error / range (measured against the oracle)")
    return Section("Discretisation", (Table(rows), Table(errors, columns)))


def _network(results: Results) -> Section:
    described = (
        dict(results.metrics.get("network", {})) if isinstance(results.metrics.get("network", {}), Mapping) else {}
    )
    if results.fit is not None:
        w = results.fit.observer.weights
        described |= {"nx": w.nx, "nu": w.nu, "nv": w.nv, "ny": w.ny, "activation": w.activation}
        described["contraction_rate"] = results.fit.observer.contraction_rate
        described.setdefault("parameters", _count(w))
    if not described:
        return Section("Network", note="Not computed yet: run `observer fit RUN`.")
    remarks = {
        "kind": "kind of network",
        "nx": "states",
        "nu": "inputs: known inputs, then measurements",
        "nv": "neurons",
        "ny": "outputs: the estimated states",
        "activation": "activation function",
        "parameters": "numbers in the explicit matrices",
        "contraction_rate": "ᾱ per step, the bound built into the network",
    }
    order = [*[k for k in remarks if k in described], *[k for k in described if k not in remarks]]
    return Section("Network", (Table(tuple((k, _cell(described[k]), remarks.get(k, "")) for k in order)),))


def _fit(results: Results) -> Section:
    f = results.fit
    if f is None:
        return Section("Fit", note="Not computed yet: run `observer fit RUN`.")
    rows = [
        ("status", plain_status(f), f.message),
        ("solver", str(f.solver), ""),
        (
            "one-step loss",
            Number(f.one_step_loss, "", 6),
            "held-out mean of |x⁺ − f_o(x, u, y)|², squared units of the states",
        ),
        ("loss of the linear start", Number(f.start_loss, "", 6), "same measure"),
        ("wall time", Number(f.seconds, "s", 4), ""),
        ("iterations", Number(f.iterations), ""),
        ("seed", Number(f.seed), ""),
    ]
    if f.search is not None:
        rows += [
            ("fastest rate found", Number(f.search.rate, "per step", 6), "metric search, before training"),
            ("condition of its metric", Number(f.search.condition), "in states scaled by range"),
            ("gain of the metric search", _cell(f.search.gain), ""),
            ("samples of the metric search", Number(f.search.samples), "Jacobians of the plant"),
        ]
    rows += [(f"option {name}", _cell(value), "") for name, value in (f.options or {}).items()]
    names = [x.name for x in results.system.states]
    per_state = tuple(
        (name, Number(rms, x.unit, 4), _interval(region))
        for name, x, rms, region in zip(names, results.system.states, f.one_step_rms, f.region, strict=True)
    )
    columns = ("state", "one-step RMS error (held out)", "region of the transitions, in the unit of the state")
    return Section("Fit", (Table(tuple(rows)), Table(per_state, columns)))


def _certificate(results: Results) -> Section:
    c = results.certificate
    if c is None:
        return Section("Certificate", note="Not computed yet: run `observer certify RUN`.")
    rows = (
        ("holds", Number(c.holds), c.reason),
        ("contraction rate α*", Number(c.rate, "per step", 8), "|Δx̂⁺|_M ≤ α* |Δx̂|_M, proved"),
        ("decay rate", Number(c.rate_per_second, "1/s", 6), "−ln(α*) / dt"),
        ("time to 2 %", Number(certified_settling(c, results.plant.dt), "s", 4), "ln(0.02) / ln(α*) · dt, in |e|_M"),
        (
            "rate bound ᾱ",
            Number(c.rate_bound, "per step", 8),
            "what was asked for and is built into the network; α* ≤ ᾱ",
        ),
        ("condition of M", Number(c.metric_condition), "with each state divided by half its range"),
        (
            "LMI margin",
            Number(c.lmi_margin),
            "smallest eigenvalue of the form scaled to unit diagonal; must not be negative",
        ),
        ("gain Γ_y", Number(c.gain_y), "one step, from measurement to |x̂⁺|_M"),
        ("gain Γ_u", Number(c.gain_u), "one step, from known input to |x̂⁺|_M"),
    )
    v = results.validation
    level = float("nan")
    if v is not None and c.holds and c.rate < 1:
        level = float(v.residual_level) / (1 - float(c.rate))
    per_state = tuple(
        (x.name, Number(gain), Number(gain * level, x.unit, 3))
        for x, gain in zip(results.system.states, np.asarray(c.state_gain, dtype=float), strict=True)
    )
    columns = (
        "state",
        "gain √(M⁻¹)ᵢᵢ, error per |e|_M",
        "level of the sampled residual, r̂ √(M⁻¹)ᵢᵢ / (1 − α*), not proved",
    )
    tables = [Table(rows), Table(per_state, columns)]
    area, proofs = region_rows(results), proof_rows(results)
    if area:
        tables.append(Table(area, ("signal", "unit", "from", "to"), "Region X × U"))
    if proofs:
        columns = (
            "metric",
            "state",
            "from",
            "rate",
            "|r|_M proved",
            "|r|_M attained",
            "search",
            "|rᵢ| proved",
            "|eᵢ| in the long run, proved",
        )
        tables.append(Table(proofs, columns, "Proved over the region, exact measurements, discretised plant"))
    return Section("Certificate", tuple(tables))


def _validation(results: Results) -> Section:
    v, noisy = results.validation, results.validation_noise
    if v is None:
        return Section("Validation", note="Not computed yet: run `observer validate RUN`.")
    tables = [Table(_trials(v)), _per_state(v)]
    note = ""
    if noisy is None and not v.noise:
        stated = any(y.noise for y in results.system.outputs)
        note = "not computed yet, run `observer validate RUN`." if stated else "no output of this plant states a noise."
        note = f"With measurement noise: {note}"
    if noisy is not None:
        tables += [Table(_trials(noisy), title="With measurement noise"), _per_state(noisy)]
    if results.starts is not None:
        tables += _worst_starts(results)
    return Section("Validation", tuple(tables), note)


def _worst_starts(results: Results) -> list[Table]:
    """What the search found for either goal, and from where."""
    found, states, inputs = results.starts.worst, results.system.states, results.system.inputs  # type: ignore[union-attr]
    units = {"settling": ("s", 1.0), "late": ("% of range", 100.0)}
    names = {"settling": "error that lasts longest", "late": "error that is largest late"}
    rows = tuple(
        (
            names[goal], Number(units[goal][1] * w.value, units[goal][0], 4), Number(units[goal][1] * w.random, units[goal][0], 4),
            Number(w.ratio, "", 4), Number(w.trials), states[w.state].name,
        )
        for goal, w in found.items()
    )  # fmt: skip
    columns = ("search for the", "found", "worst random start", "ratio", "starts tried, each", "state that decides")
    places = tuple(
        (
            f"{signal.name}, {what}",
            signal.unit or "–",
            *[Number(float(getattr(w, part)[k]), "", 4) for w in found.values()],
        )
        for part, what, signals in (("x0", "plant", states), ("x_hat0", "observer", states), ("u", "held", inputs))
        for k, signal in enumerate(signals)
    )
    where = Table(places, ("start", "unit", *[names[goal] for goal in found]), "From there")
    return [Table(rows, columns, "Worst starts, found by search"), where]


def _trials(v: Any) -> tuple[tuple[Any, ...], ...]:
    return (
        ("verdict", v.verdict, ""),
        ("trials", Number(v.trials), ""),
        ("diverged", Number(v.n_diverged), "some error beyond ten ranges, or not finite"),
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
        ("length of a trial", Number(float(v.t[-1]) - float(v.t[0]), "s", 6), ""),
        ("window", _interval(v.window, "s"), "over which errors are judged"),
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
            _time(v.settling_time[i]),
            _time(slow[i]),
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
        "largest error at the start",
    )
    return Table(rows, columns)


def _time(seconds: float) -> Any:
    return Number(seconds, "s", 4) if math.isfinite(seconds) else "never"


def _interval(pair: Any, unit: str = "") -> Any:
    if pair is None:
        return "–"
    return (Number(float(pair[0]), "", 5), Number(float(pair[1]), unit, 5))


def _cell(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, int | float):
        return Number(value, "", 6)
    if isinstance(value, np.ndarray | list | tuple):
        flat = np.asarray(value).ravel().tolist()
        return ", ".join(f"{x:.4g}" if isinstance(x, float) else str(x) for x in flat[:8]) + (
            ", …" if len(flat) > 8 else ""
        )
    return str(value)


def _count(weights: Any) -> int | None:
    """Free numbers of the explicit network: D11 counts strictly below its diagonal."""
    names = ("A", "B1", "B2", "C1", "D12", "bx", "bv")
    if not all(hasattr(weights, name) for name in names):
        return None
    return (
        sum(math.prod(np.shape(getattr(weights, name))) for name in names)
        + int(weights.nv) * (int(weights.nv) - 1) // 2
    )
