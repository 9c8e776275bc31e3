"""Logs as HDF5: every kind of object in place of a column, claims of sizes, and references to other files."""

import io
from contextlib import suppress
from typing import Any

import numpy as np

from tests.fuzz.array_values import broken, retyped
from tests.fuzz.case import Dice
from tests.fuzz.columns import Columns


def content(dice: Dice, columns: Columns) -> tuple[bytes, str]:
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
    name = dice.among("t q u y other")
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

    link = dice.choice((h5py.SoftLink("/t"), h5py.SoftLink("/nowhere"), h5py.SoftLink("/y"), h5py.ExternalLink("other.h5", "/t"),
        h5py.ExternalLink("/etc/passwd", "/"), h5py.ExternalLink("log.h5", "/")))  # fmt: skip
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
        lambda name: place.create_dataset(name, data=np.arange(30), dtype=dice.among(">f8 f2 u1 ? c16")),
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
