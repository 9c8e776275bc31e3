"""Every option of every command: a value that has no meaning is refused before anything begins, by flag, value and range."""

import pytest
import typer

from experiments.cli.app import COMMANDS, app
from experiments.pipeline.options import BY_KEY, OPTIONS, OWN, place

#: What a command needs besides; the plant or run does not exist, so that a command that begins says so.
ARGUMENTS = {
    "check": ["nowhere.toml"], "simulate": ["nowhere.toml", "--out", "new"], "fit": ["nowhere"], "certify": ["nowhere"],
    "validate": ["nowhere"], "report": ["nowhere"], "verify": ["nowhere"], "run": ["nowhere.toml", "--out", "new"],
    "experiment": ["nowhere", "--out", "new"], "fine-tune": ["nowhere", "--out", "new"],
    "compare": ["nowhere.toml", "--out", "new"], "estimate": ["nowhere", "log.csv", "-o", "new.csv"],
    "export": ["nowhere", "-o", "new"], "list": [], "new": ["new.toml"],
    "calibrate": ["nowhere.toml", "--data", "log.csv", "-o", "new.toml"],
}  # fmt: skip
SENSELESS = ["nan", "inf", "-inf", "-1", "1e300", "1e400", "", "x", f"{10**30}", "9" * 5000, "1;2", "\x1b[2J"]
TOO_SMALL = ["0", "1e-300"]
#: Options whose value 0, or next to 0, means something.
FROM_ZERO = {"--held-out", "--seed", "--neurons", "--noise", "--bias", "--dropout"}
#: Texts that are not read as numbers.
TEXTS = {"--method", "--excitation", "--data", "--columns", "--activation", "--solver", "--map", "--estimators", "--scenarios",
         "--rows", "--seeds", "--parameters", "--initial-estimate", "--format"}  # fmt: skip
COMMAND = typer.main.get_command(app)


@pytest.fixture
def answer(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*words):
        with pytest.raises(SystemExit) as ended:
            COMMAND.main(list(words))
        out, err = capsys.readouterr()
        assert list(tmp_path.iterdir()) == [] and "Traceback" not in err and "\x1b" not in err
        return ended.value.code, out, err.splitlines()

    return call


def _options():
    """(command, option) of all commands, but for switches."""
    table = {item.flag: item for item in (*OPTIONS, *OWN)}
    for command in COMMANDS:
        for parameter in COMMAND.commands[command].params:
            for flag in parameter.opts:
                if flag in table and not parameter.is_flag:
                    yield command, flag


@pytest.mark.parametrize("command", COMMANDS)
def test_numbers_without_meaning_are_refused_at_once(answer, command):
    for flag in [flag for name, flag in _options() if name == command and flag not in TEXTS]:
        for value in SENSELESS + TOO_SMALL:
            code, out, err = answer(command, *ARGUMENTS[command], flag, value)
            assert code == 2 and out == "" and len(err[-1]) < 400, (flag, value, code, err)
            allowed = value in TOO_SMALL and flag in FROM_ZERO
            assert flag in err[-1] or (allowed and "nowhere" in err[-1]), (flag, value, err)
            assert len([line for line in err if line.startswith("error: ")]) == 1, (flag, value, err)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_empty_text_is_no_value(answer, command):
    flags = {flag for name, flag in _options() if name == command} & TEXTS
    for flag in flags:
        code, _, err = answer(command, *ARGUMENTS[command], flag, "")
        assert code == 2 and flag in err[-1], (flag, err)


def test_every_option_but_switches_has_a_type_and_a_range():
    """An option is described by its key; one without a key is a switch."""
    from experiments.pipeline.recipe import Recipe
    from experiments.pipeline.requests import SECTIONS

    keys = set(Recipe(system="-").flat())
    keys |= {f"{name}.{field}" for name, model in SECTIONS.items() for field in model.model_fields}
    assert set(BY_KEY) <= keys
    assert all(item.key or item.type is bool for item in (*OPTIONS, *OWN))
    table = {item.flag for item in (*OPTIONS, *OWN)} | {item.former for item in (*OPTIONS, *OWN)}
    others = {
        flag
        for command in COMMANDS
        for parameter in COMMAND.commands[command].params
        if parameter.param_type_name == "option" and not parameter.is_flag
        for flag in parameter.opts
        if flag not in table
    }
    assert others <= {"--out", "-o", "--config", "--plant", "--with", "--data"}, "an option that no table describes"


def test_the_refusal_states_value_and_range(answer):
    assert answer("compare", "box", "--out", "new", "--limit", "-1")[2] == [
        "error: --limit is -1.0; expected 1e-12 to 1e+12"
    ]
    assert answer("certify", "r", "--budget", "nans")[2] == [
        "error: --budget is 'nans'; expected a time such as 20s, 2m or 1h"
    ]
    _, _, err = answer("compare", "box", "--out", "new", "--duration", "nan", "--trials", "0")
    assert "--duration is nan" in err[-1] and "--trials is 0; expected 1 to 10,000,000" in err[-1]
    assert "0 to 0.999" in answer("fine-tune", "r", "--out", "new", "--dropout", "1")[2][-1]


def test_options_that_exclude_each_other(answer):
    assert (
        "leave those options out"
        in answer("run", "box", "--out", "new", "--data", "a.csv", "--trajectories", "3")[2][-1]
    )
    assert "--data" in answer("run", "box", "--out", "new", "--columns", "a=b")[2][-1]
    assert "belongs to a new run" in answer("fit", "nowhere", "--dt", "0.1")[2][-1]


@pytest.mark.parametrize("text", ["", " ", "a\0b", "a" * 300, "a/" * 1900, "b" * 5000])
@pytest.mark.parametrize(
    "words", [["run", "box", "--out"], ["new"], ["verify"], ["compare", "box", "--out", "new", "--with"]]
)
def test_paths_that_no_file_system_has(answer, words, text):
    code, _, err = answer(*words, text)
    assert code == 2 and "expected" in err[-1] and len(err[-1]) < 400


def test_a_path_is_kept():
    assert str(place("a/b c/d")) == "a/b c/d"
