"""``pytest tests/fuzz --fuzz N --fuzz-seed S``: N inputs of each entry point; a few, always the same, when left out."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz", type=int, metavar="N", help="hostile inputs of each entry point")
    parser.addoption("--fuzz-seed", type=int, default=0, metavar="S", help="other inputs than those of every day")


@pytest.fixture(scope="session")
def campaign(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, int], dict[str, Any]]]:
    """Run the inputs of an entry point in a server of their own: ``campaign("logs", 20)`` gives what came of 20, or of --fuzz."""
    options = request.config.option  # not there when pytest began elsewhere and saw this file too late
    asked, seed = getattr(options, "fuzz", None), getattr(options, "fuzz_seed", 0)
    root = Path(__file__).parents[2]
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.fuzz", "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "TMPDIR": str(tmp_path_factory.mktemp("fuzz"))},
    )  # fmt: skip
    assert server.stdin is not None and server.stdout is not None
    assert server.stdout.readline() == "ready\n", "the server did not start"

    def run(entry: str, few: int) -> dict[str, Any]:
        assert server.stdin is not None and server.stdout is not None
        print(entry, seed, asked or few, file=server.stdin, flush=True)
        return json.loads(server.stdout.readline())

    yield run
    server.communicate(timeout=60)
