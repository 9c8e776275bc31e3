"""A text file as it arrives from elsewhere: in another encoding, cut, doubled, with other line ends, or with bytes lost."""

from tests.fuzz.case import Dice
from tests.fuzz.values import CONTROLS, PAYLOADS

_ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig", "utf-7", "cp1252")


def damaged(dice: Dice, text: str) -> tuple[bytes, str]:
    """(bytes, what was done)."""
    content = text.encode("utf-8", "surrogatepass")
    kind = dice.among("encoding cut bytes ends zero double empty inserted lines repeat binary blanks")
    if kind == "encoding":
        name = dice.choice(_ENCODINGS)
        return ("größe °C\n" * dice.randint(0, 1) + text).encode(name, "replace"), f"encoded as {name}"
    if kind == "cut":
        return content[: dice.randrange(len(content) + 1)], "cut"
    if kind == "bytes":
        changed = bytearray(content)
        for _ in range(dice.randint(1, 4)):
            if changed:
                changed[dice.randrange(len(changed))] = dice.randrange(256)
        return bytes(changed), "bytes replaced"
    if kind == "ends":
        end = dice.choice((b"\r\n", b"\r", b"\n\r", b"\x0b", b"\x85", "\u2028".encode(), b"\n\n\n"))
        return content.replace(b"\n", end) if dice.chance(0.7) else content.replace(
            b"\n", end, content.count(b"\n") // 2
        ), f"line ends {end!r}"
    if kind == "zero":
        place = dice.randrange(len(content) + 1)
        return content[:place] + b"\0" * dice.choice((1, 100)) + content[place:], "NUL bytes"
    if kind == "inserted":
        place, what = (
            dice.randrange(len(content) + 1),
            dice.choice((*CONTROLS, *PAYLOADS)).encode("utf-8", "surrogatepass"),
        )
        return content[:place] + what + content[place:], f"inserted {what!r}"
    if kind == "lines":
        lines = content.splitlines(keepends=True)
        dice.shuffle(lines)
        return b"".join(lines), "lines shuffled"
    if kind == "repeat":
        lines = content.splitlines(keepends=True) or [b""]
        return b"".join(line * dice.choice((1, 1, 1, 2, 3)) for line in lines), "lines repeated"
    if kind == "binary":
        return dice.randbytes(dice.choice((1, 10, 1_000, 100_000))), "random bytes"
    if kind == "blanks":
        return dice.choice((b" ", b"\n", b"\t")) * dice.choice((1, 1_000, 2_000_000)), "only blanks"
    return (content * 2, "doubled") if kind == "double" else (b"", "empty")
