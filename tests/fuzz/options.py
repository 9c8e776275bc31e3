"""Command lines: every command and option with values that nobody meant, places that are none, and streams that are lost."""

from collections.abc import Callable
from pathlib import Path

from tests.fuzz.case import Case, Dice
from tests.fuzz.conditions import ENVIRONMENTS, LIMITS, disturbed, signalled
from tests.fuzz.streams import FAULTS
from tests.fuzz.values import NUMBERS, TIMES, argument, place, word

_TINY = {
    "simulate": "--trajectories 2 --duration 2",
    "run": "--trajectories 3 --duration 2 --neurons 2 --iterations 2 --trials 2 --worst-trials 20 --quiet",
    "compare": "--trials 1 --duration 1 --estimators luenberger --scenarios nominal --evaluations 2 --training 2 --limit 5 --no-fine-tune",
}
#: command -> the words that it needs, as places; RUN is a finished run, DATA one that is only simulated
_NEEDS = {
    "list": (), "new": ("NEW",), "check": ("PLANT",), "simulate": ("PLANT", "--out", "NEW"), "fit": ("DATA",), "certify": ("RUN",),
        "validate": ("RUN",),
    "report": ("RUN",), "verify": ("RUN",), "run": ("PLANT", "--out", "NEW"), "experiment": ("EXPERIMENT", "--out", "NEW"),
        "fine-tune": ("RUN", "--out", "NEW"),
    "compare": ("RUN", "--out", "NEW"), "estimate": ("RUN", "LOG", "-o", "NEW"), "export": ("RUN", "-o", "NEW"),
}  # fmt: skip
_SLOW = ("experiment", "fine-tune", "compare", "certify", "validate", "report", "verify", "run", "fit")


def flags() -> dict[str, list[tuple[str, type]]]:
    """Command -> its flags with their types, as the program states them."""
    import typer

    from experiments.cli.app import app

    group = typer.main.get_command(app)
    return {
        name: [
            (flag, bool if option.is_flag else str)
            for option in command.params
            for flag in option.opts
            if flag.startswith("-")
        ]  # type: ignore[attr-defined]
        for name, command in group.commands.items()  # type: ignore[attr-defined]
    }


def make(dice: Dice) -> Case:
    """One command with odd options, an odd place, or one fault around it."""
    command = dice.choice(list(_NEEDS) if dice.chance(0.35) else [name for name in _NEEDS if name not in _SLOW])
    words = [_word(dice, item) for item in _NEEDS[command]] + _TINY.get(command, "").split()
    kind = dice.choice(
        ("option",) * 5
        + ("place", "place", "words", "raw", "stream", "stream", "limit", "environment", "signal", "meanwhile")
    )
    if kind in _AROUND:
        return _AROUND[kind](dice, [command, *words])
    if kind == "raw":
        words = [argument(dice, word(dice)) for _ in range(dice.randint(0, 4))]
        return Case(words if dice.chance(0.5) else [command, *words], "words of no meaning")
    if kind == "place":
        slots = [k for k, item in enumerate(_NEEDS[command]) if not item.startswith("-")] or [len(words)]
        slot = dice.choice(slots)
        words[slot : slot + 1] = [argument(dice, place(dice, dice.among("||.toml|.csv|.npz", "|")))]
        return Case([command, *words], f"word {slot} is {words[slot][:60]!r}")
    if kind == "words":
        return Case([command, *_mixed(dice, words)], "words lost, doubled or mixed")
    notes, much = [], False
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        flag, what = dice.choice(flags()[command])
        value = [] if what is bool else [argument(dice, _value(dice))]
        words += [flag, *value] if dice.chance(0.8) or not value else [f"{flag}={value[0]}"]
        much = much or _is_much("".join(value))
        notes.append(f"{flag} {value[:1]!r:.60}")
    return Case([command, *words], "; ".join(notes), much=much)


def _mixed(dice: Dice, words: list[str]) -> list[str]:
    place = dice.randrange(len(words) + 1)
    return dice.choice(
        (
            words[:place] + words[place + 1 :],
            words * 2,
            dice.sample(words, len(words)),
            [*words[:place], "--help", *words[place:]],
        )
    )


def _is_much(text: str) -> bool:
    """A number of samples, trials or seconds with which honest work may last."""
    try:
        return 100 <= abs(float(text.rstrip("smhin"))) <= 1e12 or 0 < abs(float(text.rstrip("smhin"))) < 0.01
    except ValueError:
        return False


#: what goes wrong around the command, which is an ordinary one
_AROUND: dict[str, Callable[[Dice, list[str]], Case]] = {
    "stream": lambda dice, words: Case(words, stream := dice.choice(list(FAULTS)), streams=stream),
    "limit": lambda dice, words: Case(words, limit := dice.choice(list(LIMITS)), limits=limit),
    "environment": lambda dice, words: Case(words, f"{(given := dice.choice(ENVIRONMENTS))}", environment=given),
    "signal": lambda dice, words: Case(words, "a signal", meanwhile=signalled(dice), signals=True),
    "meanwhile": lambda dice, words: Case(
        words, "a file disturbed", meanwhile=disturbed(dice, dice.choice(_given(dice)))
    ),
}


def _given(dice: Dice) -> list[Path]:
    return sorted(path for path in dice.folder.rglob("*") if path.is_file()) or [dice.folder / "nothing"]


def _value(dice: Dice) -> str:
    names = "nothing|q|q,w|w,w|q,|euler|cvodes|exact|lm|adam|relu|csv|hdf5|walk|nominal|ekf|luenberger,ekf|0-4|9-0|0-1000000000".split(
        "|"
    )
    kinds: tuple[Callable[[], str], ...] = (
        lambda: dice.choice(NUMBERS),
        lambda: dice.choice(NUMBERS),
        lambda: dice.choice(TIMES),
        lambda: word(dice),
        lambda: dice.choice(names),
        lambda: place(dice, dice.choice(("", ".toml", ".csv"))),
        lambda: dice.among("1e5 100000 10000000 1000000 0.001 1e-6"),
    )
    return dice.choice(kinds)()


def _word(dice: Dice, item: str) -> str:
    makers: dict[str, Callable[[], str]] = {
        "PLANT": lambda: dice.write("plant.toml", (dice.templates / "spring.toml").read_bytes()),
        "RUN": dice.run,
        "DATA": lambda: dice.run("data", "d"),
        "LOG": lambda: dice.write("log.csv", (dice.templates / "log.csv").read_bytes()),
        "NEW": lambda: dice.among("new new new.toml new.csv a/b/c"),
        "EXPERIMENT": lambda: dice.choice(("nothing", "box", "curve_fit", "")),
    }
    return makers[item]() if item in makers else item
