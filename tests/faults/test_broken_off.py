"""SIGKILL and signals at random instants: nothing half-written, and what is gone on with ends as an unbroken command does.

FAULTS=5 in the environment breaks every command off five times; without it two commands are broken off twice.
"""

import os

import pytest

COUNT = int(os.environ.get("FAULTS", "0"))


@pytest.mark.parametrize(("kind", "few"), [("kills", "run,fit"), ("signals", "run,certify")])
def test_what_is_broken_off_ends_as_if_it_never_was(tmp_path, broken_off, monkeypatch, kind, few):
    if not COUNT:
        monkeypatch.setenv("ROWS", few)
    found = broken_off(kind, tmp_path, COUNT or 2, 7)
    assert not found["faults"] and found["broken"], found
