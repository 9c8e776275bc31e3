"""One process at a time changes a folder: a lock of the operating system on a file in it, with the owner written into it.

The system lets go of the lock when its process ends, however it ends: what a killed one leaves is taken over. Readers never look
at it.
"""

import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from observer.storage import read_json, write_json
from systems.base.errors import InputError
from systems.base.output_places import FOLDER, check_folder, is_ours, is_run, refuse_links

if TYPE_CHECKING:
    from filelock import AcquireReturnProxy, BaseFileLock, FileLock

LOCK, FIGURES = ".observer.lock", "figures"
_TRIES = 20  # another process may remove the folder that it made in vain, or its lock, between two of our calls
_NETWORK = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs", "fuse.", "virtiofs")


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Hold the lock of ``folder``, which is made when it does not exist, and removed again when nothing was put into it.

    Raises InputError, at once and with the owner, while another process holds it or that of a folder above, and for a
    ``folder`` that cannot be one.
    """
    folder = Path(folder)
    check_folder(folder)
    refuse_links(folder / FIGURES / "any")
    made: list[Path] = []
    try:
        with _acquired(folder, made) as lock:
            _refuse_another_host(folder)
            if not _by_existence(lock):
                with suppress(OSError):  # a full disk is told by what is written next
                    (folder / LOCK).write_text(json.dumps(_owner()), encoding="utf-8")
            try:
                _refuse_others_above(folder)
                for place in (folder, folder / FIGURES):
                    _remove_partial(place)
                yield
            finally:
                if not _by_existence(lock):
                    with suppress(OSError):  # before it is released: nobody else holds it yet
                        (folder / LOCK).unlink()
    finally:
        for item in reversed(made):
            with suppress(OSError):  # not empty: it is the result
                item.rmdir()


@contextmanager
def kept_folder(folder: Path, holds: str) -> Iterator[None]:
    """As :func:`working_in`, for the folder of an experiment or a comparison: new, empty, or begun by this program.

    ``holds``: what it is the folder of, which is noted in ``folder.json``.
    """
    folder = Path(folder)
    _refuse_foreign(folder, holds)
    with working_in(folder):
        _refuse_foreign(folder, holds)
        for item in folder.iterdir():
            if item.is_dir() and not is_run(item):  # a run has a lock of its own
                _remove_partial(item)
        mark = folder / FOLDER
        if not mark.exists():
            write_json(mark, {"holds": holds})
        try:
            yield
        finally:
            if {item.name for item in folder.iterdir()} <= {FOLDER, LOCK}:  # nothing came of it
                mark.unlink()


def _refuse_foreign(folder: Path, holds: str) -> None:
    check_folder(folder)
    if is_run(folder):
        raise InputError(f"{folder}: is the folder of a run, and it is kept; give another --out")
    if (folder / FOLDER).is_file():
        there = read_json(folder / FOLDER).get("holds")
        if there != holds:
            raise InputError(f"{folder}: is the folder of the {there}, and it is kept; give another --out")
    names = [item for item in folder.iterdir() if not item.name.startswith(".")] if folder.is_dir() else []
    if names and not any(item.suffix == ".json" and is_ours(item) for item in names):
        raise InputError(f"{folder}: holds other files; give a folder that is new, empty, or that of the same command")


def _acquired(folder: Path, made: list[Path]) -> "AcquireReturnProxy[FileLock]":
    """The lock, held; left as a context. Raises InputError where another process holds it."""
    from filelock import FileLock, Timeout

    path = folder / LOCK
    for _ in range(_TRIES):
        _make(folder, made)
        if path.is_symlink():
            raise InputError(f"{path}: is a link; remove it")
        lock = FileLock(path, timeout=0)
        try:
            return lock.acquire()
        except Timeout:
            if path.exists():
                raise _refusal(folder) from None
        except FileNotFoundError:
            pass
        except OSError as error:  # by the name that a person gave
            raise OSError(error.errno, error.strerror, str(path)) from error
        time.sleep(0.01)
    raise _refusal(folder)


def _remove_partial(folder: Path) -> None:
    """Remove what a process left there that was killed while it wrote: see :func:`systems.base.atomic_files.atomic_path`."""
    if not folder.is_symlink():
        for leftover in folder.glob(".*.????????.partial*"):
            leftover.unlink(missing_ok=True)


def _by_existence(lock: "BaseFileLock") -> bool:
    """True on a file system without locks, where filelock keeps its own record of the owner in the file."""
    return isinstance(getattr(lock, "pid", None), int)


def _make(folder: Path, made: list[Path]) -> None:
    """Make the folder with those above it, and note in ``made`` which were not there."""
    for item in (*reversed(folder.parents), folder):
        try:
            item.mkdir()
        except FileExistsError:
            continue
        except OSError:
            if item.is_dir():  # a root that is read-only
                continue
            raise
        if item not in made:
            made.append(item)


def _owner() -> dict[str, Any]:
    return {
        "pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "command": shlex.join(["observer", *sys.argv[1:]]),
    }  # fmt: skip


def _stated(folder: Path) -> dict[str, Any]:
    """What the owner wrote; empty where it was not quick enough, or was killed meanwhile."""
    try:
        found = json.loads((folder / LOCK).read_text(encoding="utf-8"))
        return {name: found[name] for name in _owner()}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _described(owner: dict[str, Any]) -> str:
    if not owner:
        return "another process"
    return f"process {owner['pid']} on {owner['host']} since {owner['since']} ({owner['command']})"


def _refusal(folder: Path) -> InputError:
    owner = {}
    for _ in range(_TRIES):
        owner = _stated(folder)
        if owner or not (folder / LOCK).exists():
            break
        time.sleep(0.01)
    return InputError(f"{folder}: {_described(owner)} is at work in it; wait until it has finished, or stop it")


def _refuse_another_host(folder: Path) -> None:
    """Raise InputError for what a process of another host left on a network file system, where its lock may not be seen here."""
    owner = _stated(folder)
    if owner and owner["host"] != socket.gethostname() and _on_network(folder):
        raise InputError(
            f"{folder}: {_described(owner)} left its lock, and from here nobody can see whether it still works; "
            f"if it does not, remove {folder / LOCK}"
        )


def _refuse_others_above(folder: Path) -> None:
    """Raise InputError while another process works in a folder above, as an experiment does with its variants."""
    from filelock import FileLock, Timeout

    for above in Path(os.path.realpath(folder)).parents:
        if not (above / LOCK).is_file() or _stated(above).get("pid") == os.getpid():
            continue
        try:
            with FileLock(above / LOCK, timeout=0):
                pass
        except Timeout:
            raise _refusal(above) from None
        except OSError:  # not ours to open
            continue


def _on_network(folder: Path) -> bool:
    """True where the file system of ``folder`` is one that other hosts share."""
    import psutil

    place = Path(os.path.realpath(folder))
    try:
        mounts = {Path(item.mountpoint): item.fstype for item in psutil.disk_partitions(all=True)}
    except OSError:  # nothing is known
        return True
    nearest = next((mounts[item] for item in (place, *place.parents) if item in mounts), "")
    return nearest.startswith(_NETWORK)
