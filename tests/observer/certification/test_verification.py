"""A stored certificate is derived again as a whole: honest ones agree, every single change is found, and a clock raises no alarm."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest

from observer.certification import accuracy, verification
from observer.certification.accuracy import repeat_accuracy
from observer.certification.certificate import Certificate, certify
from observer.certification.region import given_region
from observer.certification.residual import bound_residual
from observer.certification.verification import AGREES, DIFFERS, UNCONFIRMED, verify_certificate
from systems.base.errors import InputError
from systems.base.records import to_plain
from systems.base.wording import distinguished
from systems.discretization import discretize
from systems.toml_files import system_from_toml
from tests.observer.certification.hand_fitted import swing, swinging_observer

BOUNDS = ("upper", "lower", "state_upper", "state_lower", "residual", "steady_state", "discretisation", "structural")
SAMPLE = 30  # of some 300 leaves, for every run of the tests; the rest is marked slow


@pytest.fixture(scope="module")
def made():
    plant = swing()
    observer = swinging_observer(plant)
    return observer, plant, json.loads(json.dumps(certify(observer, plant, work=0.15).to_data()))


@pytest.fixture(scope="module")
def remembered():
    """``repeat_accuracy``, done once for equal inputs: all that it reads of what is stated is in the key."""
    known = {}

    def repeat(stated, observer, plant, *, budget, jitter=0.0):
        proofs = [
            [
                p.name,
                p.contraction.metric,
                p.contraction.multipliers,
                p.gains.error_multipliers,
                p.gains.noise_multipliers,
            ]
            for p in (*stated.proofs, *stated.unforced)
        ]
        searches = [p.residual for p in (*stated.proofs, *stated.unforced)] + [stated.horizon] * (
            stated.horizon is not None
        )
        limits = [[s.cells, s.status] for s in searches]
        quoted = [(r.upper, r.attained_at) for r in searches[:1]]
        options = [stated.region.how, stated.region.box, stated.work, stated.gap, stated.seed, stated.kind]
        key = json.dumps(to_plain([jitter, budget, proofs, limits, quoted, options]))
        if key not in known:
            known[key] = repeat_accuracy(stated, observer, plant, budget=budget, jitter=jitter)
        # Regions and options of the answer are those of the question.
        return known[key]

    return repeat


def leaves(value, path=()):
    """Paths of all that is no container, and of lists for their length; timings and the map for the eye as few."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name != "seconds":
                yield from leaves(item, (*path, name))
        return
    if isinstance(value, list):
        yield (*path, len)
        for k, item in enumerate(value):
            if not isinstance(item, int | float) or (k < 3 and len(path) < 8 and "values" not in path[:-1]):
                yield from leaves(item, (*path, k))
        return
    yield path


def changed(value, name):
    """The change of one leaf; None where there is none that is one."""
    if isinstance(value, bool):
        return not value
    if value is None:
        return 1.0 if name == "work" else None
    if isinstance(value, str):
        return value + " "
    if isinstance(value, int):
        return value + 1
    return None if value == 0 else value * (1e-3 if name in BOUNDS else 1 + 1e-3)


def forged(data, path):
    data = copy.deepcopy(data)
    *way, last = path
    place = data
    for step in way[:-1] if last is len else way:
        place = place[step]
    if last is len:
        if not place[way[-1]]:
            return None
        place[way[-1]] = place[way[-1]][:-1]
        return data
    name = next(step for step in reversed(path) if isinstance(step, str))
    new = changed(place[last], name)
    place[last] = new
    return None if new is None else data


def answers(data, observer, plant, **options):
    try:
        stored = Certificate.from_data(json.loads(json.dumps(data)))
    except (InputError, TypeError, ValueError):  # not a certificate any more
        return {DIFFERS}
    return {f.answer for f in verify_certificate(stored, observer, plant, **options)}


def test_what_is_stored_is_derived_again_to_the_bit(made):
    observer, plant, data = made
    findings = verify_certificate(Certificate.from_data(data), observer, plant)
    assert [f for f in findings if f.answer != AGREES] == []
    parts = {f.part for f in findings}
    assert {"rate", "region", "proof 'one step'", "many-step bound", "settled set", "structural", "identity"} <= parts
    again = json.loads(json.dumps(certify(observer, plant, work=0.15).to_data()))
    assert without_seconds(again) == without_seconds(data)


def without_seconds(value):
    if isinstance(value, dict):
        return {name: without_seconds(item) for name, item in value.items() if name != "seconds"}
    return [without_seconds(item) for item in value] if isinstance(value, list) else value


def missed(made, remembered, monkeypatch, paths):
    monkeypatch.setattr(verification, "repeat_accuracy", remembered)
    observer, plant, data = made
    kept = []
    for path in paths:
        other = forged(data, path)
        if other is not None and answers(other, observer, plant) == {AGREES}:
            kept.append(path)
    return kept


def test_a_single_change_is_found(made, remembered, monkeypatch):
    paths = list(leaves(made[2]))
    rng = np.random.default_rng(0)
    chosen = [paths[k] for k in rng.choice(len(paths), SAMPLE, replace=False)]
    assert missed(made, remembered, monkeypatch, chosen) == []


@pytest.mark.slow
def test_every_single_change_is_found(made, remembered, monkeypatch):
    assert missed(made, remembered, monkeypatch, leaves(made[2])) == []


FORGERIES = {
    "before of a settled proof": lambda b: b["proofs"][-1]["settled"]["before"].update(upper=1e-9),
    "a steady state of many steps": lambda b: b["horizon"].update(steady_state=[1e-9, 1e-9]),
    "no discretisation error": lambda b: b.update(discretisation=[0.0, 0.0]),
    "no discretisation error in a proof": lambda b: b["proofs"][0].update(discretisation=0.0),
    "no structural bound": lambda b: b.update(structural=None),
    "a smaller settled set": lambda b: b["settled"].update(share=b["settled"]["share"] / 2),
    "another reason": lambda b: b.update(reason="|r|_M is at most 0."),
    "no kind": lambda b: b.update(kind="none"),
    "no proofs": lambda b: b.update(proofs=[]),
    "a proof less": lambda b: b["proofs"].pop(),
    "an overstated bound": lambda b: b["proofs"][0]["residual"].update(
        upper=1.01 * b["proofs"][0]["residual"]["upper"]
    ),
    "an unforced proof of the forced one": lambda b: b["unforced"][-1]["settled"].update(
        before=b["proofs"][0]["residual"]
    ),
    "ended otherwise": lambda b: b["proofs"][0]["residual"].update(status="clock"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_told(made, remembered, monkeypatch, name):
    monkeypatch.setattr(verification, "repeat_accuracy", remembered)
    observer, plant, data = made
    data = copy.deepcopy(data)
    FORGERIES[name](data["bounds"])
    assert DIFFERS in answers(data, observer, plant)


def test_a_bound_below_what_is_attained_says_so_to_the_digits_that_differ(made):
    observer, plant, data = made
    data = copy.deepcopy(data)
    residual = data["bounds"]["proofs"][0]["residual"]
    residual["upper"] = residual["lower"] * (1 - 1e-9)
    findings = verify_certificate(Certificate.from_data(data), observer, plant)
    text = next(f.text for f in findings if "stated as at most" in f.text)
    said, reached = text.split("at most ")[1].removesuffix(" is reached").split(", but ")
    assert said != reached and float(said) < float(reached)


def test_no_time_is_no_difference(made):
    """With no seconds at all nothing that was searched is confirmed, and nothing is called wrong."""
    observer, plant, _ = made
    stored = certify(observer, plant, work=0.01, gap=1e-6)
    assert all(p.residual.cells > 1 for p in stored.bounds.proofs)
    stored = Certificate.from_data(json.loads(json.dumps(stored.to_data())))
    findings = verify_certificate(stored, observer, plant, budget=0.0)
    assert {f.answer for f in findings} == {AGREES, UNCONFIRMED}
    assert all("a longer --budget goes on" in f.text for f in findings if f.answer == UNCONFIRMED)


def test_what_a_clock_ended_says_so_and_is_repeated_as_far_as_it_went(made):
    observer, plant, _ = made
    stored = certify(observer, plant, work=0.05, gap=1e-6, budget=0.0)
    ended = {p.residual.status for p in (*stored.bounds.proofs, *stored.bounds.unforced)}
    assert "clock" in ended and "work" not in ended
    stored = Certificate.from_data(json.loads(json.dumps(stored.to_data())))
    assert [f for f in verify_certificate(stored, observer, plant) if f.answer != AGREES] == []


def test_last_digits_are_no_difference(made):
    """What another processor makes of a closed form: a few units in the last place."""
    observer, plant, data = made
    stored = Certificate.from_data(data)
    other = replace(stored, rate=stored.rate * (1 + 4e-16), gain_y=stored.gain_y * (1 - 4e-16))
    assert [f for f in verify_certificate(other, observer, plant) if f.answer != AGREES] == []
    other = replace(stored, rate=stored.rate * (1 - 1e-9))
    found = [f for f in verify_certificate(other, observer, plant) if f.answer == DIFFERS]
    assert [f.part for f in found] == ["rate"] and "there and" in found[0].text


def test_a_search_goes_on_where_its_point_differs_by_rounding(made):
    observer, plant, _ = made
    part = bound_residual(observer, plant, gap=1e-6, cells=50, threads=1)
    near, far = (replace(part, lower=part.lower + k * part.rounding) for k in (0.5, 20.0))
    assert bound_residual(observer, plant, gap=1e-3, threads=1, resume=near).upper <= part.upper
    with pytest.raises(InputError, match="another observer or plant") as error:
        bound_residual(observer, plant, gap=1e-3, threads=1, resume=far)
    said = str(error.value).split(" = ")[1].split(";")[0].split(", not ")
    assert said[0] != said[1]


def test_numbers_are_distinguished():
    assert distinguished(0.1, 0.2) == ("0.1", "0.2")
    one, two = distinguished(0.000124442311, 0.000124442893)
    assert one != two and len(one) < 14
    assert distinguished(1.0, 1.0) == ("1", "1")


def test_what_the_work_does_not_suffice_for_is_left_out_and_said(made):
    observer, plant, _ = made
    stored = certify(observer, plant, work=0.002)
    assert stored.bounds.omitted == {"settled": "work", "settled_unforced": "work", "horizon": "work"}
    assert "No settled set: the work given (--work) does not suffice." in stored.bounds.reason
    assert {f.answer for f in verify_certificate(stored, observer, plant)} == {AGREES}
    forged = replace(stored, bounds=replace(stored.bounds, omitted={}))
    assert DIFFERS in {f.answer for f in verify_certificate(forged, observer, plant)}


def test_a_settled_set_that_takes_longer_is_not_confirmed(made):
    observer, plant, data = made
    found = verify_certificate(Certificate.from_data(data), observer, plant, budget=0.0)
    assert {f.answer for f in found} == {AGREES, UNCONFIRMED}
    assert any("--budget" in f.text for f in found if f.answer == UNCONFIRMED)
    ended = certify(observer, plant, work=0.15, budget=0.0).bounds
    assert ended.omitted["settled"] == "clock" and "(--budget)" in ended.reason


def test_the_error_of_a_reference_by_fixed_steps_is_part_of_the_model_error():
    text = '[states]\nx = { range = [-1, 1] }\n[dynamics]\nx = "-sign(x)"\n[outputs]\ny = "x"\n[sampling]\ndt = 0.05\nduration = 2'
    plant = discretize(system_from_toml(text, "sliding.toml"))
    d, own = accuracy._discretisation(plant, given_region(plant, [[-1.0, 1.0]]), 0)
    x, u = accuracy._points(plant, given_region(plant, [[-1.0, 1.0]]), len(d), 6)
    exact = np.sign(x) * np.maximum(np.abs(x) - 0.05, 0.0)
    assert own > 0 and np.abs(plant.step(x, u) - exact).max() <= np.abs(d).max() + 2 * own
    M = np.array([[4.0]])
    assert accuracy._largest(d, own, M) == pytest.approx(2 * (np.abs(d).max() + own[0]))
