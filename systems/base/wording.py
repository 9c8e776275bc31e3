"""How messages show what a person gave, and the name that was probably meant."""

import difflib
from collections.abc import Iterable


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
