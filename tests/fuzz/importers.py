"""Files of networks from other programs: npz, BSON, MessagePack, and the public readers of runs and parts."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.fuzz import bson_files, message_pack, npz_logs
from tests.fuzz.array_values import broken
from tests.fuzz.case import Case, Dice
from tests.fuzz.parameters import honest, spoiled
from tests.fuzz.texts import damaged
from tests.fuzz.values import place

_KINDS = ("contracting", "lipschitz", "general", "lbdn", "r2dn", "nothing")
_FLOATS = (0.0, -1.0, 1.0, 1.5, 0.5, float("nan"), float("inf"), 1e300, 1e-300, 10**400, "1", None, [1.0], True)
_OPTIONS: dict[str, tuple[Any, ...]] = {
    "contraction_rate": _FLOATS,
    "gamma": _FLOATS,
    "eps": _FLOATS,
    "activation": ("relu", "tanh", "nothing", "", "exec", None, 3),
    "supply": (None, 3, ([[1.0]], [[0.0]], [[1.0]]), ([], [], []), "abc", ([[float("nan")]],) * 3),
    "nothing": (1,),
}


def npz_parameters(dice: Dice) -> tuple[bytes, str]:
    """Published parameters in a NumPy archive."""
    if dice.chance(0.4):
        return npz_logs.content(dice, {"X": np.eye(3), "t": np.arange(3.0), "XY0": np.ones((4, 2))})
    parameters = honest(dice)
    note = spoiled(dice, parameters)
    stream = io.BytesIO()
    try:
        np.savez(
            stream,
            **{
                (name.replace("/", "_").replace("\0", "_").encode("utf-8", "replace").decode() or "_"): value
                for name, value in parameters.items()
                if name != "file"
            },
        )
    except (ValueError, TypeError):
        return b"", "nothing"
    return broken(dice, stream.getvalue(), False), note


_FORMATS: dict[str, Callable[[Dice], tuple[bytes, str]]] = {
    ".npz": npz_parameters,
    ".msgpack": message_pack.content,
    ".bson": bson_files.content,
}


def make(dice: Dice) -> Case:
    """A file that is read and made a network, honest parameters made odd in memory, or a part of a run read by its loader."""
    kind = dice.random()
    if kind < 0.75:
        ending = dice.choice(list(_FORMATS))
        content, note = _FORMATS[ending](dice)
        if dice.chance(0.05):
            content, note = damaged(dice, content.decode("latin-1"))
        final = ending if dice.chance(0.95) else dice.among(".json|.pkl|.pt||.NPZ|.bson|.npz", "|")
        name = dice.write(f"network{final}", content)
        if dice.chance(0.05):
            name = place(dice, ending)
        network = dice.choice(_KINDS)
        return Case([], f"{ending} {note} as {network}", call=lambda: _read(name, network), inputs=())
    if kind < 0.9:
        parameters = honest(dice)
        note = "; ".join(spoiled(dice, parameters) for _ in range(dice.choice((1, 1, 2))) if parameters)
        options: dict[str, Any] = {}
        if dice.chance(0.3):
            name = dice.choice(list(_OPTIONS))
            options[name] = dice.choice(_OPTIONS[name])
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


def _read(name: str, network: str) -> None:
    from observer.networks.formats.exchange import load_network, read_parameters

    load_network(network, read_parameters(name))


def _load(network: str, parameters: dict[str, Any], options: dict[str, Any]) -> None:
    from observer.networks.formats.exchange import load_network

    load_network(network, parameters, **options)


_LOADERS = (("validation.npz", "load_validation"), ("starts.npz", "load_worst_cases"), ("certificate.json", "load_certificate"),
    ("config.toml", "load_config"), ("system.json", "load_plant"), ("trajectories.npz", "load_trajectories"))  # fmt: skip


def _part(loader: str, file: str) -> None:
    from pathlib import Path

    from observer import runs

    path = Path.cwd() / file
    getattr(runs, loader)(path.parent if loader in ("load_plant", "load_trajectories") else path)
