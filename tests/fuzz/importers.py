"""Files of networks from other programs: npz, BSON, MessagePack, and the public readers of runs and parts."""

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.fuzz.array_logs import broken, npz, retyped
from tests.fuzz.case import Case, Dice
from tests.fuzz.texts import damaged
from tests.fuzz.values import NUMBERS, place, word

_KINDS = ("contracting", "lipschitz", "general", "lbdn", "r2dn", "nothing")


def _parameters(dice: Dice) -> dict[str, Any]:
    """Honest parameters of a small network, under published names."""
    from observer.networks.feedforward.lbdn import LBDN
    from observer.networks.formats.exchange import published_parameters
    from observer.networks.ren.contracting import ContractingREN

    network = LBDN(2, [3], 2) if dice.chance(0.5) else ContractingREN(2, 3, 4, 2)
    return {name: np.array(value) for name, value in published_parameters(network).items()}


def _spoiled(dice: Dice, parameters: dict[str, Any]) -> str:
    name = dice.choice(list(parameters))
    kind = dice.choice(("type", "type", "lose", "name", "value", "add", "polar", "none"))
    if kind == "type":
        parameters[name] = retyped(dice, np.asarray(parameters[name], dtype=float).reshape(-1))
    elif kind == "lose":
        del parameters[name]
    elif kind == "name":
        parameters[word(dice)[:200]] = parameters.pop(name)
    elif kind == "value":
        parameters[name] = dice.choice(
            (
                np.full(3, np.nan),
                np.full((2, 2), 1e300),
                np.array(0.0),
                np.zeros((0, 0)),
                np.full((1, 1), -1.0),
                np.array([[np.inf]]),
            )
        )
    elif kind == "add":
        parameters[
            dice.choice(
                (
                    "X",
                    "log_gamma",
                    "eps",
                    "polar",
                    "D22_free",
                    "output_map",
                    "layers_9.XY",
                    "layers_x.XY",
                    "params.X",
                    "p",
                    "XY0",
                    "a0",
                    "network.layers_0.XY",
                )
            )
        ] = dice.choice(
            (np.array(1.0), np.array(True), np.zeros((2, 2)), np.array([1e300]), np.array([-1.0]), np.zeros(3))
        )
    elif kind == "polar":
        parameters["polar"] = dice.choice((np.array(True), np.array(0.5), np.array([1.0, 2.0]), np.zeros(0)))
    return f"{kind} of {name}"


def message_pack(dice: Dice) -> tuple[bytes, str]:
    """As Flax writes it, and what it never writes."""
    import msgpack

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
        return msgpack.ExtType(dice.choice((1, 1, 1, 1, 1, 3, 2, 0, 127)), msgpack.packb(triple))

    kind = dice.choice(
        ("arrays", "arrays", "arrays", "deep", "extensions", "keys", "claim", "random", "chunked", "numbers", "time")
    )
    if kind == "arrays":
        tree: Any = {"params": {name: array(np.asarray(value)) for name, value in _parameters(dice).items()}}
        return broken(dice, msgpack.packb(tree), False), kind
    if kind == "deep":
        count, opening = dice.choice((70, 600, 100_000)), dice.choice((b"\x91", b"\x81\xa1a", b"\x81\x01"))
        return opening * count + b"\xc0", f"{kind} {count}"
    if kind == "extensions":
        content = msgpack.packb(1.0)
        for _ in range(dice.choice((5, 200, 1_500))):
            content = (
                msgpack.packb(msgpack.ExtType(dice.choice((1, 3)), content))
                if dice.chance(0.9)
                else msgpack.packb([[1], "float32", msgpack.ExtType(1, content)])
            )
        return content, kind
    if kind == "keys":
        return msgpack.packb(
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
        return msgpack.packb({"__msgpack_chunked_array__": True, "shape": {"0": 10**9}, "chunks": {"0": b""}}), kind
    if kind == "time":
        count = dice.choice((4, 8, 12, 3))
        return b"\x81\xa1a\xc7" + bytes([count, 255]) + b"\xff" * count, kind
    if kind == "numbers":
        return msgpack.packb([1, 1.5, None, True, b"x", "ü", 2**64 - 1, -(2**63), float("nan")]), kind
    return dice.randbytes(dice.choice((0, 1, 20, 5_000))), kind


def bson(dice: Dice) -> tuple[bytes, str]:
    """As the Julia package writes it, and what it never writes."""
    import bson as codec

    kind = dice.choice(
        ("structs", "structs", "structs", "arrays", "multiply", "circle", "deep", "claim", "random", "types", "code")
    )
    datatype = {
        "tag": "datatype",
        "params": [],
        "name": ["Main", dice.choice(("DirectLBDNParams", "DirectRENParams", "Dict", "Float64", "Any", ""))],
    }
    if kind == "structs":
        fields: Any = [dice.one(1.0, None, "x", True, [], {}, lambda: _julia(dice), {"tag": "tuple", "data": []}, {"tag": "struct"}, {"tag": "array"}, {"tag": "tuple"}, {"tag": "symbol"}, {"tag": "symbol", "name": 3}, {"tag": "backref"}, {"tag": "backref", "ref": "a"}, {"tag": 3}) for _ in range(dice.choice((0, 1, 2, 6, 19)))]  # fmt: skip
        odd = {
            "type": dice.choice(
                (
                    datatype,
                    datatype,
                    None,
                    3,
                    {},
                    {"tag": "datatype"},
                    {"tag": "datatype", "name": []},
                    {"tag": "datatype", "name": 3},
                )
            ),
            "data": dice.choice((fields, fields, fields, None, 3, b"abc", {"a": 1})),
        }
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
    name = dice.choice(("Float64", "Float64", "Float32", "Bool", "Any", "String", "Complex", "UInt8"))
    kind = dice.choice(
        ({"tag": "datatype", "params": [], "name": ["Core", name]},) * 3 + (None, {}, {"tag": "datatype"}, "Float64")
    )
    return {"tag": "array", "type": kind, "size": size, "data": data}


def npz_parameters(dice: Dice) -> tuple[bytes, str]:
    """Published parameters in a NumPy archive."""
    if dice.chance(0.4):
        return npz(dice, {"X": np.eye(3), "t": np.arange(3.0), "XY0": np.ones((4, 2))})
    parameters = _parameters(dice)
    note = _spoiled(dice, parameters)
    stream = io.BytesIO()
    try:
        np.savez(
            stream,
            **{
                (name.replace("/", "_").replace("\0", "_") or "_"): value
                for name, value in parameters.items()
                if name != "file"
            },
        )
    except (ValueError, TypeError):
        return b"", "nothing"
    return broken(dice, stream.getvalue(), False), note


_FORMATS: dict[str, Callable[[Dice], tuple[bytes, str]]] = {
    ".npz": npz_parameters,
    ".msgpack": message_pack,
    ".bson": bson,
}


def make(dice: Dice) -> Case:
    """A file that is read and made a network, honest parameters made odd in memory, or a part of a run read by its loader."""
    kind = dice.random()
    if kind < 0.75:
        ending = dice.choice(list(_FORMATS))
        content, note = _FORMATS[ending](dice)
        if dice.chance(0.05):
            content, note = damaged(dice, content.decode("latin-1"))
        name = dice.write(
            f"network{ending if dice.chance(0.95) else dice.choice(('.json', '.pkl', '.pt', '', '.NPZ', '.bson', '.npz'))}",
            content,
        )
        if dice.chance(0.05):
            name = place(dice, ending)
        network = dice.choice(_KINDS)
        return Case([], f"{ending} {note} as {network}", call=lambda: _read(name, network), inputs=())
    if kind < 0.9:
        parameters = _parameters(dice)
        note = "; ".join(_spoiled(dice, parameters) for _ in range(dice.choice((1, 1, 2))) if parameters)
        options = dict(dice.sample((("contraction_rate", _number(dice)), ("gamma", _number(dice)), ("activation", dice.choice(("relu", "tanh", "nothing", "", "exec"))), ("supply", dice.choice((None, 3, ([[1.0]], [[0.0]], [[1.0]]), ([], [], []))))), dice.choice((0, 0, 1))))  # fmt: skip
        network = dice.choice(_KINDS[:5])
        return Case([], f"{network}: {note} {options!r:.80}", call=lambda: _load(network, parameters, options))
    name, loader = dice.choice(_LOADERS)
    path = dice.templates / "run" / name
    content = (
        broken(dice, path.read_bytes(), True)
        if dice.chance(0.5)
        else damaged(dice, path.read_bytes().decode("latin-1"))[0]
    )
    file = dice.write(name, content)
    return Case([], f"{loader} of a damaged {name}", call=lambda: _part(loader, file))


def _number(dice: Dice) -> Any:
    text = dice.choice(NUMBERS)
    try:
        return float(text)
    except ValueError:
        return text


def _read(name: str, network: str) -> None:
    from observer.networks.formats.exchange import load_network, read_parameters

    load_network(network, read_parameters(name))


def _load(network: str, parameters: dict[str, Any], options: dict[str, Any]) -> None:
    from observer.networks.formats.exchange import load_network

    load_network(network, parameters, **options)


_LOADERS = (("validation.npz", "load_validation"), ("starts.npz", "load_worst_cases"), ("certificate.json", "load_certificate"), ("config.toml", "load_config"), ("system.json", "load_plant"), ("trajectories.npz", "load_trajectories"))  # fmt: skip


def _part(loader: str, file: str) -> None:
    from pathlib import Path

    from observer import runs

    path = Path.cwd() / file
    getattr(runs, loader)(path.parent if loader in ("load_plant", "load_trajectories") else path)
