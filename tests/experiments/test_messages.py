"""What the program says: one visible line, cut where it is long, and an exit code that fits."""

import json

import pytest

from experiments.pipeline import limits
from experiments.pipeline.console import Console, answer, show
from systems.base.errors import InputError
from systems.base.wording import LONGEST_LINE, LONGEST_WORD, cut, message, visible

resource = pytest.importorskip("resource")
#: Escape sequences, a bell, line ends, an end of text, a change of direction, invisible and lone half characters.
HOSTILE = "a\x1b[2J\x1b]0;title\x07\r\n\0\x9b31m\u202e\u2066\u200b\ufeff\udce9\u2028z"


def sendable(text):
    """True for text that a terminal prints as it is: no character is obeyed or has no width."""
    return all(line.isprintable() for line in text.splitlines()) and "\r" not in text


def test_what_a_terminal_would_obey_is_shown():
    assert visible("Möbius ẋ [m/s²] 界") == "Möbius ẋ [m/s²] 界"
    assert visible(HOSTILE) == (r"a\x1b[2J\x1b]0;title\x07\r\n\x00\x9b31m\u202e\u2066\u200b\ufeff\udce9\u2028z")
    assert visible("5\u00a0m") == "5\u00a0m"


def test_a_line_break_in_a_name_is_no_new_message():
    assert message("error: no file x\nerror: all is well").count("\n") == 0
    assert message("error: equation of x\n    -x +\n        ^").splitlines()[1:] == ["    -x +", "        ^"]


def test_long_words_and_lines_are_cut_in_their_middle():
    assert cut("abcdefghij" * 10, 20) == "abcdefghija...efghij" and cut("short", 20) == "short"
    text = message(f"error: {'x' * 5000}/end.toml is absent")
    assert len(text) < LONGEST_WORD + 40 and text.endswith("/end.toml is absent")
    assert len(message("a b " * 5000)) == LONGEST_LINE


def test_everything_that_is_printed_is_visible(capsys):
    def command():
        show(f"result {HOSTILE}")
        console = Console()
        console.say(HOSTILE)
        console.warn(HOSTILE)
        with console.step(HOSTILE, HOSTILE):
            pass
        raise InputError(HOSTILE)

    assert answer(command) == 2
    out, err = capsys.readouterr()
    assert sendable(out) and sendable(err) and len(out.splitlines()) == 1 and len(err.splitlines()) == 4


def test_pages_show_what_would_turn_or_hide_text():
    from reports.page import _environment

    page = _environment().from_string("<p>{{ text }}|{{ text | code }}</p>").render(text=f"<b>{HOSTILE}")
    assert all(character.isprintable() or character == "\n" for character in page)
    assert "<b>" not in page and page.count(r"\u202e") == 2


def test_markup_in_a_name_is_text(capsys, monkeypatch):
    console = Console()
    monkeypatch.setattr(console, "live", True)
    with console.step("check", "[/]plant[red]"):
        pass
    assert "[/]plant[red]" in capsys.readouterr().err


@pytest.mark.parametrize("word", [HOSTILE.replace("\0", ""), "--" + HOSTILE.replace("\0", ""), "x" * 5000])
@pytest.mark.parametrize(
    "words", [[], ["check"], ["check", "box", "--method"], ["check", "box", "--neurons"], ["verify"], ["experiment"]]
)
def test_hostile_words_of_the_command_line(observer, words, word):
    found = observer(*words, word)
    assert found.code == 2 and sendable(found.err) and sendable(found.out)
    assert (
        len(found.err) < 2 * LONGEST_LINE and len([x for x in found.err.splitlines() if x.startswith("error: ")]) == 1
    )


@pytest.mark.parametrize(("description", "unit", "code"), [(HOSTILE, "m", 0), ("", HOSTILE, 2)])
def test_hostile_texts_of_a_plant(observer, tmp_path, description, unit, code):
    file = tmp_path / "spring.toml"
    texts = [json.dumps(text.replace("\udce9", "")) for text in (description, unit)]
    file.write_text(
        f'name = "spring"\ndescription = {texts[0]}\n[states]\nq = {{ range = [-1, 1], unit = {texts[1]} }}\n'
        '[dynamics]\nq = "-q"\n[outputs]\ny = "q"\n[sampling]\ndt = 0.1\n'
    )
    for words in ([], ["--json"]):
        found = observer("check", file, *words)
        assert found.code == code and sendable(found.out) and sendable(found.err), (found.out, found.err)
    assert code or json.loads(found.out)["description"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError("cannot allocate"), "not enough memory"),
        (RecursionError("too deep"), "nested too deeply"),
        (OSError(36, "File name too long", "x" * 300), "too long"),
        (OSError(24, "Too many open files", "x"), "open files"),
    ],
)
def test_what_is_too_large_is_bad_input(capsys, error, said):
    def command():
        raise error

    assert answer(command) == 2 and said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "flag", "limit"),
    [("RLIMIT_AS", "-v", 200_000 << 10), ("RLIMIT_NOFILE", "-n", 20), ("RLIMIT_STACK", "-s", 100 << 10)],
)
def test_a_limit_of_the_shell_is_told_before_a_library_dies_of_it(observer, monkeypatch, kind, flag, limit):
    real = resource.getrlimit
    monkeypatch.setattr(
        resource, "getrlimit", lambda which: (limit, -1) if which == getattr(resource, kind) else real(which)
    )
    found = observer("check", "box")
    assert found.code == 2 and f"(ulimit {flag})" in found.err and "so raise it with `ulimit" in found.err
    assert observer("--help").code == 0


def test_a_limit_of_processor_time_gets_a_notice(monkeypatch):
    changed = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: (60, 60) if which == resource.RLIMIT_CPU else (-1, -1))
    monkeypatch.setattr(resource, "setrlimit", lambda *given: changed.append(given))
    limits.check_limits()
    assert changed == [(resource.RLIMIT_CPU, (60 - limits.TO_SAVE, 60))]
