"""Files on disk: atomic writing, versions, hashes, and the weights of an observer.

A file is written beside its place, flushed to the disk and moved over it, so that a reader finds the old content or the
new one and never half of either. Every JSON file and the metadata of every weights file carry ``format_version``,
``package_version``, the command and the hashes of what they were made from. Nothing that is read is ever executed:
JSON, TOML, safetensors, and npz without pickles.
"""

import errno
import json
import re
import stat
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from systems.base import memory
from systems.base.arrays import read_arrays
from systems.base.atomic_files import atomic_path
from systems.base.errors import InputError
from systems.base.records import to_plain

if TYPE_CHECKING:
    from observer.state_observer import RENObserver
    from systems.discretization import DiscreteSystem

Result = TypeVar("Result")

FORMAT_VERSION = 1
_OF_JSON = 30  # bytes of memory for one of a JSON file: the list [[],[],...] at its worst


@cache
def package_version() -> str:
    """Version of the installed distribution, or ``"unknown"`` in a tree that was never installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ren-observer")
    except PackageNotFoundError:
        return "unknown"


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` in one step."""
    with atomic_path(path) as partial:
        partial.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text with its line ends as they are."""
    write_bytes(path, content.encode())


def write_json(
    path: Path,
    content: Mapping[str, Any],
    *,
    command: str = "",
    hashes: Mapping[str, str] | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> None:
    """Write ``content`` behind the common header; arrays become lists, and numbers that are not finite become null.

    ``hashes`` and ``recipe``: what it was made from.
    """
    header = {"format_version": FORMAT_VERSION, "package_version": package_version()}
    if command:
        header["command"] = command
    origins = {name: dict(value) for name, value in (("recipe", recipe), ("hashes", hashes)) if value}
    document = to_plain({**header, **content, **origins})
    document["checksum"] = _checksum(document)
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def _checksum(document: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON document however it is laid out, without the checksum itself."""
    rest = {key: value for key, value in document.items() if key != "checksum"}
    return sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def read_json(path: Path, *, changed: bool = False) -> dict[str, Any]:
    """The content of a JSON file of a run. Raises InputError that names a file that is missing, damaged or newer.

    ``changed``: accept a document that does not match its checksum. Files of early versions have none.
    """

    def parse() -> tuple[dict[str, Any], bool]:
        memory.require(_OF_JSON * Path(path).stat().st_size, f"{path}", "a file of a run is never so large: restore it")
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise ValueError(f"it holds a {type(document).__name__} instead of an object")
        return document, document.pop("checksum", None) in (None, _checksum(document))

    document, whole = guarded(path, parse)
    check_version(path, document.get("format_version"), document.get("package_version"))
    if not (whole or changed):
        raise InputError(
            f"{path}: its content does not match its checksum, so it is damaged or was changed by hand; "
            "restore it, or repeat the step that writes it"
        )
    return document


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an npz file; pickled objects are refused. Raises InputError that names the file."""

    arrays = guarded(path, lambda: read_arrays(path))
    version = arrays.get("format_version")
    if version is not None:
        check_version(path, version.item() if version.size == 1 else version.tolist(), None)
    return arrays


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as a compressed npz file in one step."""
    with atomic_path(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **{name: np.asarray(array) for name, array in arrays.items()})  # type: ignore[arg-type]


def guarded(path: Path, read: Callable[[], Result]) -> Result:
    """``read()``, with whatever a damaged file makes it raise turned into one InputError that names the file."""
    path = Path(path)
    try:
        return read()
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no such file; the run may be unfinished, so repeat the step that writes it"
        ) from error
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # a damaged zip alone fails in a dozen ways
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if isinstance(error, KeyError):
            reason = f"it has no {reason}"
        raise InputError(
            f"{path}: cannot be read ({reason}); the file is damaged or not ours, so make it again"
        ) from error


def check_version(path: Path, version: Any, written_by: Any) -> None:
    """Refuse a file whose format is newer than this program, or that states no format at all."""
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InputError(f"{path}: format_version is {version!r}; expected a whole number from 1 to {FORMAT_VERSION}")
    if version > FORMAT_VERSION:
        origin = f" by ren-observer {written_by}" if written_by else ""
        raise InputError(
            f"{path}: written{origin} in format version {version}; this program reads versions up to {FORMAT_VERSION}, "
            f"so upgrade ren-observer (this is {package_version()})"
        )


def file_hash(path: Path) -> str:
    """SHA-256 of the content of a file, as 64 hexadecimal digits.

    Raises OSError for what cannot be read, and for a pipe or a device, which might never end.
    """
    digest, path = sha256(), Path(path)
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "is no regular file; expected one that can be read to its end", str(path))
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def save_observer(path: Path, observer: "RENObserver", *, command: str = "") -> None:
    """Write the weights of an observer as safetensors; names, scaling and versions go into its metadata as JSON."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in observer.to_arrays().items()}
    header = {
        "format_version": str(FORMAT_VERSION),
        "package_version": package_version(),
        "command": command,
        "system": observer.system.fingerprint,
        "meta": json.dumps(to_plain(observer.meta()), allow_nan=False),
    }
    write_bytes(path, _in_order(save(arrays, metadata=header)))


def _in_order(content: bytes) -> bytes:
    """The same safetensors file with a sorted header: as it comes, its order is that of a hash table, another one in each process."""
    length = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def load_observer(path: Path, plant: "DiscreteSystem") -> "RENObserver":
    """Read the weights that ``save_observer`` wrote for ``plant``.

    Raises InputError when the file is missing, damaged, newer than this program, or belongs to another plant.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)

    def parse() -> tuple[dict[str, str], dict[str, np.ndarray]]:
        if not path.is_file():
            raise FileNotFoundError(path)
        try:
            with safe_open(path, framework="numpy") as archive:
                return archive.metadata() or {}, {name: archive.get_tensor(name) for name in archive.keys()}
        except SafetensorError as error:
            raise ValueError(str(error)) from error

    header, arrays = guarded(path, parse)
    stated = header.get("format_version", "")
    check_version(path, int(stated) if re.fullmatch("[0-9]{1,9}", stated) else stated, header.get("package_version"))
    if header.get("system") != plant.system.fingerprint:
        raise InputError(
            f"{path}: these weights were fitted to another plant than '{plant.system.name}' as it is described here; "
            "fit again, or restore the system.json they came with"
        )

    def build() -> "RENObserver":
        from observer.state_observer import RENObserver

        return RENObserver.from_arrays(arrays, json.loads(header["meta"]), plant)

    return guarded(path, build)
