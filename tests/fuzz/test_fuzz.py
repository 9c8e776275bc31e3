"""Hostile inputs of every entry point: no traceback, no odd exit code, no hang, no memory or file that nobody asked for, no code run."""

import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")

#: entry point -> inputs of every day, a few seconds of each
ENTRIES = {
    "importers": 40,
    "logs": 25,
    "toml_plants": 15,
    "python_plants": 15,
    "recipes": 12,
    "options": 12,
    "equations": 8,
    "run_folders": 6,
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_hostile_inputs_are_answered(campaign, entry):
    tally = campaign(entry, ENTRIES[entry])
    texts = [f"{item['kind']}: {item['seen']}\n    {item['note']}\n    {item['repeat']}" for item in tally["findings"]]
    assert not texts, f"{len(texts)} findings\n" + "\n".join(texts)
    assert len(tally["codes"]) > 1 or tally["inputs"] < 100, f"all ended alike: {tally['codes']}"
