"""Logs as CSV in every dialect that is met, and in some that should not be."""

from tests.fuzz.case import Dice
from tests.fuzz.columns import Columns
from tests.fuzz.texts import damaged
from tests.fuzz.values import CONTROLS, FOREIGN, NUMBERS, PAYLOADS, word

_CELLS = (
    *NUMBERS, *PAYLOADS, *CONTROLS, *FOREIGN, "N/A", "null", "-", "1,5", "1.234,5", "1 234.5", "1e5e5", '"', '""', '"1', "1\n2", "#",
    "#REF!", "TRUE", "0b1", "1_0", "1e+400",
)  # fmt: skip
_UNITS = (
    "s", "ms", "m", "m/s", "N", "[s]", "(s)", "[", "", "-", "1", "µs", "\x1b[31m", "s" * 10_000, "2024-01-01", "{0}", "%",
)  # fmt: skip


def content(dice: Dice, columns: Columns) -> tuple[bytes, str]:
    """(bytes of the file, what is odd about them)."""
    names = list(columns)
    rows = [[str(value) for value in row] for row in zip(*columns.values(), strict=False)]
    delimiter, notes = dice.choice((",", ",", ",", ";", "\t", "|", " ", ", ", "::")), []
    header = list(names)
    if dice.chance(0.2):
        header = [f"{name} [{dice.choice(_UNITS)}]" for name in names]
    if dice.chance(0.15):
        rows.insert(0, [dice.choice(_UNITS) for _ in names])
        notes.append("units row")
    kind = dice.choice(
        (
            "plain",
            "plain",
            "cell",
            "cell",
            "ragged",
            "quotes",
            "header",
            "comma",
            "comments",
            "wide",
            "index",
            "long cell",
            "blank rows",
            "damage",
            "damage",
        )
    )
    if rows and kind == "cell":
        cell = dice.choice(_CELLS)
        dice.choice(rows)[dice.randrange(len(names)) if names else 0 :][:1] = [cell]
        row = dice.choice(rows)
        row[dice.randrange(len(row))] = cell
        notes.append(f"cell {cell[:40]!r}")
    elif rows and kind == "ragged":
        row = dice.choice(rows)
        row[:] = dice.choice((row[:-1], [*row, "1"], [], [""], row * 2, row * 2_000))
    elif kind == "quotes":
        quote = dice.choice(('"', "'", '"""'))
        rows = [[f"{quote}{cell}{dice.choice((quote, quote, quote, ''))}" for cell in row] for row in rows]
    elif kind == "header":
        header = dice.choice(
            (
                [],
                header[::-1],
                header[:-1],
                [*header, ""],
                header * 2,
                [""] * len(header),
                [word(dice)[:200] for _ in header],
                ["1"] * len(header),
                header[:1],
            )
        )
    elif kind == "comma":
        rows = [[cell.replace(".", ",") for cell in row] for row in rows]
    elif kind == "comments":
        rows = [row for item in rows for row in (["# comment " + dice.choice(PAYLOADS)], item)]
    elif kind == "wide":
        count = dice.choice((300, 10_000, 100_000))
        header += [f"c{k}" for k in range(count)]
        rows = [[*row, *["1"] * count] for row in rows[:5]]
    elif kind == "index":
        header, rows = ["", *header], [[str(k), *row] for k, row in enumerate(rows)]
    elif rows and kind == "long cell":
        dice.choice(rows)[-1] = dice.choice(("1" * 200_000, "a" * 200_000, '"' + "a" * 200_000))
    elif kind == "blank rows":
        rows = [row for item in rows for row in (item, [""] * dice.choice((0, 1, len(names))))]
    lines = [delimiter.join(header), *(delimiter.join(row) for row in rows)]
    whole = "\n".join(lines) + dice.choice(("\n", "", "\n\n\n", "\r"))
    if kind == "damage":
        found, note = damaged(dice, whole)
        return found, "; ".join([*notes, note])
    return whole.encode("utf-8", "surrogatepass"), "; ".join([*notes, kind, f"delimiter {delimiter!r}"])
