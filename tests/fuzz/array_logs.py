"""Logs as npz, HDF5 and Parquet: odd types and shapes, damaged archives, claims of sizes, and references to elsewhere."""

import io
import json
import pickle
import struct
import zipfile
from contextlib import suppress
from typing import Any

import numpy as np

from tests.fuzz.case import Dice
from tests.fuzz.columns import Columns
from tests.fuzz.values import CANARY, word


class _Acts:
    """A pickle that would do something."""

    def __reduce__(self) -> Any:
        import os

        return os.system, (f"touch ../outside/{CANARY}",)


def retyped(dice: Dice, values: np.ndarray) -> np.ndarray:
    """The values in another type or shape."""
    numbers = values if values.dtype != object else np.arange(len(values), dtype=float)
    small = np.clip(np.nan_to_num(numbers), -1e9, 1e9)
    return dice.one(
        lambda: numbers.astype(">f8"), lambda: numbers.astype(np.float32), lambda: numbers.astype(np.float16), lambda: numbers.astype(np.longdouble),
        lambda: small.astype(int), lambda: small.astype(np.uint8), lambda: numbers.astype(complex), lambda: small.astype(bool),
        lambda: numbers.astype(str), lambda: numbers.astype("S8"), lambda: numbers.astype(object), lambda: small.astype("M8[ns]"), lambda: small.astype("m8[s]"),
        lambda: numbers.reshape(-1, 1), lambda: numbers.reshape(1, -1), lambda: np.tile(numbers, (3, 1)), lambda: np.asfortranarray(np.tile(numbers, (2, 1))),
        lambda: numbers.reshape(1, 1, -1), lambda: np.array(1.0), lambda: np.array([]), lambda: np.zeros((0, len(numbers))), lambda: np.zeros((3, 0)),
        lambda: np.zeros(len(numbers), [("a", float), ("b", int)]), lambda: np.array([None] * len(numbers)), lambda: np.array(["\x1b[31m"] * len(numbers)),
        lambda: np.array([b"\xff\xfe"] * len(numbers)), lambda: np.array([{}] * len(numbers)), lambda: np.zeros(len(numbers), "V8"),
    )  # fmt: skip


def npz(dice: Dice, columns: Columns) -> tuple[bytes, str]:
    """(bytes, what is odd)."""
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    kind = dice.choice(
        (
            "types",
            "types",
            "lengths",
            "units",
            "claim",
            "pickle",
            "bomb",
            "zip",
            "npy",
            "repeat",
            "stacked",
            "plain",
            "paths",
        )
    )
    if kind == "types" and arrays:
        for name in dice.sample(list(arrays), dice.randint(1, len(arrays))):
            arrays[name] = retyped(dice, arrays[name])
    elif kind in ("lengths", "stacked"):
        arrays = {name: np.tile(values, (2, 1)) for name, values in arrays.items()}
        if kind == "lengths":
            arrays["lengths"] = np.array(dice.choice(([1, 1], [2, -1], [1e9, 3], [10**18, 2], [float("nan"), 1], ["a", "b"], [1], 3, [], [[1, 2]], [2, 0], [True, False], [None, 1], [1.5, 2.5])))  # fmt: skip
    elif kind == "units":
        arrays["units"] = np.array(dice.choice(("{", "[]", "3", "null", '{"t": null}', '{"q": {"a": 1}}', "{" * 5_000, json.dumps({"t": word(dice)}), "[" * 100_000, '{"t": "ms"}')))  # fmt: skip
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", dice.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, values in arrays.items():
            archive.writestr(f"{name}.npy".replace("\0", "_"), npy(dice, values, kind))
        if kind == "repeat" and arrays:
            archive.writestr("t.npy", npy(dice, arrays.get("t", np.arange(3.0)), ""))
        if kind == "npy":
            archive.writestr("readme", b"hello")
            archive.writestr("extra.npy", dice.choice((b"", b"\x93NUMPY", b"hello", dice.randbytes(200))))
        if kind == "paths":
            archive.writestr(f"../../outside/{CANARY}", b"hello")
            archive.writestr(f"../../outside/{CANARY}.npy", npy(dice, np.arange(3.0), ""))
    return broken(dice, stream.getvalue(), kind == "zip"), kind


def npy(dice: Dice, values: np.ndarray, kind: str) -> bytes:
    """An array as a file, honest unless ``kind`` says otherwise."""
    stream = io.BytesIO()
    if kind == "pickle" or values.dtype.hasobject:
        header = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + "\n"
        return (
            b"\x93NUMPY\x01\x00"
            + struct.pack("<H", len(header))
            + header.encode()
            + pickle.dumps(_Acts(), dice.choice((0, 2, 4)))
        )
    if kind in ("claim", "bomb"):
        shape = dice.choice(
            (
                "(1000000000000,)",
                "(10,)",
                "(-1,)",
                "(3000000000,)",
                "()",
                "(2, 1000000000)",
                "(0, 10000000000)",
                "(True,)",
                "(1.5,)",
                "[10]",
                "10",
                "(__import__('os'),)",
            )
        )
        descr = dice.choice(
            (
                "'<f8'",
                "'<f8'",
                "'|O'",
                "'<U1000000000'",
                "[('a', '<f8')]",
                "'<M8[ns]'",
                "'V100000'",
                f"'{CANARY}'",
                "('<f8', (1000000,))",
            )
        )
        header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
        body = b"\0" * dice.choice((0, 80, 50_000_000 if kind == "bomb" else 800))
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + body
    np.lib.format.write_array(stream, values, allow_pickle=False)
    return stream.getvalue()


def broken(dice: Dice, content: bytes, surely: bool) -> bytes:
    """Bits flipped, cut or doubled: surely, or seldom."""
    if not surely and not dice.chance(0.1):
        return content
    changed = bytearray(content)
    kind = dice.choice(("flip", "flip", "cut", "double", "zero"))
    if kind == "cut":
        return content[: dice.randrange(len(content) + 1)]
    if kind == "double":
        return content + content
    for _ in range(dice.choice((1, 3, 50))):
        if changed:
            place = dice.randrange(len(changed))
            changed[place] = 0 if kind == "zero" else changed[place] ^ (1 << dice.randrange(8))
    return bytes(changed)


def hdf5(dice: Dice, columns: Columns) -> tuple[bytes, str]:
    """(bytes, what is odd)."""
    import h5py

    stream, kind = io.BytesIO(), dice.choice(_HDF5)
    with h5py.File(stream, "w") as file:
        places = [file.create_group(f"run{k}") for k in range(2)] if dice.chance(0.3) else [file]
        for place in places:
            for name, values in columns.items():
                array = np.asarray(values)
                if kind == "types" and dice.chance(0.4):
                    array = retyped(dice, array)
                with suppress(Exception):  # a type or a name that h5py does not write
                    place.create_dataset(name, data=array.astype("S") if array.dtype.kind in "UO" else array)
        with suppress(Exception):
            _HDF5_MAKERS[kind](dice, file, places[0])
    return broken(dice, stream.getvalue(), kind == "broken"), kind


def _replaced(dice: Dice, place: Any, make: Any) -> None:
    """One of the usual data sets, made anew."""
    name = dice.choice(("t", "q", "u", "y", "other"))
    if name in place:
        del place[name]
    make(name)


def _huge(dice: Dice, file: Any, place: Any) -> None:
    shape = dice.choice(((10**9,), (10**12,), (2**40,)))
    _replaced(
        dice,
        place,
        lambda name: place.create_dataset(
            name, shape, "f8", chunks=(1024,), fillvalue=dice.choice((0, 1.5, float("nan")))
        ),
    )


def _external(dice: Dice, file: Any, place: Any) -> None:
    source = dice.choice(("../outside/victim.txt", "/etc/passwd", "/dev/zero", "plant.toml"))
    _replaced(
        dice,
        place,
        lambda name: place.create_dataset(name, (30,), "f8" if dice.chance(0.5) else "u1", external=[(source, 0, 240)]),
    )


def _link(dice: Dice, file: Any, place: Any) -> None:
    import h5py

    link = dice.choice((h5py.SoftLink("/t"), h5py.SoftLink("/nowhere"), h5py.SoftLink("/y"), h5py.ExternalLink("other.h5", "/t"), h5py.ExternalLink("/etc/passwd", "/"), h5py.ExternalLink("log.h5", "/")))  # fmt: skip
    _replaced(dice, place, lambda name: place.__setitem__(name, link))


def _virtual(dice: Dice, file: Any, place: Any) -> None:
    import h5py

    layout = h5py.VirtualLayout((30,), "f8")
    layout[:] = h5py.VirtualSource(dice.choice(("other.h5", "log.h5", "/etc/passwd")), "t", (30,))
    _replaced(dice, place, lambda name: place.create_virtual_dataset(name, layout))


def _attributes(dice: Dice, file: Any, place: Any) -> None:
    import h5py

    values = (
        "s",
        b"\xff",
        3,
        np.array(["s", "m"], dtype="S"),
        h5py.Empty("f"),
        np.float64("nan"),
        "\x1b[31m",
        "s" * 60_000,
    )
    for name in ("t", "q", "y"):
        if name in place:
            place[name].attrs[dice.choice(("unit", "units"))] = dice.choice(values)


def _odd(dice: Dice, file: Any, place: Any) -> None:
    import h5py

    makers = (
        lambda name: place.create_dataset(name, data=h5py.Empty("f8")),
        lambda name: place.create_dataset(name, data=[file.ref] * 3, dtype=h5py.ref_dtype),
        lambda name: place.create_dataset(name, data=["a", "ü", ""], dtype=h5py.string_dtype()),
        lambda name: place.create_dataset(
            name, data=[np.arange(3)] * 3 if dice.chance(0.1) else np.arange(3), dtype=None
        ),
        lambda name: place.create_dataset(name, data=np.zeros(3, [("a", "f8"), ("b", "S3")])),
        lambda name: place.create_dataset(name, data=np.zeros(3), dtype=h5py.enum_dtype({"A": 0, "B": 1}, "i4")),
        lambda name: place.create_dataset(name, data=1.0),
        lambda name: place.create_dataset(name, data=np.zeros((3, 3))),
        lambda name: place.create_dataset(name, (0,), "f8", maxshape=(None,)),
        lambda name: place.create_dataset(
            name, data=np.arange(30.0), chunks=(7,), compression="gzip", shuffle=True, fletcher32=True
        ),
        lambda name: place.create_dataset(name, data=np.arange(30), dtype=dice.choice((">f8", "f2", "u1", "?", "c16"))),
        lambda name: place.create_group(name),
        lambda name: place.__setitem__(name, np.dtype("f8")),
        lambda name: place.__setitem__(name, file["/"]),
    )
    _replaced(dice, place, dice.choice(makers))


def _nested(dice: Dice, file: Any, place: Any) -> None:
    group = file
    for _ in range(dice.choice((3, 300))):
        group = group.create_group("g")
    group["t"] = np.arange(3.0)


_HDF5_MAKERS = {
    "huge": _huge,
    "external": _external,
    "link": _link,
    "virtual": _virtual,
    "attributes": _attributes,
    "odd": _odd,
    "nested": _nested,
}
_HDF5_MAKERS |= dict.fromkeys(("plain", "types", "broken"), lambda *_: None)
_HDF5 = (*_HDF5_MAKERS, "types", "broken", "odd", "odd")


def parquet(dice: Dice, columns: Columns) -> tuple[bytes, str]:
    """(bytes, what is odd)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = dice.choice(
        ("plain", "types", "types", "types", "broken", "broken", "twice", "metadata", "many groups", "index")
    )
    arrays = {
        name: _arrow(dice, np.asarray(values), kind == "types" and dice.chance(0.5)) for name, values in columns.items()
    }
    length = min((len(array) for array in arrays.values()), default=0)
    fields = [(name.replace("\0", ""), array.slice(0, length)) for name, array in arrays.items()]
    if kind == "twice" and fields:
        fields.append(fields[0])
    metadata = None
    if kind in ("metadata", "index"):
        claims = (b"{", b"null", b"[]", b"{}", b'{"index_columns": ["t"]}', b'{"index_columns": [{"kind": "range"}]}', b'{"index_columns": [{"kind": "range", "name": "t", "start": 0, "stop": 1000000000000, "step": 1}], "columns": [], "column_indexes": []}', b'{"index_columns": ["nothing"], "columns": [{"name": null}], "column_indexes": [{}]}')  # fmt: skip
        metadata = {b"pandas": dice.choice(claims)}
    schema = pa.schema(
        [
            pa.field(
                name,
                array.type,
                metadata={b"unit": dice.choice((b"s", b"\xff", b"", b"\x1b[31m", b"m" * 50_000))}
                if kind == "metadata"
                else None,
            )
            for name, array in fields
        ],
        metadata,
    )
    stream = io.BytesIO()
    pq.write_table(
        pa.table([array for _, array in fields], schema=schema), stream, row_group_size=1 if kind == "many groups" else None,
        compression=dice.choice(("snappy", "none", "gzip", "zstd")), use_dictionary=dice.chance(0.5),
    )  # fmt: skip
    return broken(dice, stream.getvalue(), kind == "broken"), kind


def _arrow(dice: Dice, values: np.ndarray, odd: bool) -> Any:
    import decimal

    import pyarrow as pa

    if values.dtype.kind in "OUS":
        return pa.array([str(item) for item in values])
    if not odd:
        return pa.array(values)
    n, small = len(values), [int(np.clip(np.nan_to_num(v), -1e6, 1e6)) for v in values]
    return dice.one(
        lambda: pa.array([None] * n), lambda: pa.array([None] * n, pa.float64()), lambda: pa.array([str(v) for v in values]), lambda: pa.array([[1.0]] * n),
        lambda: pa.array([{"a": 1}] * n), lambda: pa.array([decimal.Decimal(v) for v in small]), lambda: pa.array(small, pa.timestamp("ns", "Europe/Berlin")),
        lambda: pa.array(small, pa.timestamp("us")), lambda: pa.array(small, pa.date32()), lambda: pa.array(small, pa.duration("ms")), lambda: pa.array([v % 2 == 0 for v in small]),
        lambda: pa.array([str(v) for v in values]).dictionary_encode(), lambda: pa.array([b"\xff"] * n), lambda: pa.array(small, pa.int32()), lambda: pa.array([abs(v) for v in small], pa.uint64()),
        lambda: pa.array([v % 1000 for v in small], pa.time32("s")), lambda: pa.array([2**63 + v for v in map(abs, small)], pa.uint64()), lambda: pa.array(values.astype(np.float16)),
        lambda: pa.array([float("nan") if k % 2 else None for k in range(n)], pa.float64(), from_pandas=False), lambda: pa.array(["\x1b[31m"] * n), lambda: pa.nulls(n),
    )  # fmt: skip
