"""Run folders from elsewhere: parts lost, exchanged, damaged, replaced by links, or changed and signed again."""

import csv
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.array_values import broken, retyped
from tests.fuzz.case import Case, Dice
from tests.fuzz.texts import damaged
from tests.fuzz.values import CONTROLS, PAYLOADS, word

_COMMANDS = (
    ["verify", "r"],
    ["validate", "r", "--trials", "2"],
    ["report", "r"],
    ["estimate", "r", "log.csv", "-o", "e.csv"],
    ["export", "r", "-o", "x"],
    ["certify", "r", "--budget", "1s"],
    ["fit", "r"],
    ["run", "plant.toml", "--out", "r", "--quiet"],
)


def make(dice: Dice) -> Case:
    """A damaged copy of a finished run, and a command that reads it."""
    dice.run()
    dice.write("plant.toml", (dice.templates / "spring.toml").read_bytes())
    dice.write("log.csv", (dice.templates / "log.csv").read_bytes())
    change = dice.choice(_CHANGES)
    note = change(dice, dice.folder / "r")
    words = dice.choice((*_COMMANDS, _COMMANDS[0], *_COMMANDS[3:5]))
    return Case(
        list(words),
        f"{change.__name__.strip('_')}: {note}",
        inputs=("plant.toml", "log.csv"),
        forged=_contents(dice.folder / "r") != _contents(dice.templates / "run"),
    )


def _contents(folder: Path) -> dict[str, Any]:
    """What the files of a run say, without signatures; foreign files and pages, which are made anew, left out."""
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.[cjnsth]*")):
        if path.is_symlink() or not path.is_file() or path.suffix == ".html" or path.name in _FOREIGN:
            found[path.name] = path.is_symlink()
            continue
        content = path.read_bytes()
        with suppress(Exception):
            if path.suffix == ".json":
                document = json.loads(content)
                found[path.name] = json.dumps(
                    {key: document[key] for key in document if key not in ("checksum", "hashes")}
                )
                continue
            if path.suffix == ".npz":
                with np.load(io.BytesIO(content)) as file:
                    found[path.name] = {
                        name: (file[name].dtype.str, file[name].shape, file[name].tobytes()) for name in file.files
                    }
                continue
        found[path.name] = content
    return {name: item for name, item in found.items() if item is not False and name not in _FOREIGN}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".html")


def _damage(dice: Dice, folder: Path) -> str:
    path = dice.choice(_files(folder))
    if path.suffix in (".json", ".toml", ".csv"):
        content, note = damaged(dice, path.read_text())
    else:
        content, note = broken(dice, path.read_bytes(), True), "bits"
    path.write_bytes(content)
    return f"{path.name} {note}"


def _lose(dice: Dice, folder: Path) -> str:
    paths = dice.sample(_files(folder), dice.choice((1, 1, 2, 5)))
    for path in paths:
        path.unlink()
    return " ".join(path.name for path in paths)


def _exchange(dice: Dice, folder: Path) -> str:
    one, other = dice.sample(_files(folder), 2)
    shutil.copy(one, other)
    return f"{one.name} as {other.name}"


def _mix(dice: Dice, folder: Path) -> str:
    path = dice.choice(_files(dice.templates / "other"))
    shutil.copy(path, folder / path.name)
    return f"{path.name} of another run"


def _link(dice: Dice, folder: Path) -> str:
    path = dice.choice([*_files(folder), folder / "figures", folder / "report.html", folder / ".lock"])
    target = dice.choice(
        (dice.outside / "victim.txt", dice.outside, "/dev/zero", "/dev/null", path.name, "nowhere", folder, "/")
    )
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if dice.chance(0.2) and target == dice.outside / "victim.txt":
        os.link(target, path)
    else:
        path.symlink_to(target)
    return f"{path.name} -> {target}"


def _node(dice: Dice, folder: Path) -> str:
    path = dice.choice(_files(folder))
    path.unlink()
    if dice.chance(0.5):
        path.mkdir()
    else:
        os.mkfifo(path)
    return f"{path.name} is no file"


_FOREIGN = ("foreign.txt", ".lock", ".observer.lock", "checkpoint.npz", "fine_tuning.json", "logs.json", "figures/x.png", "report.html",
    ".run.partial", "source.py")  # fmt: skip


def _add(dice: Dice, folder: Path) -> str:
    name = dice.choice(_FOREIGN)
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(dice.choice((b"", b"{}", b"[]", b"hello", b"\0" * 100, dice.randbytes(50))))
    return name


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


def _field(dice: Dice, folder: Path) -> str:
    """One value of a JSON file, replaced or lost, or one added; signed again."""
    path = dice.choice(sorted(folder.glob("*.json")))
    document = json.loads(path.read_text())
    places = list(leaves(document))
    place = dice.choice(places)
    target = document
    for key in place[:-1]:
        target = target[key]
    old, kind = target[place[-1]], dice.choice(("value", "value", "value", "lose", "nest"))
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


def _array(dice: Dice, folder: Path) -> str:
    """One array of an npz file: a value, its type, its shape; signed again."""
    path = dice.choice(sorted(folder.glob("*.npz")))
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    name = dice.choice(list(arrays))
    kind = dice.choice(("value", "value", "type", "lose", "add", "shape", "empty"))
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


def _weights(dice: Dice, folder: Path) -> str:
    """The weights as safetensors: header or tensors."""
    path = folder / "observer.safetensors"
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header, body = json.loads(content[8 : 8 + size]), content[8 + size :]
    name = dice.choice([key for key in header if key != "__metadata__"])
    kind = dice.choice(("size", "offsets", "shape", "dtype", "name", "metadata", "value", "empty", "deep"))
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


def _config(dice: Dice, folder: Path) -> str:
    """A value of config.toml; signed again."""
    path = folder / "config.toml"
    lines = path.read_text().splitlines()
    place = dice.choice([k for k, line in enumerate(lines) if " = " in line and not line.startswith("#")])
    value = dice.choice(("nan", "-1", "0", "true", "[]", "1e300", "1000000", "x", "3", '"box"'))
    lines[place] = f"{lines[place].partition(' = ')[0]} = {value}"
    path.write_text("\n".join(lines) + "\n")
    sign_again(folder)
    return lines[place]


def _history(dice: Dice, folder: Path) -> str:
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


_CHANGES: tuple[Callable[[Dice, Path], str], ...] = (_damage, _damage, _lose, _exchange, _mix, _link, _link, _node, _add, _field,
    _field, _field, _field, _array, _array, _weights, _weights, _config, _history)  # fmt: skip
