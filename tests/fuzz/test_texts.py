"""Texts of any kind, to the parsers of a person's texts: an answer or one InputError that a terminal can show."""

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.pipeline.kinds import seconds
from systems.base.errors import InputError
from systems.equations import parse
from systems.recordings import parse_columns
from systems.toml_files import system_from_toml
from tests.fuzz import equations
from tests.fuzz.case import Dice
from tests.fuzz.values import CONTROLS, FOREIGN, NUMBERS, PAYLOADS, TIMES, argument

HOSTILE = st.one_of(
    st.text(max_size=60), st.sampled_from((*CONTROLS, *FOREIGN, *NUMBERS, *PAYLOADS, *TIMES, *equations.HABITS))
)


@pytest.mark.parametrize("text", ["/", "//", "/.", "/x.csv", "/etc/passwd"])
def test_no_word_of_a_command_is_a_place_of_the_machine(tmp_path, text):
    """`export r -o //` wrote into the root folder, as it was told."""
    assert not argument(Dice("options", 0, 0, tmp_path, tmp_path), text).startswith("/")


def _grown(seed: int) -> str:
    return equations.equation(Dice("texts", seed, 0, Path(), Path()))


PARSERS = {
    "equation": lambda text: parse(text, ("q", "w"), "state 'q'"),
    "columns": parse_columns,
    "plant": lambda text: system_from_toml(text, "plant.toml"),
}


@pytest.mark.parametrize("parser", PARSERS)
@given(text=st.one_of(HOSTILE, st.integers(0, 10**9).map(_grown)))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_text_is_read_or_refused(parser, text):
    try:
        PARSERS[parser](text)
    except InputError as error:
        assert 0 < len(str(error)) < 2_000


@given(text=HOSTILE)
def test_a_time_is_read_or_refused(text):
    try:
        assert isinstance(seconds(text), float)
    except ValueError as error:
        assert "expected a time" in str(error)


def test_the_same_key_gives_the_same_input(tmp_path):
    def make() -> tuple[list[str], str, str]:
        case = equations.make(Dice("equations", 3, 5, tmp_path, tmp_path))
        return case.words, case.note, (tmp_path / "plant.toml").read_text()

    first = make()
    random.seed(1)
    assert make() == first
