"""How messages show what a person gave, and the name that was probably meant.

Text of files, names and paths is foreign: a terminal obeys some of its characters (escape sequences, a change of the
direction of writing), and a line break in it can pretend to be a message of its own. Such characters are shown, never sent.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable

LONGEST_WORD, LONGEST_LINE = 240, 1600  # characters of a message; a path may be that long
_LONG = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")


def visible(text: str) -> str:
    """``text`` as one line without a character that is not printed: those are shown as ``\\x1b``, ``\\n`` or ``\\u202e``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or unicodedata.category(c) == "Zs" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def harmless(text: str) -> str:
    """``text`` of a page: line ends stay, and what would change the direction of writing, or hide, is made visible."""
    return text if text.isprintable() else "".join(c if c in "\n\t" else visible(c) for c in text)


def message(text: str) -> str:
    """A message as it is printed: visible, with long words and lines cut; only indented lines (a quoted equation) follow it."""
    lines = re.split(r"\n(?=    )", text)
    return "\n".join(cut(re.sub(_LONG, _cut_word, visible(line)), LONGEST_LINE) for line in lines)


def _cut_word(word: "re.Match[str]") -> str:
    return cut(word.group(), LONGEST_WORD)


def cut(text: str, width: int) -> str:
    """``text`` in at most ``width`` characters, with dots for its middle; the end of a path says more than its middle."""
    if len(text) <= width:
        return text
    end = width // 3
    return f"{text[: width - 3 - end]}...{text[-end:]}"


def shorten(value: object, width: int = 60) -> str:
    """``repr`` of what a person gave, cut to the given width for a message."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, a structure nested too deep
        text = f"<{type(value).__name__}>"
    return text if len(text) <= width else text[: width - 3] + "..."


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Text to put behind "unknown name": the nearest candidate, or the list of all."""
    known = list(candidates)
    folded = {candidate.lower(): candidate for candidate in known}
    match = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    if match:
        return f"did you mean '{folded[match[0]]}'?"
    if not known:
        return "there are none"
    return "known: " + ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")


def distinguished(one: float, two: float, digits: int = 6) -> tuple[str, str]:
    """Both numbers to ``digits`` digits, or to as many more as it takes to see that they differ.

    >>> distinguished(0.000124442311, 0.000124442893)
    ('0.0001244423', '0.0001244429')
    """
    for count in range(digits, 18):
        texts = f"{one:.{count}g}", f"{two:.{count}g}"
        if texts[0] != texts[1]:
            break
    return texts
