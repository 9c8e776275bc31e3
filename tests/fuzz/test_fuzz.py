"""Hostile inputs of every entry point: no traceback, no odd exit code, no hang, no memory or file that nobody asked for, no code run."""

import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")

ENTRIES = ("equations", "toml_plants", "python_plants", "logs", "recipes", "run_folders", "importers", "options")


@pytest.mark.parametrize("entry", ENTRIES)
def test_hostile_inputs_are_answered(campaign, entry):
    tally = campaign(entry)
    texts = [f"{item['kind']}: {item['seen']}\n    {item['note']}\n    {item['repeat']}" for item in tally["findings"]]
    assert not texts, f"{len(texts)} findings\n" + "\n".join(texts)
    assert len(tally["codes"]) > 1 or tally["inputs"] < 10, f"all ended alike: {tally['codes']}"
