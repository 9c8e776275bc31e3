"""Command lines: every command and option with values that nobody meant, places that are none, and streams that are lost."""

from collections.abc import Callable

from tests.fuzz.case import Case, Dice
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
    """One command with one to three odd options, one odd place, or one odd stream."""
    known = flags()
    command = dice.choice(list(_NEEDS) if dice.chance(0.35) else [name for name in _NEEDS if name not in _SLOW])
    words, notes, streams = [_word(dice, item) for item in _NEEDS[command]], [], ""
    words += _TINY.get(command, "").split()
    kind = dice.choice(("option", "option", "option", "option", "place", "place", "stream", "stream", "words", "raw"))
    if command in _SLOW and kind in ("stream", "words"):
        kind = "option"
    if kind == "option":
        for _ in range(dice.choice((1, 1, 1, 2, 3))):
            flag, what = dice.choice(known[command])
            value = [] if what is bool else [argument(dice, _value(dice, flag))]
            words += [flag, *value] if dice.chance(0.8) or not value else [f"{flag}={value[0]}"]
            notes.append(f"{flag} {value[:1]!r:.60}")
    elif kind == "place":
        slots = [k for k, item in enumerate(_NEEDS[command]) if not item.startswith("-")] or [len(words)]
        slot = dice.choice(slots)
        words[slot : slot + 1] = [argument(dice, place(dice, dice.choice(("", "", ".toml", ".csv", ".npz"))))]
        notes.append(f"word {slot} is {words[slot][:60]!r}")
    elif kind == "stream":
        streams = dice.choice(list(FAULTS))
        notes.append(streams)
    elif kind == "words":
        change = dice.choice(("drop", "twice", "swap", "help"))
        if change == "drop" and words:
            del words[dice.randrange(len(words))]
        elif change == "twice":
            words += words
        elif change == "swap":
            dice.shuffle(words)
        else:
            words.insert(dice.randint(0, len(words)), "--help")
        notes.append(change)
    else:
        words = [argument(dice, word(dice)) for _ in range(dice.randint(0, 4))]
        notes.append("words of no meaning")
        if dice.chance(0.5):
            return Case(words, "; ".join(notes))
    return Case([command, *words], "; ".join(notes), streams=streams)


def _value(dice: Dice, flag: str) -> str:
    names = (
        "nothing",
        "q",
        "q,w",
        "w,w",
        "q,",
        "euler",
        "cvodes",
        "exact",
        "lm",
        "adam",
        "relu",
        "csv",
        "hdf5",
        "walk",
        "nominal",
        "ekf",
        "luenberger,ekf",
        "0-4",
        "9-0",
        "0-1000000000",
    )
    return dice.one(
        lambda: dice.choice(NUMBERS), lambda: dice.choice(NUMBERS), lambda: dice.choice(TIMES), lambda: word(dice),
            lambda: dice.choice(names),
        lambda: place(dice, dice.choice(("", ".toml", ".csv"))), lambda: dice.choice(("1e5", "100000", "10000000", "1000000", "0.001",
            "1e-6")),
    )  # fmt: skip


def _word(dice: Dice, item: str) -> str:
    makers: dict[str, Callable[[], str]] = {
        "PLANT": lambda: dice.write("plant.toml", (dice.templates / "spring.toml").read_bytes()),
        "RUN": dice.run,
        "DATA": lambda: dice.run("data", "d"),
        "LOG": lambda: dice.write("log.csv", (dice.templates / "log.csv").read_bytes()),
        "NEW": lambda: dice.choice(("new", "new", "new.toml", "new.csv", "a/b/c")),
        "EXPERIMENT": lambda: dice.choice(("nothing", "box", "curve_fit", "")),
    }
    return makers[item]() if item in makers else item
