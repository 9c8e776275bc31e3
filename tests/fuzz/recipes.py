"""Recipes: a ``config.toml`` with entries changed, added or damaged, given to a new run."""

from tests.fuzz.case import Case, Dice
from tests.fuzz.equations import quoted
from tests.fuzz.texts import damaged
from tests.fuzz.values import NUMBERS, PAYLOADS, TIMES, place, word

_GOOD = {
    "": {"system": '"plant.toml"', "dt": "0.1", "method": '"rk4"', "substeps": "1", "seed": "0"},
    "data": {"trajectories": "4", "duration": "3.0", "excitation": '"walk"', "files": '"log.csv"', "columns": '"y=q"',
        "learned": "false"},
    "fit": {"neurons": "2", "activation": '"tanh"', "settling_time": '"2s"', "contraction_rate": "0.9", "solver": '"auto"',
        "iterations": "3", "epochs": "3", "budget": '"5s"', "tolerance": "0.01", "dtype": '"float64"', "condition": "100.0"},
    "validation": {"trials": "3", "duration": "2.0", "spread": "1.0", "estimate_start": '"random"', "truth": '"reference"',
        "noise": "false", "excitation": '"walk"', "window": "[0.5, 1.0]", "map": '"q,w"', "worst_trials": "20"},
    "fine_tune": {"source": '"r"', "noise": "[0.1]", "bias": "[0.1]", "dropout": "0.1", "horizon": "20", "contraction_rate": "0.9",
        "iterations": "2", "budget": '"2s"'},
}  # fmt: skip
_SAFE = {
    "": ("system", "dt", "seed"),
    "data": ("trajectories", "duration"),
    "fit": ("neurons", "iterations"),
    "validation": ("trials", "worst_trials"),
    "fine_tune": (),
}
_ODD = (
    "true", "[]", "{}", '""', "[1, 2]", "[nan, nan]", "[1, 0]", "[-1, -2]", "1979-05-27", "nan", "inf", "-inf", '"nan"', "1e300",
    "1e-300", "-1", "0", "100000", "10000000", "10000001", "0.5", '"0.5"', "9" * 400, "2147483648", "[[1]]", "''",
)  # fmt: skip


def make(dice: Dice) -> Case:
    """A good recipe with one to three entries made odd."""
    dice.write("plant.toml", (dice.templates / "spring.toml").read_bytes())
    tables = {table: {name: _GOOD[table][name] for name in names} for table, names in _SAFE.items()}
    notes = []
    for _ in range(dice.choice((0, 1, 1, 1, 2, 3))):
        table = dice.choice(list(tables))
        name = dice.choice(list(_GOOD[table])) if dice.chance(0.9) else quoted(word(dice))
        value = dice.one(
            lambda: dice.choice(_ODD), lambda: dice.choice(_ODD), lambda: dice.choice(NUMBERS), lambda: quoted(dice.choice(TIMES)),
            lambda: quoted(word(dice)), lambda: quoted(dice.choice(PAYLOADS)), lambda table=table, name=name: _GOOD[table].get(name, "1"),
        )  # fmt: skip
        tables[table][name] = value
        notes.append(f"{table}.{name[:40]} = {value[:60]!r}")
    if dice.chance(0.05):
        tables[quoted(word(dice))] = {"a": "1"}
    text = "\n".join(
        line
        for table, entries in tables.items()
        for line in (
            [f"[{table}]"] * bool(table and entries) + [f"{name} = {value}" for name, value in entries.items()]
        )
    )
    content: str | bytes = text + "\n"
    if dice.chance(0.12):
        content, note = damaged(dice, text)
        notes.append(note)
    name = dice.write("recipe.toml", content)
    if dice.chance(0.04):
        name = place(dice, ".toml")
    command = "simulate" if dice.chance(0.8) else "run"
    return Case(
        [command, dice.choice(("plant.toml", "plant.toml", "box")), "--config", name, "--out", "r", "--quiet"],
        "; ".join(notes),
        inputs=("plant.toml",),
    )
