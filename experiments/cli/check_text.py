"""The findings of ``observer check`` as text for a person; ``docs/check.md`` explains every line."""

import math
from typing import Any

MANY = 12  # signals of a kind, from which only the first and last are listed
GONE = 0.02  # an unobservable mode that shrinks by more within a sample is of no concern


def lines(findings: dict[str, Any]) -> list[str]:
    """The findings line by line: plant, discretisation, time scales, observability, trade-off, result and advice."""
    text = f"{findings['system']}: {findings['description'].strip()}".rstrip(": ").splitlines()
    text += _signals(findings["signals"])
    for name, value in findings["parameters"].items():
        text.append(f"  parameter {name} = {value:g}")
    if findings["region"]:
        text.append(f"region: the part of these ranges where {' and '.join(findings['region'])}")
    unit = findings["time_unit"]
    error = max(findings["discretization_error"].values())
    steps = f"{findings['substeps']} substep{'s' if findings['substeps'] > 1 else ''}"
    text.append(
        f"discretisation: {findings['method']}, dt {findings['dt']:g} {unit}, {steps}; one-step error {error:.1e} of range"
    )
    if findings["modes"] is not None:
        text.append(_modes(findings["modes"], unit))
    if findings["time_dependent"]:
        text.append("the equations depend on t: it can be simulated, not fitted")
    text += _observability(findings)
    text += _curve(findings)
    if findings["requested_rate"] is not None:
        asked = findings["requested_rate"]
        text.append(f"requested rate: {asked:.6g} per sample{_settling(findings['requested_settling_time'], unit)}")
    if findings["detectable"]:
        text.append(
            f"fastest rate: {findings['rate']:.4g} per step, errors fall to 2 % in {findings['settling_time']:.3g} {unit} "
            f"(condition number of the metric {findings['condition']:.3g})"
        )
        if findings["requested_rate"] is None:
            text.append(
                f"automatic rate: {findings['chosen_rate']:.4g} per step, errors fall to 2 % in "
                f"{findings['chosen_settling_time']:.3g} {unit}"
            )
        where = " in observability coordinates" if findings["observability_coordinates"] else ""
        text.append(
            f"result: detectable{where}; an observer that converges at this rate or slower can be built{_limit(findings)}"
        )
    else:
        first, *others = findings["reason"].split(". ")
        text += [f"result: not detectable: {first}", *(f"  {sentence}" for sentence in others)]
    text += [f"advice: {sentence}" for sentence in findings["advice"]]
    return text


def _settling(time: float | None, unit: str) -> str:
    return "" if time is None else f", errors fall to 2 % in {time:g} {unit}"


def _limit(findings: dict[str, Any]) -> str:
    """The limit that an unobservable direction sets to every observer, where it is no reason for a refusal."""
    rate = max((mode["rate"] for mode in findings["observability"]["hidden"]["modes"]), default=0.0)
    if not GONE < rate < 1:
        return ""
    time = math.log(0.02) / math.log(rate) * findings["dt"]
    return f"; none is faster than {time:.3g} {findings['time_unit']}, because of the unobservable direction"


def _signals(signals: list[dict[str, Any]]) -> list[str]:
    text = []
    for kind in ("state", "input", "output"):
        group = [signal for signal in signals if signal["kind"] == kind]
        shown = group if len(group) <= MANY else [*group[:2], None, group[-1]]
        for signal in shown:
            if signal is None:
                text.append(f"  ... {len(group) - 3} more {kind}s ...")
                continue
            span = "" if signal["range"] is None else f"{signal['range'][0]:g} to {signal['range'][1]:g}"
            noise = f"noise {signal['noise']:g}" if signal["noise"] else ""
            role = "disturbance: unknown to the observer" if signal["role"] == "disturbance" else ""
            row = f"  {kind:<7} {signal['name']:<14} {signal['unit']:<8} {span:<18} {noise}{role}"
            text.append(row.rstrip())
    return text


def _modes(modes: dict[str, Any], unit: str) -> str:
    """Fast and slow modes in one line."""
    if modes["fastest"] is None:
        return "time scales: none of its own (integrators only)"
    text = f"time scales: fastest {modes['fastest']:.3g} {unit} ({modes['samples_per_fastest']:.3g} samples)"
    if modes["typical"] is not None:
        text += f", typical {modes['typical']:.3g} {unit}"
    text += f"; stiffness ratio {modes['stiffness']:.3g}"
    if modes["period"] is not None:
        text += f"; shortest period {modes['period']:.3g} {unit}"
    return text + ("; and integrators" if modes["integrators"] else "")


def _observability(findings: dict[str, Any]) -> list[str]:
    """Rank, Gramian and unobservable directions; directions in parts of each half range."""
    seen, dt = findings["observability"], findings["dt"]
    rank, gramian, hidden = seen["rank"], seen["gramian"], seen["hidden"]
    outputs = ", ".join(signal["name"] for signal in findings["signals"] if signal["kind"] == "output")
    text = []
    if rank is None:
        text.append("observability: no trajectory stays finite, so there is none to examine")
    else:
        text.append(
            f"observability, from {rank['samples']} samples ({rank['samples'] * dt:.3g} {findings['time_unit']}) of {outputs}, along "
            f"{rank['motions']} trajectories; directions in parts of each half range:"
        )
        if rank["smallest"] == rank["states"]:
            least = rank["singular_values"][-1]
            text.append(
                f"  rank         {rank['states']} of {rank['states']} on all of them; weakest direction "
                f"({rank['text']}), {least:.2g} of the strongest, from {rank['where_text']}"
            )
        else:
            lost = len(rank["lost_directions"])
            share = "all" if rank["share_lost"] == 1 else f"{100 * rank['share_lost']:.2g} % of"
            what = " and ".join(f"({direction})" for direction in rank["lost_texts"])
            what = what if lost <= len(rank["lost_texts"]) else f"{lost} directions, such as {what}"
            verb = "decays" if rank["lost_growth"] < 1 - 1e-6 else "does not decay"
            text.append(
                f"  rank         {rank['smallest']} of {rank['states']} on {share} trajectories (below {rank['tolerance']:g} of the "
                f"strongest): from {rank['where_text']} the samples do not determine {what}, which {verb} on its own "
                f"({rank['lost_growth']:.4g} per sample)"
            )
    if gramian is not None:
        noise = "0.5 % of the half range assumed" if gramian["noise_assumed"] else "as stated"
        if gramian["deviation"] is None:
            accuracy = "cannot be estimated"
        else:
            accuracy = f"can be estimated to {100 * gramian['deviation']:.2g} % of a half range"
        condition = "" if gramian["condition"] is None else f"; condition number {gramian['condition']:.3g}"
        text.append(f"  Gramian      weakest direction ({gramian['text']}) {accuracy} (noise {noise}){condition}")
    count = sum(hidden["places"].values())
    rows = _different([mode for mode in hidden["modes"] if mode["rate"] > GONE])
    kinds = hidden["places"]
    of = f"{count} points ({kinds['equilibrium']} equilibria, {kinds['trajectory']} on trajectories, {kinds['region']} of the region)"
    if not rows:
        text.append(f"  unobservable no direction, at {of}")
    limit = findings["requested_rate"] if findings["requested_rate"] is not None else 1.0 - 2e-4
    for mode in rows:
        refused = mode["rate"] >= limit and not findings["detectable"]
        text.append(f"  unobservable {'REFUSED' if refused else 'warning'}: {mode['text']}")
    if rows:
        text.append(f"               (examined: {of}; no observer gain makes an unobservable direction decay faster)")
    return text


def _different(modes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without those that repeat a direction at another place."""
    kept: list[dict[str, Any]] = []
    for mode in modes:
        alike = [other for other in kept if other["decay_text"] == mode["decay_text"]]
        overlap = [
            sum(a * b for a, b in zip(o["direction"].values(), mode["direction"].values(), strict=True)) for o in alike
        ]
        if not any(abs(value) > 0.99 for value in overlap):
            kept.append(mode)
    return kept


def _curve(findings: dict[str, Any]) -> list[str]:
    """The trade-off as a table: settling time and the noise of every state, for metrics of growing condition number."""
    curve = findings["trade_off"]
    states = [signal for signal in findings["signals"] if signal["kind"] == "state"]
    if len(states) > 6 or not findings["detectable"] or all(time is None for time in curve["settling_time"]):
        return []
    noise = "0.5 % of the half range of the outputs, as none is stated" if curve["assumed"] else "the outputs as stated"
    text = [
        f"settling time against noise (standard deviation of each error, from noise of {noise}) and peak (largest error of the "
        "transient, in ranges):"
    ]
    heads = ("condition", "rate", f"2 % in [{findings['time_unit']}]", "peak", *(s["name"] for s in states))
    text.append("  " + "".join(f"{head:>13}" for head in heads))
    rows = zip(*(curve[name] for name in ("condition", "rate", "settling_time", "peak", "noise")), strict=True)
    for k, (condition, rate, time, peaks, row) in enumerate(rows):
        if time is None or time > 20_000 * findings["dt"]:  # unobservable in practice
            continue
        mark = (
            ("  <- automatic" if findings["requested_rate"] is None else "  <- in use") if k == curve["chosen"] else ""
        )
        text.append("  " + "".join(f"{value:>13.4g}" for value in (condition, rate, time, max(peaks), *row)) + mark)
    return text
