"""Text equations such as ``mu*(1 - x1^2)*x2 - x1 + u``: read by a parser of our own, never evaluated as Python code.

The grammar is arithmetic and nothing else: numbers, names, ``+ - * / ^`` (``**`` is the same as ``^``), parentheses,
calls of the functions in ``FUNCTIONS``, and the comparisons ``< <= > >=`` as the first argument of ``where``. Power
binds stronger than the sign (``-x^2`` is ``-(x^2)``) and groups to the right. There are no attributes, texts, brackets
or assignments, so nothing can be reached through an equation. Whatever is refused is shown with its place.
"""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np

from systems.base.errors import InputError
from systems.base.wording import nearest, shorten
from systems.expressions import COMPARISONS, CONSTANTS, FUNCTIONS, TABLE, Equation, Operation, apply

__all__ = ["FUNCTIONS", "MAX_DEPTH", "MAX_EXPONENT", "MAX_LENGTH", "Equation", "parse"]

MAX_LENGTH = 10_000
MAX_DEPTH = 50
MAX_EXPONENT = 32

_BINDING = {**dict.fromkeys(COMPARISONS, 5), "+": 10, "-": 10, "*": 20, "/": 20, "^": 30}
_SIGN_BINDING = 25
_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<operator>\*\*|<=|>=|[-+*/^(),<>])"
)
#: What people coming from other languages write, and what it is called here.
_HABITS = {
    **{"ln": "log", "pow": "^", "power": "^", "fabs": "abs", "absolute": "abs", "sgn": "sign", "if": "where"},
    **{"arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctan2": "atan2", "tg": "tan", "minimum": "min"},
    **{"arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "maximum": "max", "clamp": "clip", "sat": "clip"},
}
_FAULTS = {
    ".": "attributes (a.b) are not allowed; write sin(x), not np.sin(x)",
    **dict.fromkeys("'\"`", "texts in quotes are not allowed; write numbers, names and functions"),
    **dict.fromkeys("[]{}", "only round brackets ( ) are allowed"),
    "=": "'=' is not allowed; give the right-hand side only, and compare with < <= > >= inside where(...)",
    "//": "'//' is not allowed; divide with /",
    "%": "'%' is not allowed; there is no remainder, a periodic signal is written with sin and cos",
    **dict.fromkeys("−–—", "this is a typographic minus; write the plain -"),
    **dict.fromkeys("·×∗⋅", "this is a typographic product; write the plain *"),
    "÷": "this is a typographic division; write the plain /",
    "²": "write ^2 for a square",
    "³": "write ^3 for a cube",
}


def parse(text: str, names: Collection[str], owner: str) -> Equation:
    """Read a text equation in which the given names may occur.

    Parameters
    ----------
    text : the equation, at most ``MAX_LENGTH`` characters; line breaks count as blanks.
    names : the names that may be used. They hide the constants ``pi`` and ``e``. In a mapping, those of tables lead to ``TABLE``.
    owner : what the equation belongs to, for messages: ``"state 'x1'"``.

    Raises
    ------
    InputError
        The text is no equation in these names; the message shows the line, the column and a caret below the fault.
        Refused besides faults of grammar: nesting deeper than ``MAX_DEPTH``, constant exponents beyond
        ``MAX_EXPONENT`` (also those of nested powers, multiplied), a power inside an exponent, division by a constant
        that is zero, and constants that are not finite.
    """
    if not isinstance(text, str):
        raise InputError(f'{owner}: the equation is {shorten(text)}; expected a text in quotes, such as "-2*x1 + u"')
    if len(text) > MAX_LENGTH:
        raise InputError(
            f"{owner}: the equation has {len(text)} characters; expected at most {MAX_LENGTH}, so split it into parts"
        )
    return _Parser(text, names, owner).equation()


class _Token(NamedTuple):
    kind: str  # number, name, operator or end
    text: str
    position: int


@dataclass
class _Part:
    """A piece of the equation while it is being read; ``mark`` is where to point when the piece does not fit."""

    steps: list[Operation]
    mark: int
    constant: Any = None
    condition: bool = False
    exponent: float = 1.0  # greatest product of nested constant exponents
    has_power: bool = False


class _Parser:
    """Precedence climbing over tokens that are read one at a time, so that the leftmost fault is the one reported."""

    def __init__(self, text: str, names: Collection[str], owner: str) -> None:
        self.text, self.owner = text, owner
        self.names = (
            names if isinstance(names, Mapping) else dict.fromkeys(names)
        )  # a copy for each equation is quadratic
        self.used: dict[str, None] = {}
        self.depth = 0
        self.token = self.next_token(0)

    def equation(self) -> Equation:
        if self.token.kind == "end":
            raise InputError(f'{self.owner}: the equation is empty; expected a text such as "-2*x1 + u"')
        part = self.number(self.expression(0))
        if self.token.kind != "end":
            self.fail_adjacent()
        return Equation(self.text, tuple(self.used), tuple(part.steps))

    # Tokens

    def next_token(self, position: int) -> _Token:
        text = self.text
        while position < len(text) and text[position] in " \t\r\n":
            position += 1
        if position == len(text):
            return _Token("end", "", position)
        match = _TOKEN.match(text, position)
        if match is None or text.startswith("//", position):
            self.fail_character(position)
        return _Token(str(match.lastgroup), "^" if match.group() == "**" else match.group(), position)

    def advance(self) -> _Token:
        token = self.token
        length = 2 if self.text.startswith("**", token.position) else len(token.text)
        self.token = self.next_token(token.position + length)
        return token

    # Grammar

    def expression(self, binding: int) -> _Part:
        """Read operands joined by operators that bind stronger than ``binding``."""
        left = self.operand()
        while self.token.kind == "operator" and _BINDING.get(self.token.text, 0) > binding:
            sign = self.advance()
            if sign.text == "^":
                left = self.power(left, self.nested(sign.position, _BINDING["^"] - 1), sign.position)
                continue
            self.number(left, chained=sign.text in COMPARISONS)
            right = self.number(self.expression(_BINDING[sign.text]), chained=sign.text in COMPARISONS)
            if sign.text == "/" and right.constant == 0:
                self.fail(right.mark, "division by zero; expected a divisor that is not zero")
            left = self.join(sign.text, [left, right], sign.position)
            left.condition = sign.text in COMPARISONS
        return left

    def operand(self) -> _Part:
        token = self.advance()
        if token.kind == "number":
            return _Part([Operation("number", value := self.literal(token))], token.position, value)
        if token.kind == "name":
            return self.call(token) if self.token.text == "(" else self.name(token)
        if token.text in ("+", "-"):
            part = self.number(self.nested(token.position, _SIGN_BINDING))
            return self.join("negative", [part], token.position) if token.text == "-" else part
        if token.text == "(":
            part = self.nested(token.position, 0)
            self.close(token)
            return part
        if token.kind == "end":
            self.fail(token.position, "the equation ends too early; expected a number, a name or (")
        self.fail(token.position, f"'{token.text}' is out of place; expected a number, a name or (")

    def nested(self, position: int, binding: int) -> _Part:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(position, f"nested deeper than {MAX_DEPTH} levels; split the equation into parts")
        part = self.expression(binding)
        self.depth -= 1
        return part

    def close(self, opening: _Token) -> None:
        if self.token.text == ")":
            self.advance()
        elif self.token.kind == "end":
            self.fail(opening.position, "this ( is never closed; add the missing )")
        else:
            self.fail_adjacent()

    def name(self, token: _Token) -> _Part:
        name = token.text
        if name in self.names:
            if self.names[name] == TABLE:
                self.fail(token.position, f"'{name}' is a table; expected {TABLE}({name}, ...)")
            self.used[name] = None
            return _Part([Operation("name", name)], token.position)
        if name in CONSTANTS:
            return _Part([Operation("number", CONSTANTS[name])], token.position, CONSTANTS[name])
        if name in FUNCTIONS:
            self.fail(token.position, f"'{name}' is a function; expected {name}(...)")
        self.fail(token.position, f"name {shorten(name, 40)} is unknown; {nearest(name, self.names)}")

    def call(self, token: _Token) -> _Part:
        name = token.text
        if name not in FUNCTIONS:
            if self.names.get(name) == TABLE:
                self.fail(token.position, f"'{name}' is a table; write {TABLE}({name}, ...)")
            if name in self.names or name in CONSTANTS:
                self.fail(token.position, f"'{name}' is not a function; for a product write {name}*(...)")
            habit = _HABITS.get(name.lower())
            advice = f"write {habit}" if habit else nearest(name, FUNCTIONS)
            self.fail(token.position, f"function {shorten(name, 40)} is not allowed; {advice}")
        opening = self.advance()
        arguments: list[_Part] = [self.table_name()] if name == TABLE else []
        while self.token.text != ")" or arguments:
            arguments.append(self.nested(token.position, 0))
            if self.token.text != ",":
                break
            self.advance()
        self.close(opening)
        _, fewest, most = FUNCTIONS[name]
        if len(arguments) < fewest or (most is not None and len(arguments) > most):
            expected = f"{fewest}" if most == fewest else f"at least {fewest}"
            self.fail(token.position, f"{name}() has {len(arguments)} argument(s); expected {expected}")
        for argument in arguments[1:] if name == "where" else arguments:
            self.number(argument)
        if name == "where":
            if not arguments[0].condition:
                self.fail(arguments[0].mark, "where() needs a comparison first: where(x > 0, this, otherwise)")
            if arguments[0].constant is not None:
                return arguments[1] if arguments[0].constant else arguments[2]
        return self.join(name, arguments, token.position)

    def table_name(self) -> _Part:
        """The first argument of ``table``, and the comma behind it."""
        token = self.advance()
        tables = [name for name in self.names if self.names[name] == TABLE]
        if token.text not in tables:
            advice = nearest(token.text, tables) if tables else "there is no table; add one to [tables]"
            self.fail(token.position, f"{TABLE}() needs the name of a table first, as {TABLE}(ocv, soc); {advice}")
        self.used[token.text] = None
        if self.token.text != ",":
            self.fail(self.token.position, f"{TABLE}() has two arguments, as {TABLE}({token.text}, soc)")
        self.advance()
        return _Part([Operation("name", token.text)], token.position)

    # Pieces

    def literal(self, token: _Token) -> float:
        value = float(token.text)
        if not math.isfinite(value):
            self.fail(token.position, "this number is too large; expected at most 1.8e308")
        if value == 0 and re.search("[1-9]", re.split("[eE]", token.text)[0]):
            self.fail(token.position, "this number is too small and would become 0; expected at least 5e-324")
        return value

    def number(self, part: _Part, chained: bool = False) -> _Part:
        if part.condition and chained:
            self.fail(part.mark, "comparisons cannot be chained; nest where(...) instead")
        if part.condition:
            self.fail(part.mark, "a comparison is allowed only as the first argument of where(...)")
        return part

    def power(self, base: _Part, exponent: _Part, position: int) -> _Part:
        self.number(base)
        self.number(exponent)
        if exponent.has_power:
            self.fail(position, "an exponent that holds a power is refused; write it as one number or name it first")
        size = 1.0 if exponent.constant is None else max(1.0, abs(float(exponent.constant)))
        total = size * base.exponent
        if size > MAX_EXPONENT:
            self.fail(exponent.mark, f"exponent {exponent.constant:g} is too large; expected at most {MAX_EXPONENT}")
        if total > MAX_EXPONENT:
            self.fail(position, f"nested powers multiply to {total:g}; expected at most {MAX_EXPONENT}")
        if base.constant == 0 and exponent.constant is not None and exponent.constant < 0:
            self.fail(position, "division by zero: a negative power of 0")
        part = self.join("^", [base, exponent], position)
        part.exponent, part.has_power = total, True
        return part

    def join(self, kind: str, parts: list[_Part], position: int) -> _Part:
        """Apply an operator or function; constants are worked out at once, so that none can overflow later."""
        exponent, has_power = max(part.exponent for part in parts), any(part.has_power for part in parts)
        if all(part.constant is not None for part in parts):
            with np.errstate(all="ignore"):
                value = apply(kind, [np.float64(part.constant) for part in parts])
            if not np.isfinite(value):
                self.fail(position, f"this constant is {float(value):g}; expected a finite number")
            value = bool(value) if kind in COMPARISONS else float(value)
            return _Part([Operation("number", value)], position, value, False, exponent, has_power)
        steps = parts[0].steps
        for part in parts[1:]:
            steps.extend(part.steps)
        steps.append(Operation(kind, len(parts)))
        return _Part(steps, position, None, False, exponent, has_power)

    # Faults

    def fail_character(self, position: int) -> NoReturn:
        character = self.text[position]
        fault = _FAULTS.get(self.text[position : position + 2]) or _FAULTS.get(character)
        if fault is None:
            shown = f"'{character}'" if character.isprintable() else f"U+{ord(character):04X}"
            fault = f"character {shown} is not allowed; expected numbers, names, + - * / ^ ( ) and functions"
            if character.isalpha():
                fault = f"letter {shown} is not allowed; names have the letters a to z, A to Z, digits and _"
        self.fail(position, fault)

    def fail_adjacent(self) -> NoReturn:
        token = self.token
        if token.text == ")":
            self.fail(token.position, "this ) closes nothing; remove it or add the missing (")
        if token.text in ("if", "else", "and", "or", "not"):
            self.fail(token.position, f"'{token.text}' is not allowed; expected where(condition, this, otherwise)")
        if token.text == ",":
            self.fail(token.position, "',' is out of place; write decimals with a point, arguments inside f(...)")
        self.fail(token.position, f"expected an operator before {shorten(token.text, 40)}; for a product write *")

    def fail(self, position: int, message: str) -> NoReturn:
        start = self.text.rfind("\n", 0, position) + 1
        line = self.text[start:].split("\n", 1)[0]
        line = "".join(character if character.isprintable() else " " for character in line).rstrip()
        column, row = position - start, self.text.count("\n", 0, position) + 1
        place = f"line {row}, column {column + 1}" if "\n" in self.text.strip() else f"column {column + 1}"
        cut = max(0, column - 50)
        shown, caret = line[cut : cut + 80], column - cut
        if cut:
            shown, caret = "..." + shown, caret + 3
        if len(line) > cut + 80:
            shown += "..."
        raise InputError(f"{self.owner}: {message} ({place})\n    {shown}\n    {' ' * caret}^")
