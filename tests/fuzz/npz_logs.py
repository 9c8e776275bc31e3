"""Logs as npz: odd types and shapes, damaged archives, claims of sizes, and pickles that would act."""

import io
import json
import pickle
import struct
import zipfile
from typing import Any

import numpy as np

from tests.fuzz.array_values import broken, retyped
from tests.fuzz.case import Dice
from tests.fuzz.columns import Columns
from tests.fuzz.values import CANARY, word


class _Acts:
    """A pickle that would do something."""

    def __reduce__(self) -> Any:
        import os

        return os.system, (f"touch ../outside/{CANARY}",)


def content(dice: Dice, columns: Columns) -> tuple[bytes, str]:
    """(bytes, what is odd)."""
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    kind = dice.among("types types lengths units claim pickle bomb zip npy repeat stacked plain paths")
    if kind == "types" and arrays:
        for name in dice.sample(list(arrays), dice.randint(1, len(arrays))):
            arrays[name] = retyped(dice, arrays[name])
    elif kind in ("lengths", "stacked"):
        arrays = {name: np.tile(values, (2, 1)) for name, values in arrays.items()}
        if kind == "lengths":
            arrays["lengths"] = np.array(dice.choice(([1, 1], [2, -1], [1e9, 3], [10**18, 2], [float("nan"), 1], ["a", "b"], [1], 3, [],
                [[1, 2]], [2, 0], [True, False], [None, 1], [1.5, 2.5])))  # fmt: skip
    elif kind == "units":
        arrays["units"] = np.array(dice.choice(("{", "[]", "3", "null", '{"t": null}', '{"q": {"a": 1}}', "{" * 5_000,
            json.dumps({"t": word(dice)}), "[" * 100_000, '{"t": "ms"}')))  # fmt: skip
    odd = dice.choice(list(arrays) or [""])
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", dice.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, values in arrays.items():
            archive.writestr(
                f"{name}.npy".replace("\0", "_").encode("utf-8", "replace").decode(),
                npy(dice, values, kind if name == odd else ""),
            )
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
