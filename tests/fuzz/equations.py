"""Equations as texts: grown from the grammar, and then spoiled by a token, by depth, by length or by habit."""

import math

from tests.fuzz.case import Case, Dice
from tests.fuzz.values import CONTROLS, FOREIGN, NUMBERS, PAYLOADS, RESERVED

FUNCTIONS = {
    **dict.fromkeys("sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh exp log log10 sqrt abs sign".split(), 1),
    "atan2": 2, "min": 2, "max": 3, "clip": 3, "where": 3,
}  # fmt: skip
NAMES = ("q", "w", "u", "k", "t", "pi", "e")
CHATTER = (
    "-sign(q)", "-1e6*sign(q)", "where(q > 0, -1, 1)", "1/q", "1/(q - q)", "q/0", "sqrt(q)", "log(q)", "tan(100*q)",
        "-sign(q)*sqrt(abs(q))",
    "q^32", "q^33", "q^-1", "q^q", "q^(w^2)", "(q^8)^8", "q^0.333", "exp(exp(exp(q)))", "sin(1e9*t)", "1e308*q", "1e-308*q",
        "1e200*q*1e200",
    "q*1e9", "-1e9*q", "abs(q)^0.5", "atan2(0*q, 0*q)", "asin(5 + q)", "acosh(q)", "min(q)", "where(q, 1, 2)", "where(q > 0 > w, 1, 2)",
    "0", "1", "t", "q - q", "0*q", "max(q, w, u, 1, 2, 3)", "clip(q, 1, -1)", "1/(q^2 + 1e-300)", "where(abs(q) < 1e-9, 1e9, -1e9)",
)  # fmt: skip
HABITS = (
    "np.sin(q)", "math.sin(q)", "q.real", "q[0]", "q if w else u", "q == w", "q = w", "q and w", "not q", "q % w", "q // w", "q ** w",
        "q ^^ w",
    "lambda: q", "q;w", "q, w", "2q", "2 q", "q(w)", "sin q", "sin", "sin()", "sin(,)", "sin(q,)", "(q", "q)", "()", ")(", "q +", "+",
        "*q", "q w",
    "0x10*q", "1_000*q", "1,5*q", "1e*q", "1e999*q", "1e-999*q", "1..2*q", ".", "'q'", '"q"', "f'{q}'", "q # comment", "q // comment",
        "/* q */",
    "q!", "|q|", "{q}", "q\n+\nw", "q\r\n+ w", "\t", " ", "", "\\q", "q·w", "q−w", "q²", "∂q", "$q$", "\\frac{q}{w}", "dq/dt", "q'",
        "q_dot", "Q",
)  # fmt: skip


def grown(dice: Dice, depth: int) -> str:
    """A text of the grammar."""
    if depth <= 0 or dice.chance(0.15):
        return dice.choice((*NAMES, "q", "w", "1", "0.5", dice.choice(NUMBERS[:20]), repr(dice.gauss(0, 3))))
    kind = dice.random()
    if kind < 0.5:
        return f"{grown(dice, depth - 1)} {dice.choice('+-*/+-*^')} {grown(dice, depth - 2)}"
    if kind < 0.65:
        return f"{dice.choice('-+-')}({grown(dice, depth - 1)})"
    name = dice.choice(list(FUNCTIONS))
    parts = [grown(dice, depth - 2) for _ in range(FUNCTIONS[name])]
    if name == "where":
        parts[0] = f"{parts[0]} {dice.choice(('<', '<=', '>', '>='))} {grown(dice, depth - 3)}"
    return f"{name}({', '.join(parts)})"


def large(dice: Dice) -> str:
    """Deep, long or wide."""
    count = int(10 ** dice.uniform(1, 4.5))
    return dice.choice(
        (
            "(" * count + "q" + ")" * count,
            "-" * count + "q",
            "sin(" * count + "q" + ")" * count,
            " + ".join(["q"] * count),
            "^".join(["q"] * min(count, 2000)),
            "2^" * min(count, 2000) + "2",
            "max(" + ", ".join(["q"] * count) + ")",
            "1" * count + "*q",
            "q" * count,
            "q " * count,
            " " * count + "q",
            "where(q > 0, " * min(count, 3000) + "q" + ", 1)" * min(count, 3000),
            "*".join(["(q + w)"] * min(count, 1400)),
        )
    )


def spoiled(dice: Dice, text: str) -> str:
    """The text with a few characters lost, doubled or replaced."""
    characters = list(text)
    for _ in range(dice.randint(1, 3)):
        place = dice.randrange(len(characters) + 1)
        what = dice.choice(
            (*"()+-*/^,<>=.eE_ \t\n'\"[]{}\\;:%$#@!~`|&?", "\0", dice.choice(CONTROLS), dice.choice(FOREIGN))
        )
        if dice.chance(0.5) and characters:
            characters[min(place, len(characters) - 1)] = dice.choice(("", what, what))
        else:
            characters.insert(place, what)
    return "".join(characters)


def equation(dice: Dice) -> str:
    """Any of these."""
    return dice.one(
        lambda: grown(dice, dice.randint(1, 7)),
        lambda: grown(dice, dice.randint(1, 7)),
        lambda: spoiled(dice, grown(dice, dice.randint(1, 6))),
        lambda: spoiled(dice, grown(dice, dice.randint(1, 6))),
        lambda: dice.choice(HABITS),
        lambda: dice.choice(CHATTER),
        lambda: large(dice),
        lambda: dice.choice((*PAYLOADS, *CONTROLS, *FOREIGN, *RESERVED, *NUMBERS)),
    )


def quoted(text: str) -> str:
    """As a text of TOML."""
    plain = "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08X}" for c in text)
    return f'"{plain}"'


def make(dice: Dice) -> Case:
    """A plant with one or two such equations in one of its places, checked."""
    texts = {"q": "w", "w": "-q - q^3 - 0.2*w + u", "y": "q", "d": "q*w"}
    notes = []
    for _ in range(dice.choice((1, 1, 1, 2))):
        name = dice.choice(list(texts))
        texts[name] = equation(dice)
        notes.append(f"{name} = {texts[name][:60]!r}")
    table = dice.choice(("dynamics", "dynamics", "dynamics", "difference"))
    span = 10 ** dice.choice((0, 0, 0, -3, 3, math.floor(dice.uniform(-9, 9))))
    dice.write(
        "plant.toml",
        f"[states]\nq = {{ range = [-{span:g}, {span:g}] }}\nw = {{ range = [-1.5, 1.5] }}\n[inputs]\nu = {{ range = [-0.3, 0.3] }}\n"
        f"[parameters]\nk = {dice.choice(('1.0', '0.0', '-2'))}\n[definitions]\nd = {quoted(texts['d'])}\n"
        f"[{table}]\nq = {quoted(texts['q'])}\nw = {quoted(texts['w'])}\n[outputs]\ny = {quoted(texts['y'])}\n[sampling]\ndt = 0.1\n",
    )
    words = (
        ["check", "plant.toml"]
        if dice.chance(0.85)
        else ["simulate", "plant.toml", "--out", "r", "--trajectories", "2"]
    )
    return Case([*words, *dice.choice(([], ["--json"], ["--quiet"]))], "; ".join(notes))
