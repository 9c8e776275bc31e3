"""``observer check`` before any fit: what it says, what it refuses, and that the fit says the same."""

import json

import numpy as np
import pytest

from experiments.cli.check import examine
from experiments.cli.check_text import lines
from experiments.pipeline.console import Console
from experiments.pipeline.recipe import Recipe
from observer.fitting.rate import choose_rate
from systems import NotDetectable, discretize, load_system
from tests.plants import two_states

MASSES = """
name = "chain"
description = "Three equal masses between walls, the middle one measured"
[states]
q1 = {{ range = [-2, 2], initial = [-0.3, 0.3] }}
q2 = {{ range = [-2, 2], initial = [-0.3, 0.3] }}
q3 = {{ range = [-2, 2], initial = [-0.3, 0.3] }}
v1 = {{ range = [-2, 2], initial = [-0.3, 0.3] }}
v2 = {{ range = [-2, 2], initial = [-0.3, 0.3] }}
v3 = {{ range = [-2, 2], initial = [-0.3, 0.3] }}
[parameters]
c = {damping}
[dynamics]
q1 = "v1"
q2 = "v2"
q3 = "v3"
v1 = "-2*q1 + q2 - c*v1"
v2 = "q1 - 2*q2 + q3 - c*v2"
v3 = "q2 - 2*q3 - c*v3"
[outputs]
y = "q2"
[sampling]
dt = 0.2
duration = 10.0
"""


@pytest.fixture
def chain(tmp_path):
    def write(damping):
        file = tmp_path / f"chain{damping}.toml"
        file.write_text(MASSES.format(damping=damping))
        return file

    return write


def test_a_chain_at_a_node_is_refused_with_the_direction_named(observer, chain):
    answer = observer("check", chain(0.0), "--quiet")
    assert answer.code == 1 and answer.err == ""
    for text in (
        "REFUSED: everywhere y does not see (+0.71 q1 -0.71 q3) and (+0.71 v1 -0.71 v3)", "it does not decay",
        "result: not detectable", "advice: measure q1 or q3 or v1 or v3 as well", "rank         4 of 6 on all trajectories",
    ):  # fmt: skip
        assert text in answer.out
    plant = discretize(load_system(str(chain(0.0))))
    with pytest.raises(
        NotDetectable, match="No gain of any observer changes that: everywhere y does not see"
    ) as caught:
        choose_rate(plant, plant.system.state_ranges, condition=10.0)
    np.testing.assert_allclose(caught.value.direction, np.array([1, 0, -1, 0, 0, 0]) / np.sqrt(2), atol=1e-9)


def test_with_damping_it_is_a_warning_with_the_rate_and_a_refusal_where_more_is_asked(observer, chain):
    """The hidden mode decays by c/2 = 0.2 per second: 2 % is left after 19.6 s, whatever the observer."""
    file = chain(0.4)
    findings = json.loads(observer("check", file, "--json", "--quiet").out)
    (mode,) = findings["observability"]["hidden"]["modes"]
    assert findings["verdict"] == "pass" and mode["everywhere"]
    assert mode["decay_per_second"] == pytest.approx(0.2, rel=1e-4)
    assert mode["angular_frequency"] == pytest.approx(np.sqrt(2 - 0.04), rel=1e-4)
    text = "\n".join(lines(findings))
    assert "warning: everywhere y does not see" in text and "0.2 per second" in text
    assert "none is faster than 19.6 s, because of the unobservable direction" in text
    plant = discretize(load_system(str(file)))
    rate, found, warnings = choose_rate(plant, plant.system.state_ranges, condition=10.0)
    assert mode["rate"] - 1e-9 < found.rate < rate and any(
        w.partition(": ")[2].startswith("everywhere y") for w in warnings
    )
    refused = observer("check", file, "--settling-time", "10s", "--quiet")
    assert refused.code == 1 and "REFUSED: everywhere y" in refused.out
    assert "advice: or ask for a settling time of 19.6 s or more" in refused.out


def test_findings_of_a_plant_that_is_seen():
    findings = examine(Recipe(system="duffing"), Console(quiet=True))
    seen = findings["observability"]
    assert seen["rank"]["smallest"] == 2 and seen["hidden"]["modes"] == [] and seen["gramian"]["condition"] < 100
    assert len(seen["rank"]["singular_values"]) == 2 and set(seen["gramian"]["worst_direction"]) == {"x1", "x2"}
    assert json.loads(json.dumps(findings)) == findings
    text = "\n".join(lines(findings))
    for word in (
        "rank         2 of 2",
        "Gramian      weakest direction",
        "unobservable no direction",
        "stiffness ratio",
        "<- automatic",
    ):
        assert word in text


def test_a_direction_unobservable_at_one_point_is_named_with_the_point(observer):
    answer = observer("check", "lorenz", "--quiet", "--settling-time", "1s")
    assert answer.code == 1
    assert "REFUSED: at the equilibrium x1=0, x2=0, x3=0, u=0 y does not see (+1 x3)" in answer.out
    assert "2.67 per second: 2 % is left after 1.47 s" in answer.out and "settling time of 1.47 s or more" in answer.out


def test_advice_where_all_is_seen_and_yet_no_metric_contracts(observer, tmp_path):
    """Van der Pol from its second state: whole rank at every motion, and a direction that no constant metric shrinks."""
    file = tmp_path / "vdp2.toml"
    equations = "b", "(1 - a^2)*b - a"
    file.write_text(two_states("vdp2", ([-3, 3], [-4, 4]), equations, "b", "dt = 0.05\nduration = 10"))
    answer = observer("check", file, "--quiet")
    assert answer.code == 1 and "rank         2 of 2" in answer.out
    assert "REFUSED: in the region, as at" in answer.out and "(+1 a)" in answer.out


def test_many_signals_are_listed_by_their_first_and_last():
    signals = [
        {"kind": "state", "name": f"s{k}", "unit": "", "range": [0, 1], "noise": 0, "role": "known"} for k in range(20)
    ]
    from experiments.cli.check_text import _signals

    assert [line.split()[1] for line in _signals(signals)] == ["s0", "s1", "17", "s19"]
