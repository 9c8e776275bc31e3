"""Plants as TOML: a good one with an entry changed to something odd, or its text damaged as files are."""

from typing import Any

from tests.fuzz.case import Case, Dice
from tests.fuzz.equations import equation, quoted
from tests.fuzz.texts import damaged
from tests.fuzz.values import CONTROLS, NUMBERS, PAYLOADS, file_name, place, word

_VALUES = (
    "nan", "inf", "-inf", "0", "1", "-1", "1e300", "1e-300", "1e160", "1e-160", "5e-324", "1.7e308", "true", '""', "[]", "{}",
        "1979-05-27", "07:32:00",
    "1979-05-27T07:32:00Z", "9223372036854775807", "9" * 5000, "0x7fffffffffffffff", "[[]]", '"text"', "[1, 2, 3]", "[1]", "[2, 1]",
        "[1, 1]", "[-1, 1]",
    "[nan, 1]", "[-inf, inf]", "[1e160, 2e160]", "[-1e-300, 1e-300]", "[-1e300, 1e300]", "[0, 5e-324]", "[1, 1.0000000000000002]",
        '["a", "b"]',
    "[true, false]", "[-1, 1, ]", "{ range = [-1, 1] }", "{ range = [-1, 1], range = [0, 1] }", '"\\u0000"', '"\\u001b[31m"',
        "'''\n'''", "1_0", "-0.0",
)  # fmt: skip
_TINY = "--trajectories 4 --duration 2 --neurons 2 --iterations 3 --trials 3 --worst-trials 20 --quiet"
_KEYS = (
    "range", "unit", "initial", "limits", "period", "noise", "role", "excitation", "equation", "value", "dt", "duration", "name",
    "nonsense",
)  # fmt: skip


_LINES = (
    "[[states]]", "states.q.range = [0, 1]", "a" + ".a" * 5_000 + " = 1", "x = " + "[" * 1_000, "x = " + "[" * 1_000 + "]" * 1_000,
        '"" = 1', "[states]",
    "[states.q]", "[a.b.c]", "x = " + "'" * 3, "x = " + '"' * 3, 'x = "\\u0000"', 'x = "\\ud800"', "x = 1 y = 2", "= 1", "[", "[]",
        "[ ]", "x", "x =",
    "x = {a = 1,}", "x = 1e5_0", "x = 0b2", "x = +-1", "x = 00:00:00", "x = 2024-02-30", "\ufeff", "#\x01", "x = '\x1b[31m'",
        "!!python/object:os.system",
    "<<: *a", "{% include 'x' %}", "include = '/etc/passwd'", "x = $HOME", "x = {" + "a = {" * 500, "\t[dynamics]\tq=''",
        "dynamics = 'x'", "[dynamics.q]",
    "q.q.q = 1",
)  # fmt: skip


def document(dice: Dice) -> dict[str, dict[str, Any]]:
    """A good plant: table -> name -> text of its value, or entries of an inline table."""
    return {
        "": {"name": '"plant"', "description": '"a plant"'},
        "states": {"q": {"range": "[-1, 1]", "unit": '"m"'}, "w": {"range": "[-1.5, 1.5]", "initial": "[-0.5, 0.5]"}},
        "inputs": {"u": {"range": "[-0.3, 0.3]", "unit": '"N"'}},
        "parameters": {"k": "1.0", "c": {"value": "0.2", "range": "[0.1, 0.3]"}},
        "definitions": {"spring": '"k*q + q^3"'},
        dice.choice(("dynamics", "dynamics", "difference")): {"q": '"w"', "w": '"u - spring - c*w"'},
        "outputs": {"y": {"equation": '"q"', "noise": "0.01", "unit": '"m"'}},
        "sampling": {"dt": "0.1", "duration": "5"},
    }  # fmt: skip


def text_of(tables: dict[str, dict[str, Any]]) -> str:
    """The document as TOML."""
    lines = []
    for table, entries in tables.items():
        lines += [f"[{table}]"] if table else []
        for name, value in entries.items():
            inside = ", ".join(f"{key} = {item}" for key, item in value.items()) if isinstance(value, dict) else value
            lines.append(f"{name} = {{ {inside} }}" if isinstance(value, dict) else f"{name} = {inside}")
    return "\n".join(lines) + "\n"


def _changed(dice: Dice, tables: dict[str, dict[str, Any]]) -> str:
    """Change one entry; returns what was done."""
    table = dice.choice(list(tables))
    entries = tables[table]
    name = dice.choice(list(entries))
    value = (
        dice.choice(_VALUES)
        if dice.chance(0.7)
        else dice.one(lambda: quoted(word(dice)), lambda: dice.choice(NUMBERS), lambda: quoted(equation(dice)))
    )
    kind = dice.among("value value value key rename remove table new drop many")
    if kind == "value" and isinstance(entries[name], dict):
        key = dice.choice((*entries[name], *entries[name], *_KEYS))
        entries[name][key] = value
        return f"{table}.{name}.{key} = {value[:60]!r}"
    if kind == "key":
        entries[name] = {dice.choice(_KEYS): value}
    elif kind == "rename":
        new = quoted(word(dice))
        entries[new] = entries.pop(name)
        return f"{table}.{name} renamed {new[:60]!r}"
    elif kind == "remove":
        del entries[name]
    elif kind == "table":
        tables[table] = {} if dice.chance(0.5) else {quoted(word(dice)): value}
    elif kind == "drop":
        del tables[table]
    elif kind == "new":
        tables[quoted(word(dice)) if dice.chance(0.5) else dice.choice(("feedback", "region", "tables", "events"))] = {
            "a": value
        }
    elif kind == "many":
        count = dice.choice((10, 100, 1_000, 20_000))
        entries |= {f"{name}{k}": entries[name] for k in range(count)}
        return f"{table} has {count} more"
    else:
        entries[name] = value
    return f"{kind} {table}.{name} {value[:60]!r}"


def make(dice: Dice) -> Case:
    """Mostly checked; some are simulated, some are the plant of a tiny run with texts that a page must not obey."""
    tables, kind = document(dice), dice.random()
    if kind > 0.95:
        tables[""] = {"name": quoted(dice.choice(PAYLOADS)), "description": quoted(dice.choice(PAYLOADS))}
        tables["states"]["q"]["unit"] = tables["outputs"]["y"]["unit"] = quoted(dice.choice((*PAYLOADS, *CONTROLS)))
        dice.write("plant.toml", text_of(tables))
        return Case(["run", "plant.toml", "--out", "r", *_TINY.split()], "payloads as texts of the plant")
    notes = [_changed(dice, tables) for _ in range(dice.choice((0, 1, 1, 1, 2))) if tables and all(tables.values())]
    content: str | bytes = text_of(tables)
    name = file_name(dice, ".toml")
    if dice.chance(0.1):
        lines = text_of(tables).splitlines()
        lines.insert(dice.randrange(len(lines) + 1), dice.choice(_LINES))
        content = "\n".join(lines)
        notes.append("a line inserted")
    if not notes or dice.chance(0.15):
        content, note = damaged(dice, text_of(tables))
        notes.append(note)
    if dice.chance(0.05):
        name = place(dice, ".toml")
        notes = [f"the plant is {name[:40]!r}"]
    else:
        dice.write(name, content)
    words = ["check", name, *dice.choice(([], ["--json"], ["--settling-time", "1s"]))]
    return Case(words if kind < 0.75 else ["simulate", name, "--out", "r", "--trajectories", "3"], "; ".join(notes))
