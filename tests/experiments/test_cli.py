import json
import subprocess
import sys

import pytest

from tests.plants import two_states

TOML = """
name = "tank"
[states]
level = { range = [0.1, 1.0], unit = "m" }
[inputs]
inflow = { range = [0.0, 0.5] }
[dynamics]
level = "inflow - 0.3*sqrt(level + 0.05)"
[outputs]
y = "level"
[sampling]
dt = 0.1
"""


def refused(answer, code=2):
    """One message on stderr (it may quote the equation below itself, indented), nothing on stdout, no traceback."""
    assert answer.code == code, answer.err
    assert "Traceback" not in answer.err and answer.out == ""
    lines = [line for line in answer.err.splitlines() if not line.startswith("    ")]
    assert len(lines) == 1 and lines[0].startswith("error: " if code == 2 else "refused: "), answer.err
    return lines[0]


def test_the_command_line_imports_nothing_heavy():
    heavy = ("numpy", "torch", "casadi", "matplotlib", "pydantic", "rich", "numba")
    probe = f"import sys, experiments.cli.app; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_and_version(observer):
    answer = observer("--help")
    assert answer.code == 0 and all(word in answer.out for word in ("simulate", "certify", "verify", "experiment"))
    assert observer("--version").out.startswith("observer ")
    for command in ("run", "fit", "validate", "check", "experiment"):
        assert observer(command, "--help").code == 0


def test_list_names_plants_and_experiments(observer):
    answer = observer("list")
    assert answer.code == 0 and "van_der_pol" in answer.out and "Experiments" in answer.out
    names = [row["name"] for row in json.loads(observer("list", "--json").out)["systems"]]
    assert "box" in names


def test_new_writes_a_plant_that_checks(observer, tmp_path):
    for name in ("mine.toml", "mine.py"):
        assert observer("new", tmp_path / name).code == 0
        assert observer("check", tmp_path / name, "--quiet").code == 0
        assert "exists already" in refused(observer("new", tmp_path / name))


def test_check_tells_signals_time_scales_and_the_rate(observer):
    answer = observer("check", "van_der_pol", "--quiet")
    assert answer.code == 0 and answer.err == ""
    for text in ("state   x1", "time scales", "substep", "<- automatic", "fastest rate", "result: detectable"):
        assert text in answer.out
    findings = json.loads(observer("check", "van_der_pol", "--json", "--quiet").out)
    assert 0 < findings["rate"] < 1 and findings["detectable"] is True


def test_check_says_which_state_cannot_be_seen(observer, tmp_path):
    file = tmp_path / "blind.toml"
    file.write_text(two_states("blind", ([-1, 1], [-1, 1]), ("-a", "0*a"), "a", "dt = 0.1"))
    answer = observer("check", file, "--quiet")
    assert answer.code == 1 and "(-1 b)" in answer.out.replace("+", "-") and "not detectable" in answer.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["boxx"], "did you mean 'box'"),
        (["nowhere.toml"], "no file nowhere.toml"),
        (["nowhere/plant.py"], "no file"),
        (["."], "is a folder"),
        ([""], "expected a library name"),
        (["box", "--dt", "0"], "--dt is 0.0; expected 1e-12 to 1e+12"),
        (["box", "--dt", "nan"], "--dt is nan"),
        (["box", "--dt", "1e9"], ""),
        (["box", "--method", "magic"], "--method is 'magic'"),
        (["box", "--method", "exact"], "linear"),
        (["box", "--neurons", "-1"], "--neurons is -1"),
        (["box", "--trials", "0"], "--trials is 0"),
        (["box", "--activation", "gelu"], "slope"),
        (["box", "--solver", "magic"], "magic"),
        (["box", "--budget", "soon"], "--budget is 'soon'"),
        (["box", "--settling-time", "-1"], "--settling-time is '-1'"),
        (["box", "--excitation", "noise"], "--excitation is 'noise'"),
        (["box", "--seed", "-1"], "--seed is -1"),
        (["box", "--duration", "1e-9"], "at least one sample"),
        (["box", "--config", "none.toml"], "none.toml: no such file"),
    ],
)
def test_bad_input_is_one_message_and_leaves_nothing(observer, tmp_path, words, message):
    out = tmp_path / "deep" / "run"
    answer = observer("run", *words, "--out", out, "--quiet")
    assert message in refused(answer)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.toml", b""),
        ("a.toml", b"\xff\xfe\x00"),
        ("a.toml", b"name = "),
        ("a.toml", TOML.replace("0.3*", "0.3*nan*").encode()),
        ("a.toml", TOML.replace("[0.1, 1.0]", "[1.0, 0.1]").encode()),
        ("a.toml", TOML.replace("sqrt(level", "__import__('os').system('touch pwned')").encode()),
        ("a.toml", TOML.replace("inflow -", "inflw -").encode()),
        ("a.toml", TOML.replace("dt = 0.1", "dt = -0.1").encode()),
        ("a.toml", TOML.replace('level = "inflow', 'level = "1000*level*level + inflow').encode()),
        ("a.py", b"raise SystemExit(0)"),
        ("a.py", b"1/0"),
        ("a.py", b"def system():"),
        ("a.py", b"x = 3"),
        ("a.csv", b"1,2,3"),
        ("a.npz", b"PK"),
    ],
)
def test_hostile_files_are_refused(observer, tmp_path, monkeypatch, name, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    refused(observer("run", name, "--out", "run", "--quiet"))
    assert [item.name for item in tmp_path.iterdir()] == [name]


def test_usage_errors_are_exit_2(observer):
    for words in (
        ["run"],
        ["run", "box"],
        ["fly"],
        ["run", "box", "--out"],
        ["run", "box", "--out", "x", "--neurons", "many"],
    ):
        answer = observer(*words)
        assert answer.code == 2 and "Traceback" not in answer.err


@pytest.mark.parametrize("command", ["fit", "certify", "validate", "report", "verify"])
def test_a_step_needs_a_run(observer, tmp_path, command):
    assert "no such run folder" in refused(observer(command, tmp_path / "none"))
    (tmp_path / "other").mkdir()
    assert "not a run folder" in refused(observer(command, tmp_path / "other"))
    assert list((tmp_path / "other").iterdir()) == []


def test_folders_that_are_no_runs_are_left_alone(observer, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "is a file" in refused(observer("run", "box", "--out", tmp_path / "file", "--fresh"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("mine")
    assert "holds other files" in refused(observer("run", "box", "--out", tmp_path / "folder", "--fresh"))
    assert (tmp_path / "folder" / "thesis.tex").read_text() == "mine"
    assert "file" in refused(observer("run", "box", "--trajectories", 2, "--out", tmp_path / "file" / "sub", "--quiet"))


def test_a_fault_of_ours_is_said_in_one_line(observer, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("experiments.cli.check.examine", broken)
    answer = observer("check", "box")
    assert answer.code == 3 and "fault of the application" in answer.err and "OBSERVER_DEBUG=1" in answer.err
    assert "Traceback" not in answer.err
    monkeypatch.setenv("OBSERVER_DEBUG", "1")
    assert "Traceback" in observer("check", "box").err


def test_unknown_experiment_names_the_known_ones(observer):
    assert "expected one of box" in refused(observer("experiment", "bax"))


def test_an_experiment_gets_its_options_and_its_exit_code(observer, tmp_path, monkeypatch):
    seen = {}

    def run(experiment, out, **options):
        seen.update(options, out=out, name=experiment.name)
        options["report"]("working")
        return 1

    monkeypatch.setattr("experiments.runner.run_experiment", run)
    answer = observer("experiment", "box", "--out", tmp_path, "--full", "--seed", 4, "--neurons", 7, "--budget", "5s")
    assert answer.code == 1 and "working" in answer.err
    assert seen.pop("report")
    given = {"seed": 4, "neurons": 7, "budget": 5.0, "rows": None, "seeds": None, "data": None}
    assert seen == {"name": "box", "out": tmp_path, "full": True, "quiet": False, "fresh": False} | given
