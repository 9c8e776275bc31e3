"""SIGKILL and signals at random instants of every command: nothing half-written, and what is gone on with ends as an unbroken one.

FAULTS=50 in the environment breaks every command off fifty times instead of twice.
"""

import os

import pytest

COUNT = int(os.environ.get("FAULTS", "2"))


@pytest.mark.parametrize("kind", ["kills", "signals"])
def test_what_is_broken_off_ends_as_if_it_never_was(tmp_path, broken_off, kind):
    found = broken_off(kind, tmp_path, COUNT, 7)
    assert not found["faults"] and found["broken"], found
