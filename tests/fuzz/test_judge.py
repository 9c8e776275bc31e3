"""The judge sees what it is to see: each fault, made on purpose in a place of its own."""

import json
import os
import signal
import sys

import pytest

from tests.fuzz.judge import faults
from tests.fuzz.server import Outcome

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")


@pytest.fixture
def ended(tmp_path):
    """``ended(code, stderr=..., ...)``: the kinds that the judge finds."""

    def judged(code=0, *, stdout="", stderr="", log="", words=("check",), inputs=None, hung=False, memory=0, **more):
        for name in ("work", "outside", "home"):
            (tmp_path / name).mkdir(exist_ok=True)
        case = {
            "words": list(words),
            "note": "",
            "streams": "",
            **dict.fromkeys(("theirs", "much", "forged", "signals", "limits")),
            **more,
            "inputs": inputs or {},
            "outside": {},
            "partial": [],
        }
        (tmp_path / "case.json").write_text(json.dumps(case))
        for name, content in (("stdout", stdout), ("stderr", stderr), ("log", log)):
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return [fault.kind for fault in faults(Outcome(tmp_path, code, 1.0, 1.0, memory, hung))]

    return judged


def test_an_answer_is_no_fault(ended):
    assert (
        ended(0, stdout="fine\n") == []
        and ended(2, stderr="error: no such file\n") == []
        and ended(1, stderr="refused: no\n") == []
    )


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("a traceback", {"code": 1, "stderr": "Traceback (most recent call last):\n  File\n"}),
        ("exit 3", {"code": 3, "stderr": "error: KeyError\n"}),
        (f"exit {-signal.SIGSEGV}", {"code": -signal.SIGSEGV}),
        ("a hang", {"code": -signal.SIGKILL, "hung": True}),
        ("memory", {"memory": 3 << 30}),
        ("memory not foreseen", {"code": 2, "stderr": "error: not enough memory (Unable)\n"}),
        ("a control character", {"code": 2, "stderr": "error: \x1b[31m\n"}),
        ("a control character", {"stdout": "\u202ename\n"}),
        ("refused without a word", {"code": 2}),
        ("a message too long", {"code": 2, "stderr": "error: " + "x" * 5000}),
        ("advice to allow pickles", {"code": 2, "stderr": "error: set allow_pickle=True"}),
        ("a file outside", {"log": '["writes", "/etc/passwd"]\n'}),
        ("code run", {"log": '["runs", "os.system"]\n'}),
        ("an input overwritten", {"inputs": {"log.csv": "of before"}}),
        ("forged, and called certified", {"words": ("verify", "r"), "forged": True}),
        ("exit 0 of an unfinished run", {"words": ("run", "p.toml", "--out", "r")}),
    ],
)
def test_a_fault_is_seen(ended, kind, outcome):
    assert ended(**outcome) == [kind]


def test_files_left_are_seen(ended, tmp_path):
    for name in ("work/.a.partial.npz", "outside/new", "home/.ours"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert sorted(ended()) == ["a file outside", "a file outside", "a half-written file"]


def test_the_hook_tells_of_writing_elsewhere_and_of_programs(tmp_path):
    """In a child, as a hook stays for good."""
    from tests.fuzz.watch import watch

    (tmp_path / "in").mkdir()
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    child = os.fork()
    if child == 0:
        watch(tmp_path / "in", (), log)
        (tmp_path / "in" / "mine").write_text("x")
        (tmp_path / "yours").write_text("x")
        os.rename(tmp_path / "in" / "mine", tmp_path / "moved")
        os.system("true")
        compile("canary_7f3a", "<data>", "eval")
        os._exit(0)
    os.waitpid(child, 0)
    os.close(log)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [kind for kind, _ in lines] == ["writes", "writes", "runs", "runs"], lines
