"""SIGKILL at twenty random moments: nothing half-written, and the resumed run ends bit for bit where an unbroken one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plants import NOISELESS_SPRING


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_twenty_kills_lose_nothing(tmp_path):
    (tmp_path / "plant.toml").write_text(NOISELESS_SPRING)
    script = Path(__file__).with_name("kill_points.py")
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, script, tmp_path, "20", "7"],
        capture_output=True,
        text=True,
        env={**os.environ, **threads},
        timeout=280,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    result = json.loads(ended.stdout.strip().splitlines()[-1])
    assert result["kills"] == 20 and result["same"] and not result["stale"], result
