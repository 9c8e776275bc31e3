"""Arrays in types and shapes that nobody expects, and files with bits flipped."""

import numpy as np

from tests.fuzz.case import Dice


def retyped(dice: Dice, values: np.ndarray) -> np.ndarray:
    """The values in another type or shape."""
    numbers = values if values.dtype != object else np.arange(len(values), dtype=float)
    small = np.clip(np.nan_to_num(numbers), -1e9, 1e9)
    return dice.one(
        lambda: numbers.astype(">f8"), lambda: numbers.astype(np.float32), lambda: numbers.astype(np.float16),
            lambda: numbers.astype(np.longdouble),
        lambda: small.astype(int), lambda: small.astype(np.uint8), lambda: numbers.astype(complex), lambda: small.astype(bool),
        lambda: numbers.astype(str), lambda: numbers.astype("S8"), lambda: numbers.astype(object), lambda: small.astype("M8[ns]"),
            lambda: small.astype("m8[s]"),
        lambda: numbers.reshape(-1, 1), lambda: numbers.reshape(1, -1), lambda: np.tile(numbers, (3, 1)),
            lambda: np.asfortranarray(np.tile(numbers, (2, 1))),
        lambda: numbers.reshape(1, 1, -1), lambda: np.array(1.0), lambda: np.array([]), lambda: np.zeros((0, len(numbers))),
            lambda: np.zeros((3, 0)),
        lambda: np.zeros(len(numbers), [("a", float), ("b", int)]), lambda: np.array([None] * len(numbers)),
            lambda: np.array(["\x1b[31m"] * len(numbers)),
        lambda: np.array([b"\xff\xfe"] * len(numbers)), lambda: np.array([{}] * len(numbers)), lambda: np.zeros(len(numbers), "V8"),
    )  # fmt: skip


def broken(dice: Dice, content: bytes, surely: bool) -> bytes:
    """Bits flipped, cut or doubled: surely, or seldom."""
    if not surely and not dice.chance(0.1):
        return content
    changed = bytearray(content)
    kind = dice.among("flip flip cut double zero")
    if kind == "cut":
        return content[: dice.randrange(len(content) + 1)]
    if kind == "double":
        return content + content
    for _ in range(dice.choice((1, 3, 50))):
        if changed:
            place = dice.randrange(len(changed))
            changed[place] = 0 if kind == "zero" else changed[place] ^ (1 << dice.randrange(8))
    return bytes(changed)
