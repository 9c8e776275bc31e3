"""The page on the networks: its code runs as it stands."""

import re
from pathlib import Path

from observer.networks.catalogue import NETWORKS

PAGE = (Path(__file__).parents[1] / "docs" / "networks.md").read_text(encoding="utf-8")


def test_the_code_runs(capsys):
    scope = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, scope)
    assert "True" in capsys.readouterr().out


def test_every_network_is_on_the_page():
    assert all(f"| `{kind.__name__}` |" in PAGE for kind in NETWORKS)
