"""Every number of a run, with its unit, in the order in which it came to be."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from observer.runs import Run
from reports.certificates import verdict_rows
from reports.checks import certificate_section, validation_section
from reports.figures.fine_tuning import NAMES, seconds_to_settle
from reports.quantities import Number, percent, time_unit
from reports.sentences import plain_status
from reports.tables import Section, Table, cell, interval


def sections(run: Run) -> list[Section]:
    """Plant, discretisation, network, fit, certificate, validation; fine-tuning where there was one."""
    return [
        *_verdict(run),
        *([_fine_tuning(run)] if run.fine_tuning else []),
        _plant(run),
        _discretisation(run),
        _network(run),
        _fit(run),
        certificate_section(run),
        validation_section(run),
    ]


def _fine_tuning(run: Run) -> Section:
    """Rates and errors before and after, on the same trials."""
    tuned = run.fine_tuning
    names = [name for name in NAMES if name in tuned["rates"]]
    options = run.fit.options if run.fit is not None and run.fit.options else {}
    facts = [
        ("tuned from", str(tuned["source"]), "that run is kept as it is"),
        ("noise", cell(tuned["noise"]), "standard deviation at each output, in tuning"),
        ("bias", cell(tuned["bias"]), "standard deviation of a constant offset per trajectory, in tuning"),
        (
            "missing measurements",
            percent(tuned["dropout"]),
            "share in tuning; the certificate covers samples that arrive",
        ),
        ("loss before", Number(options.get("simulation_loss_before")), "held-out simulations, squares of half a range"),
        ("loss after", Number(options.get("simulation_loss")), "same simulations"),
    ]
    rates = tuple(
        (
            NAMES[name],
            Number(tuned["rates"][name], "", 6),
            Number(seconds_to_settle(tuned["rates"][name], run.plant.dt), time_unit(), 4),
            "of the linearised plant, not proved" if name == "constant gain" else "proved",
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
        columns = ("scenario", "state", "unit", *[f"RMS {NAMES[name]}" for name in names])
        tables.append(Table(rows, columns, "Errors over the second half of the same trials"))
    return Section("Fine-tuning", tuple(tables))


def _verdict(run: Run) -> list[Section]:
    """Requirement, number, pass or fail, before everything else."""
    rows = verdict_rows(run)
    if not rows:
        return []
    return [Section("Verdict", (Table(rows, ("requirement", "number", "source", "pass or fail")),))]


def _plant(run: Run) -> Section:
    s = run.system
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
            interval(x.range),
            interval(x.initial or x.range),
            interval(x.limits),
            Number(x.period),
        )
        for x in s.states
    )
    tables = [
        Table(tuple(rows)),
        Table(states, ("state", "unit", "operating range", "initial states", "limits", "period"), "States"),
    ]
    if s.inputs:
        inputs = tuple((u.name, u.unit or "–", interval(u.range), u.role, u.excitation or "walk") for u in s.inputs)
        tables.append(Table(inputs, ("input", "unit", "range", "role", "excitation"), "Inputs"))
    if s.feedback is not None and s.feedback.references:
        drawn = tuple((r.name, r.unit or "–", interval(r.range), r.excitation or "walk") for r in s.feedback.references)
        tables.append(Table(drawn, ("reference", "unit", "range", "excitation"), "References of the feedback law"))
    outputs = tuple((y.name, y.unit or "–", interval(y.range), Number(y.noise)) for y in s.outputs)
    tables.append(Table(outputs, ("output", "unit", "range", "noise (standard deviation)"), "Outputs"))
    if s.parameters:
        rows = tuple(
            (name, Number(p.value, "", 6), p.unit or "–", interval(p.range)) for name, p in s.parameters.items()
        )
        tables.append(Table(rows, ("parameter", "value", "unit", "range"), "Parameters"))
    return Section("Plant", tuple(tables))


def _discretisation(run: Run) -> Section:
    p = run.plant
    rows = (
        ("sampling time dt", Number(p.dt, time_unit(), 6), ""),
        ("method", p.method, ""),
        ("substeps", Number(p.substeps), "of the method within one sample"),
    )
    error = np.broadcast_to(np.asarray(p.error, dtype=float), (len(run.system.states),))
    errors = tuple((x.name, Number(e, "", 3)) for x, e in zip(run.system.states, error, strict=True))
    columns = ("state", "largest one-step error / range (measured against the reference integrator)")
    return Section("Discretisation", (Table(rows), Table(errors, columns)))


def _network(run: Run) -> Section:
    described = dict(run.metrics.get("network", {})) if isinstance(run.metrics.get("network", {}), Mapping) else {}
    if run.fit is not None:
        w = run.fit.observer.weights
        described |= {"nx": w.nx, "nu": w.nu, "nv": w.nv, "ny": w.ny, "activation": w.activation}
        described["contraction_rate"] = run.fit.observer.contraction_rate
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
        "parameters": "entries of the explicit matrices",
        "contraction_rate": "ᾱ per step, guaranteed by construction",
    }
    order = [*[k for k in remarks if k in described], *[k for k in described if k not in remarks]]
    return Section("Network", (Table(tuple((k, cell(described[k]), remarks.get(k, "")) for k in order)),))


def _fit(run: Run) -> Section:
    f = run.fit
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
        ("loss of the linear observer", Number(f.start_loss, "", 6), "same measure, before training"),
        ("wall time", Number(f.seconds, "s", 4), ""),
        ("iterations", Number(f.iterations), ""),
        ("seed", Number(f.seed), ""),
    ]
    if f.search is not None:
        rows += [
            ("fastest rate found", Number(f.search.rate, "per step", 6), "metric search, before training"),
            ("condition number of its metric", Number(f.search.condition), "in states scaled by range"),
            ("gain of the metric search", cell(f.search.gain), ""),
            ("samples of the metric search", Number(f.search.samples), "Jacobians of the plant"),
        ]
    rows += [(f"option {name}", cell(value), "") for name, value in (f.options or {}).items()]
    names = [x.name for x in run.system.states]
    per_state = tuple(
        (name, Number(rms, x.unit, 4), interval(region))
        for name, x, rms, region in zip(names, run.system.states, f.one_step_rms, f.region, strict=True)
    )
    columns = ("state", "one-step RMS error (held out)", "region of the transitions, in the unit of the state")
    return Section("Fit", (Table(tuple(rows)), Table(per_state, columns)))


def _count(weights: Any) -> int | None:
    """Free numbers of the explicit network: D11 counts strictly below its diagonal."""
    names = ("A", "B1", "B2", "C1", "D12", "bx", "bv")
    if not all(hasattr(weights, name) for name in names):
        return None
    return (
        sum(math.prod(np.shape(getattr(weights, name))) for name in names)
        + int(weights.nv) * (int(weights.nv) - 1) // 2
    )
