"""Run folders from elsewhere: parts lost, exchanged, damaged, replaced by links, or changed and signed again."""

import io
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz import forgeries
from tests.fuzz.array_values import broken
from tests.fuzz.case import Case, Dice
from tests.fuzz.texts import damaged

_COMMANDS = (
    ["verify", "r"], ["validate", "r", "--trials", "2"], ["report", "r"], ["estimate", "r", "log.csv", "-o", "e.csv"],
    ["export", "r", "-o", "x"], ["certify", "r", "--budget", "1s"], ["fit", "r"], ["run", "plant.toml", "--out", "r", "--quiet"],
    ["fine-tune", "r", "--out", "n", "--iterations", "1", "--horizon", "5", "--budget", "1s"],
    ["compare", "r", "--out", "c", "--trials", "1", "--duration", "1", "--estimators", "luenberger", "--no-fine-tune"],
)  # fmt: skip


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


def _json(dice: Dice, folder: Path) -> str:
    """A JSON file of another kind, of another depth, or with what JSON should not have."""
    path = dice.choice(sorted(folder.glob("*.json")))
    text = path.read_text()
    key, version = dice.choice(list(json.loads(text))), '"format_version": 1'
    changed = dice.choice(
        (
            "[" * 100_000, '{"a": ' * 100_000, "[" * 900 + "]" * 900, "[]", "null", "3", '"text"', "{}", "9" * 5_000, "\ufeff" + text,
                text + text, text + "x",
            text.replace("{", f'{{"{key}": NaN,', 1), text.replace("{", f'{{"{key}": -Infinity,', 1), text.replace("{",
                '{"checksum": "x",', 1),
            text.replace(": ", ': 1e400, "x": ', 1), text.replace(" ", "\u00a0"), text.swapcase(),
                '{"hashes": {"../../outside/victim.txt": "0"}}',
            text.replace('"hashes": {', '"hashes": {"../plant.toml": "0", "/etc/passwd": "0", "": "0",'),
            *(text.replace(version, f'"format_version": {value}') for value in ("999", "null", '"1"', "-1", "1.5", "[1]", "true")),
        )
    )  # fmt: skip
    path.write_text(changed)
    return path.name


_CHANGES: tuple[Callable[[Dice, Path], str], ...] = (
    *(_damage, _damage, _lose, _exchange, _mix, _link, _link, _node, _add, _json, _json),
    *(forgeries.field,) * 4,
    *(forgeries.array, forgeries.array, forgeries.weights, forgeries.weights, forgeries.config, forgeries.history),
)
