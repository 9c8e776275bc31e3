"""BSON as the Julia package writes it, and what it never writes."""

import struct
from typing import Any

from tests.fuzz.array_values import broken
from tests.fuzz.case import Dice


def content(dice: Dice) -> tuple[bytes, str]:
    """As the Julia package writes it, and what it never writes."""
    import bson as codec

    kind = dice.among("structs structs structs arrays multiply circle deep claim random types code")
    datatype = {
        "tag": "datatype",
        "params": [],
        "name": ["Main", dice.among("DirectLBDNParams|DirectRENParams|Dict|Float64|Any|", "|")],
    }
    if kind == "structs":
        fields: Any = [dice.one(1.0, None, "x", True, [], {}, lambda: _julia(dice), {"tag": "tuple", "data": []}, {"tag": "struct"},
            {"tag": "array"}, {"tag": "tuple"}, {"tag": "symbol"}, {"tag": "symbol", "name": 3}, {"tag": "backref"}, {"tag": "backref",
            "ref": "a"}, {"tag": 3}) for _ in range(dice.choice((0, 1, 2, 6, 19)))]  # fmt: skip
        odd = {
            "type": dice.choice( ( datatype, datatype, None, 3, {}, {"tag": "datatype"}, {"tag": "datatype", "name": []},
            {"tag": "datatype", "name": 3}, ) ), "data": dice.choice((fields, fields, fields, None, 3, b"abc", {"a": 1})),
        }  # fmt: skip
        document: Any = {"model": {"tag": "struct", **odd}}
        if dice.chance(0.2):
            del document["model"][dice.choice(("type", "data"))]
        return codec.encode(document), kind
    if kind == "arrays":
        return broken(dice, codec.encode({name: _julia(dice) for name in ("X", "Y1", "B2")}), False), kind
    if kind == "multiply":
        depth, width = dice.choice(((5, 3), (20, 10), (30, 2), (60, 8), (3, 1_000)))
        references = [[{"tag": "backref", "ref": k + 2}] * width for k in range(depth)] + [[1.0]]
        if dice.chance(0.4):
            references = [{"tag": "tuple", "data": item} for item in references]
        return codec.encode({"_backrefs": references, "model": {"tag": "backref", "ref": 1}}), f"{kind} {depth} {width}"
    if kind == "circle":
        references = dice.choice(
            (
                [{"tag": "backref", "ref": 1}],
                [[{"tag": "backref", "ref": 1}]],
                [{"tag": "backref", "ref": 2}, {"tag": "backref", "ref": 1}],
                3,
                None,
                {"a": 1},
            )
        )
        return codec.encode(
            {"_backrefs": references, "a": {"tag": "backref", "ref": dice.choice((0, 1, 2, -1, 10**9, 1.5, None))}}
        ), kind
    if kind == "deep":
        value: Any = 1.0
        for _ in range(dice.choice((60, 70, 90))):
            value = [value] if dice.chance(0.5) else {"tag": "tuple", "data": [value]}
        inner = b"\x05\x00\x00\x00\x00"
        for _ in range(dice.choice((100, 5_000))):
            inner = struct.pack("<i", len(inner) + 8) + b"\x03a\x00" + inner + b"\x00"
        return (codec.encode({"a": value}) if dice.chance(0.5) else inner), kind
    if kind == "claim":
        return dice.choice(
            (
                b"\xff\xff\xff\x7f\x00",
                b"\x00\x00\x00\x00",
                b"\x05\x00\x00\x00",
                b"\x16\x00\x00\x00\x05a\x00\xff\xff\xff\x7f\x00abcdefgh\x00",
                b"\x0c\x00\x00\x00\x02a\x00\x00\x00\x00\x00\x00",
            )
        ), kind
    if kind == "types":
        import datetime

        values = (
            codec.ObjectId(),
            datetime.datetime(2024, 1, 1),
            codec.Regex("(a+)+$"),
            codec.Int64(2**62),
            codec.MinKey(),
            codec.Timestamp(1, 1),
            codec.Binary(b"x", 3),
            codec.Decimal128("1"),
            codec.DBRef("a", 1),
        )
        return codec.encode({"a": dice.choice(values), "b": [dice.choice(values)]}), kind
    if kind == "code":
        return codec.encode({"a": codec.Code("touch canary_7f3a"), "b": codec.Code("x", {"y": 1})}), kind
    return dice.randbytes(dice.choice((0, 1, 20, 5_000))), kind


def _julia(dice: Dice) -> Any:
    """An array of Julia, mostly honest."""
    size = dice.choice(([2, 2], [2, 2], [4], [0], [], [-1], [10**12], ["a"], 3, None, [2.0], [2**62, 4], [True]))
    data = dice.choice(
        (bytes(32), bytes(32), b"", b"abc", [1.0, 2.0], None, "x", 3, {"tag": "backref", "ref": 1}, [[1.0]] * 3)
    )
    name = dice.among("Float64 Float64 Float32 Bool Any String Complex UInt8")
    kind = dice.choice(
        ({"tag": "datatype", "params": [], "name": ["Core", name]},) * 3 + (None, {}, {"tag": "datatype"}, "Float64")
    )
    return {"tag": "array", "type": kind, "size": size, "data": data}
