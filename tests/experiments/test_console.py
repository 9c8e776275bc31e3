"""What the command line says while it works."""

import pytest

from experiments.pipeline import console
from experiments.pipeline.console import Console
from systems import compilation


@pytest.fixture
def compiled(monkeypatch):
    """A compiler that takes the seconds it is told to."""
    times = []
    monkeypatch.setattr(compilation, "_spent", times)
    return times


@pytest.mark.parametrize("terminal", [False, True])
def test_compiling_is_told_when_a_person_notices_it(compiled, capsys, monkeypatch, tmp_path, terminal):
    monkeypatch.setenv("REN_OBSERVER_CACHE", str(tmp_path))
    voice = Console()
    voice.live = terminal
    compiled.append((30.0, True))  # of an earlier step
    with voice.step("simulate", "quickly"):
        compiled.append((0.2, True))
    assert "machine code" not in capsys.readouterr().err
    with voice.step("simulate", "a large plant"):
        compiled.extend([(11.0, True), (1.5, True)])
    said = capsys.readouterr().err
    assert (
        "of that, 12.5 s to compile the plant to machine code (cached for next time in " in said
        and str(tmp_path) in said
    )
    with voice.step("simulate", "without a home"):
        compiled.append((11.0, False))
    said = capsys.readouterr().err
    assert "not kept, as " in said and "REN_OBSERVER_CACHE" in said and "next time" not in said


def test_quiet_says_nothing_of_it(compiled, capsys):
    with Console(quiet=True).step("simulate", "a large plant"):
        compiled.append((12.0, True))
    assert capsys.readouterr().err == ""


def test_a_failed_write_without_a_name_is_told_too():
    code, text = console._explained(OSError(28, "No space left on device"))
    assert code == 2 and text.startswith("error: the output: no space left on the disk; make room")
    assert console._explained(OSError(99999, "what?"))[0] == 3
