"""MessagePack as Flax writes it, and what it never writes."""

from typing import Any

import numpy as np

from tests.fuzz.array_values import broken
from tests.fuzz.case import Dice
from tests.fuzz.parameters import honest
from tests.fuzz.values import word


def content(dice: Dice) -> tuple[bytes, str]:
    """As Flax writes it, and what it never writes."""
    import msgpack

    def packed(value: Any) -> bytes:
        return msgpack.packb(value) or b""

    def array(values: np.ndarray) -> Any:
        triple = [list(values.shape), values.dtype.name, values.tobytes()]
        spoil = dice.random()
        if spoil < 0.15:
            triple[0] = dice.choice(([-1], [10**12], ["a"], [], 3, None, [1.5], [2**63], [[1]], {"a": 1}, [0, 10**18]))
        elif spoil < 0.3:
            triple[1] = dice.choice(
                (
                    "O",
                    "object",
                    "V8",
                    "U10",
                    b"\xff",
                    3,
                    None,
                    "datetime64[ns]",
                    "float128",
                    "bfloat16",
                    "",
                    "float32,int8",
                    ["float64"],
                )
            )
        elif spoil < 0.4:
            triple[2] = dice.choice((b"", b"abc", "text", None, [1, 2]))
        elif spoil < 0.5:
            triple = dice.choice(([], triple[:2], [*triple, 1], {"a": 1}, None, 3))
        return msgpack.ExtType(dice.choice((1, 1, 1, 1, 1, 3, 2, 0, 127)), packed(triple))

    kind = dice.among("arrays arrays arrays deep extensions keys claim random chunked numbers time")
    if kind == "arrays":
        tree: Any = {"params": {name: array(np.asarray(value)) for name, value in honest(dice).items()}}
        return broken(dice, packed(tree), False), kind
    if kind == "deep":
        count, opening = dice.choice((70, 600, 100_000)), dice.choice((b"\x91", b"\x81\xa1a", b"\x81\x01"))
        return opening * count + b"\xc0", f"{kind} {count}"
    if kind == "extensions":
        content = packed(1.0)
        for _ in range(dice.choice((5, 200, 1_500))):
            content = (
                packed(msgpack.ExtType(dice.choice((1, 3)), content))
                if dice.chance(0.9)
                else packed([[1], "float32", msgpack.ExtType(1, content)])
            )
        return content, kind
    if kind == "keys":
        return packed(
            {
                dice.choice((1, 1.5, None, True, b"x", "a")): {"__msgpack_chunked_array__": True, "shape": [1]},
                word(dice)[:50].encode("utf-8", "replace"): 1,
            }
        ), kind
    if kind == "claim":
        return dice.choice(
            (
                b"\xdd\xff\xff\xff\xff",
                b"\xdf\xff\xff\xff\xff",
                b"\xc6\xff\xff\xff\xffabc",
                b"\xc9\xff\xff\xff\xff\x01abc",
                b"\xdb\xff\xff\xff\xff",
                b"\xdd\x00\xff\xff\xff" + b"\xc0" * 1000,
            )
        ), kind
    if kind == "chunked":
        return packed({"__msgpack_chunked_array__": True, "shape": {"0": 10**9}, "chunks": {"0": b""}}), kind
    if kind == "time":
        count = dice.choice((4, 8, 12, 3))
        return b"\x81\xa1a\xc7" + bytes([count, 255]) + b"\xff" * count, kind
    if kind == "numbers":
        return packed([1, 1.5, None, True, b"x", "ü", 2**64 - 1, -(2**63), float("nan")]), kind
    return dice.randbytes(dice.choice((0, 1, 20, 5_000))), kind
