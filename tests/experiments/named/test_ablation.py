"""The ablation at toy size: every variant is fitted, kept, and drawn; what is done already is not done again."""

import json
from dataclasses import asdict

import pytest

from experiments.named.ablation import page, run
from experiments.named.ablation.fits import TOY, FitOutcome
from experiments.named.ablation.variants import DEFAULT, FACTORS, VARIANTS, cases
from systems.base.errors import InputError


@pytest.fixture
def few(monkeypatch):
    """One plant, and the default with one variant of each of two factors."""
    chosen = (DEFAULT, *(v for v in VARIANTS if v.name in ("random weights", "15 %")))
    for module in (run, page):
        monkeypatch.setattr(module, "VARIANTS", chosen)
        monkeypatch.setattr(module, "cases", lambda: cases()[1:])
    return chosen


def test_a_page_with_every_variant_and_resuming(tmp_path, few, monkeypatch, perform):
    done = perform("ablation", tmp_path, size=TOY)
    rows = done.metrics["cases"]["van_der_pol"]
    assert done.code == 0 and set(rows) == {variant.key for variant in few}
    assert rows[DEFAULT.key]["times_the_default"] == 1
    assert rows["headroom-15_"]["rate"] != rows[DEFAULT.key]["rate"]
    assert "random weights" in done.page and all(
        title in done.page for title in (FACTORS["start"], FACTORS["headroom"])
    )
    assert (tmp_path / "figures" / "courses_van_der_pol.pdf").is_file()
    assert sum("held-out loss" in line for line in done.said) == len(few)
    monkeypatch.setattr(run, "fit_variant", None)  # nothing is left to measure
    assert perform("ablation", tmp_path, size=TOY).code == 0


def test_time_to_a_loss_is_read_off_the_course():
    outcome = FitOutcome(1e-6, 1.0, 1e-3, 0.9, "budget", 3, 2.0, (0.0, 0.5, 1.0, 2.0), (1.0, 1e-2, 1e-2, 1e-6))
    assert outcome.time_to(0.1) == 0.5 and outcome.time_to(1e-3) == 2.0 and outcome.time_to(1e-9) == float("inf")
    assert FitOutcome.from_data(json.loads(json.dumps(asdict(outcome)))) == outcome


def test_every_factor_has_a_variant_and_options_are_refused(tmp_path, perform):
    assert {v.factor for v in VARIANTS} - {"default"} == set(FACTORS)
    assert len({v.key for v in VARIANTS}) == len(VARIANTS)
    with pytest.raises(InputError, match="has no --neurons; it takes --budget"):
        perform("ablation", tmp_path, neurons=3)
