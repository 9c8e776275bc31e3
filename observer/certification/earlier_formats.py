"""Certificates as earlier versions stored them, brought to the present format before they are read."""

import math
from typing import Any

from systems.base.errors import InputError

_BOUND = ("upper", "lower", "attained_at", "state_upper", "rounding", "gap", "cells", "seconds", "status")
_CONTRACTION = ("metric", "multipliers", "rate", "gain_y", "gain_u", "state_gain")


def brought_up(data: dict[str, Any], stated: int) -> dict[str, Any]:
    """A certificate of the format ``stated``, in the present one."""
    data = _from_format_1(data) if stated == 1 else data
    return _from_format_2(data) if stated <= 2 else data


def _from_format_2(data: dict[str, Any]) -> dict[str, Any]:
    """Format 2 has a budget in seconds and no work; its searches ended by the clock, and say "budget".

    Entries of other types are left as they are, for the reader to name.
    """
    bounds = data.get("bounds")
    if not isinstance(bounds, dict):
        return data
    bounds = _by_the_clock(bounds) | {"work": None}
    nx = len(data["metric"])
    if isinstance(bounds.get("horizon"), dict):
        bounds["horizon"] = {"attained_at": [[]] * (1 + nx)} | bounds["horizon"]
    if isinstance(bounds.get("statistical"), dict):
        bounds["statistical"] = {"status": "clock"} | bounds["statistical"]
    return data | {"bounds": bounds}


def _by_the_clock(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: "clock" if name == "status" and item == "budget" else _by_the_clock(item)
            for name, item in value.items()
        }
    return [_by_the_clock(item) for item in value] if isinstance(value, list) else value


def _from_format_1(data: dict[str, Any]) -> dict[str, Any]:
    """Format 1 has the rate per second instead of dt, and each proof as one flat object.

    Raises InputError where entries are missing, as in the certificates of the first versions.
    """
    try:
        rate, per_second = data["rate"], data["rate_per_second"]
        bounds = data.get("bounds")
        found = dict(data) | {"bounds": None if bounds is None else _bounds(bounds)}
    except KeyError as error:
        raise InputError(
            f"certificate: {error.args[0]} missing; delete certificate.json, and `observer certify RUN` makes it anew"
        ) from error
    # To 12 digits: dt as it was given, before rounding in the logarithm.
    found["dt"] = float(f"{-math.log(rate) / per_second:.12g}") if rate and per_second else None
    del found["rate_per_second"]
    return found


def _bounds(bounds: dict[str, Any]) -> dict[str, Any]:
    box, held = bounds["region"]["box"], [[value, value] for value in bounds["held"]]
    calm = [*box[: len(box) - len(held)], *held]
    horizon = bounds["horizon"]
    return bounds | {
        "proofs": [_proof(p, bounds["proofs"], box) for p in bounds["proofs"]],
        "unforced": [_proof(p, bounds["unforced"], calm) for p in bounds["unforced"]],
        "horizon": None if horizon is None else horizon | {"region": calm, "cells": 0},
        "settled": bounds["settled"],
        "settled_unforced": bounds["settled_unforced"],
    }


def _proof(p: dict[str, Any], others: list[dict[str, Any]], box: list[Any]) -> dict[str, Any]:
    names = {name: f"residual_{name}" if name in ("upper", "lower") else name for name in _BOUND}

    def residual(q: dict[str, Any]) -> dict[str, Any]:
        return {name: q[stored] for name, stored in names.items()} | {"region": box, "metric": q["metric"]}

    settled = None
    if p["after"]:
        whole = next((q for q in others if not q["after"] and q["metric"] == p["metric"]), p)
        before = residual(whole) | {"upper": p["residual_before"], "state_upper": p["state_before"]}
        settled = {"after": p["after"], "before": before}
    gains = {"error": "step_gain", "noise": "step_gain_y", "error_multipliers": "step_multipliers"}
    gains |= {"noise_multipliers": "step_multipliers_y"}
    return {
        "name": p["name"],
        "contraction": {name: p[name] for name in _CONTRACTION},
        "gains": {name: p[stored] for name, stored in gains.items()},
        "residual": residual(p),
        "discretisation": p["discretisation"],
        "settled": settled,
    }
