"""One value of a finished run changed, and every checksum and hash made right again, as somebody does who means to deceive."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.array_values import retyped
from tests.fuzz.case import Dice
from tests.fuzz.values import CONTROLS, PAYLOADS, word


def leaves(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values of a JSON document."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield (*path, key)
        yield from leaves(value, (*path, key))


def _odd_value(dice: Dice, value: Any) -> Any:
    """Another value, of the same kind or of none that fits."""
    if dice.chance(0.4) and isinstance(value, bool | int | float):
        return (
            not value
            if isinstance(value, bool)
            else dice.choice((value * 1.001, -value, 0, value + 1, 1e300, 1e-300, 10**30, value * 0.5))
        )
    return dice.one(
        None, True, False, 0, -1, 1.5, 1e308, -1e308, 10**400, 2**63, "", [], {}, [None], [[]], {"a": 1}, "nan", "inf", [1] * 1_000,
            "x" * 10_000, [float("nan")],
        lambda: dice.choice(PAYLOADS), lambda: dice.choice(CONTROLS), lambda: word(dice)[:100],
    )  # fmt: skip


def field(dice: Dice, folder: Path) -> str:
    """One value of a JSON file, replaced or lost, or one added; signed again."""
    path = dice.choice(sorted(folder.glob("*.json")))
    document = json.loads(path.read_text())
    places = list(leaves(document))
    place = dice.choice(places)
    target = document
    for key in place[:-1]:
        target = target[key]
    old, kind = target[place[-1]], dice.among("value value value lose nest")
    if kind == "lose":
        del target[place[-1]]
    elif kind == "nest":
        value: Any = old
        for _ in range(dice.choice((1, 100))):
            value = [value] if dice.chance(0.5) else {"a": value}
        target[place[-1]] = value
    else:
        target[place[-1]] = _odd_value(dice, old)
    write_signed(path, document)
    return f"{path.name} {'.'.join(map(str, place))} {kind} {target.get(place[-1], '') if isinstance(target, dict) else ''!r:.40}"


def write_signed(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON file with its checksum, and the hashes of it in all others, made right again."""
    from observer.storage import _checksum

    with_sum = {**document, "checksum": ""}
    del with_sum["checksum"]
    try:
        with_sum["checksum"] = _checksum(with_sum)
    except (TypeError, ValueError, RecursionError):
        with_sum["checksum"] = document.get("checksum", "")
    path.write_text(json.dumps(with_sum, indent=1) + "\n")
    sign_again(path.parent)


def sign_again(folder: Path) -> None:
    """The hashes in every JSON file made those of the files as they are, until nothing changes any more."""
    from observer.storage import _checksum, file_hash

    for _ in range(8):
        changed = False
        for path in sorted(folder.glob("*.json")):
            try:
                document = json.loads(path.read_text())
                hashes = document["hashes"]
                right = {
                    name: file_hash(folder / name) if (folder / name).is_file() else old for name, old in hashes.items()
                }
                if right == hashes:
                    continue
                document["hashes"] = right
                document.pop("checksum", None)
                document["checksum"] = _checksum(document)
            except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OSError):
                continue
            path.write_text(json.dumps(document, indent=1) + "\n")
            changed = True
        if not changed:
            return


def array(dice: Dice, folder: Path) -> str:
    """One array of an npz file: a value, its type, its shape; signed again."""
    path = dice.choice(sorted(folder.glob("*.npz")))
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    name = dice.choice(list(arrays))
    kind = dice.among("value value type lose add shape empty")
    values = arrays[name]
    if kind == "value" and values.size and values.dtype.kind in "fiu":
        values = values.copy()
        values.flat[dice.randrange(values.size)] = (
            dice.choice((0, 1, 100)) if values.dtype.kind != "f" else dice.choice((np.nan, np.inf, 1e300, 0.0, 1e-3))
        )
        arrays[name] = values
    elif kind == "type":
        arrays[name] = retyped(dice, np.zeros(3) if values.dtype.kind not in "fiub" else values.reshape(-1))
    elif kind == "lose":
        del arrays[name]
    elif kind == "add":
        arrays["more"] = np.zeros(3)
    elif kind == "shape" and values.ndim:
        arrays[name] = dice.choice(
            (values[..., None], values[:1], values.reshape(-1), np.repeat(values, 2, axis=0), values[..., :1])
        )
    else:
        arrays[name] = values[:0] if values.ndim else np.zeros(0)
    np.savez(path, **arrays)
    sign_again(folder)
    return f"{path.name} {name} {kind}"


def weights(dice: Dice, folder: Path) -> str:
    """The weights as safetensors: header or tensors."""
    path = folder / "observer.safetensors"
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header, body = json.loads(content[8 : 8 + size]), content[8 + size :]
    name = dice.choice([key for key in header if key != "__metadata__"])
    kind = dice.among("size offsets shape dtype name metadata value empty deep")
    if kind == "size":
        path.write_bytes(dice.choice((2**63, 2**40, 0, 1, size + 1, size - 1)).to_bytes(8, "little") + content[8:])
        return kind
    if kind == "offsets":
        header[name]["data_offsets"] = dice.choice(([0, 2**60], [-1, 8], [8, 0], [0, 0], [], None, [1, 9], ["a", "b"]))
    elif kind == "shape":
        header[name]["shape"] = dice.choice(([], [10**12], [-1], [2**63], [1, 1, 1], ["a"], None, [0]))
    elif kind == "dtype":
        header[name]["dtype"] = dice.choice(("F32", "F16", "BF16", "I64", "BOOL", "X", "", None, "C64"))
    elif kind == "name":
        header[word(dice)[:50]] = header.pop(name)
    elif kind == "metadata":
        meta = header.get("__metadata__", {})
        key = dice.choice(list(meta) or ["a"])
        header["__metadata__"] = dice.choice(
            (
                {},
                None,
                {**meta, key: word(dice)[:200]},
                {**meta, key: 3},
                {**meta, key: "{" * 1_000},
                {k: v for k, v in meta.items() if k != key},
            )
        )
    elif kind == "value" and body:
        place = dice.randrange(len(body))
        body = body[:place] + bytes([body[place] ^ (1 << dice.randrange(8))]) + body[place + 1 :]
    elif kind == "empty":
        del header[name]
    elif kind == "deep":
        path.write_bytes((100_000).to_bytes(8, "little") + b"[" * 100_000)
        return kind
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    sign_again(folder)
    return f"{kind} of {name}"


def config(dice: Dice, folder: Path) -> str:
    """A value of config.toml; signed again."""
    path = folder / "config.toml"
    lines = path.read_text().splitlines()
    place = dice.choice([k for k, line in enumerate(lines) if " = " in line and not line.startswith("#")])
    value = dice.choice(("nan", "-1", "0", "true", "[]", "1e300", "1000000", "x", "3", '"box"'))
    lines[place] = f"{lines[place].partition(' = ')[0]} = {value}"
    path.write_text("\n".join(lines) + "\n")
    sign_again(folder)
    return lines[place]


def history(dice: Dice, folder: Path) -> str:
    path = folder / "history.csv"
    rows = list(csv.reader(io.StringIO(path.read_text())))
    row = dice.choice(rows)
    if row:
        row[dice.randrange(len(row))] = dice.one("", "nan", "1e999", "x", '"', "1,2", lambda: dice.choice(CONTROLS))
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    path.write_text(stream.getvalue())
    sign_again(folder)
    return "a cell"
