"""A log in one of the four formats, replayed over a finished run or learned from."""

from tests.fuzz import csv_logs, hdf5_logs, npz_logs, parquet_logs
from tests.fuzz.case import Case, Dice
from tests.fuzz.columns import honest, spoiled
from tests.fuzz.values import argument, file_name, place, word

_FORMATS = {
    ".csv": csv_logs.content,
    ".npz": npz_logs.content,
    ".h5": hdf5_logs.content,
    ".parquet": parquet_logs.content,
}
_ENDINGS = (*_FORMATS, ".csv", ".tsv", ".txt", ".hdf5", ".CSV", ".json", "", ".gz")


def make(dice: Dice) -> Case:
    """Columns honest or spoiled, a format honest or spoiled, then estimated, fitted, or estimated onto itself."""
    columns, notes = honest(dice), []
    for _ in range(dice.choice((0, 0, 1, 1, 2))):
        if columns:
            columns, note = spoiled(dice, columns)
            notes.append(note)
    kind = dice.choice(list(_FORMATS))
    content, note = _FORMATS[kind](dice, columns)
    ending = kind if dice.chance(0.93) else dice.choice(_ENDINGS)
    name = dice.write(file_name(dice, ending), content)
    if dice.chance(0.1):
        dice.write(f"file2{ending}", dice.choice((content, b"t,q\n0,1\n")))
    notes.append(f"{kind} as {ending}: {note}")
    if dice.chance(0.06):
        name = place(dice, dice.choice(list(_FORMATS)))
        notes = [f"the log is {name[:40]!r}"]
    return Case(_words(dice, name), "; ".join(notes), inputs=(name,) if name.startswith("file") else ())


def _words(dice: Dice, name: str) -> list[str]:
    if dice.chance(0.2):
        dice.write("plant.toml", (dice.templates / "spring.toml").read_bytes())
        files = name if dice.chance(0.9) else dice.among("file* * [ **/* file.{csv} file?csv r/* [!a]*")
        words = ["fit", "--data", files, *"--plant plant.toml --out f --neurons 2 --iterations 2 --quiet".split()]
    else:
        new = dice.among("e.csv e.csv e.npz e.parquet e.h5 e.xyz")
        out = dice.one(new, new, new, new, name, f"./{name}", "r/validation.npz", "r", lambda: place(dice, ".csv"))
        words = ["estimate", dice.run(), name, "-o", out, *dice.choice(([], [], ["--json"], ["--quiet"]))]
        if dice.chance(0.2):
            given = dice.among("q=0 q=1e300 q=nan q= =1 q=1,q=2 z=1")
            words += ["--initial-estimate", argument(dice, dice.one(given, f"q={word(dice)}", lambda: word(dice)))]
    if dice.chance(0.2):
        given = dice.among("y=q t=t t=u q=q,q=w y=nothing states.q=q = , y=y=y")
        words += ["--columns", argument(dice, dice.one(given, f"y={word(dice)}", lambda: word(dice)))]
    return words
