"""Where may be written: not over what is read or belongs to others, not into a run from outside, not through a link in one.

A *kept folder* is one that this program made and goes on with: a run, an experiment or a comparison. It is known by a JSON
file of ours at its top.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from systems.base.errors import InputError

#: The JSON files by which a kept folder is known, and how each of ours begins.
SYSTEM, FOLDER = "system.json", "folder.json"
MARKS = (SYSTEM, FOLDER, "fit.json", "certificate.json")
_HEADER = b'"format_version"'


def is_kept(folder: Path) -> bool:
    """True for the folder of a run, an experiment or a comparison."""
    return any(is_ours(folder / name) for name in MARKS)


def is_run(folder: Path) -> bool:
    """True for the folder of a run."""
    return is_ours(folder / SYSTEM)


def is_ours(path: Path) -> bool:
    """True for a JSON file that this program wrote."""
    try:
        if not path.is_file():  # a pipe of that name would block
            return False
        with path.open("rb") as file:
            return _HEADER in file.read(64)
    except OSError:
        return False


def refuse_links(path: Path) -> None:
    """Raise InputError where the way to ``path`` leads through a link inside a kept folder."""
    for folder in Path(path).absolute().parents:
        if folder.is_symlink() and is_kept(folder.parent):
            raise InputError(
                f"{folder}: is a link to {os.readlink(folder)}, and nothing is written through a link in a run folder; "
                "put a real folder in its place"
            )


def check_files(paths: Iterable[Path], *, reads: Iterable[Path] = (), force: bool = False) -> None:
    """Raise InputError unless each of ``paths`` may be written: all are looked at before the first is.

    Parameters
    ----------
    reads : what the command reads, files and folders.
    force : replace files that exist. What is read, and what lies in a run folder, is refused all the same.
    """
    read = [Path(item) for item in reads]
    for path in map(Path, paths):
        check_parents(path)
        if path.is_dir():
            raise InputError(f"{path}: is a folder; expected the name of a file")
        kept = next((folder for folder in _real(path).parents if is_kept(folder)), None)
        if kept is not None:
            raise InputError(
                f"{path}: lies in {kept}, the folder of a run, and only its own steps write there; give another place"
            )
        for source in read:
            if _same(path, source) or _inside(path, source) is not None:
                raise InputError(f"{path}: is read from by this command, so it is not written to; give another name")
        if not force and os.path.lexists(path):
            raise InputError(f"{path}: exists already; give another name, or add --force to replace it")


def check_folder(folder: Path) -> None:
    """Raise InputError unless ``folder`` is one, or can be made: no file, no dangling link, not inside a run."""
    folder = Path(folder)
    if folder.is_symlink() and not folder.exists():
        raise InputError(
            f"{folder}: is a link to {os.readlink(folder)}, which does not exist; remove the link, or make that folder"
        )
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a folder")
    check_parents(folder)
    refuse_links(folder / "any")
    run = next((parent for parent in _real(folder).parents if is_run(parent)), None)
    if run is not None:
        raise InputError(
            f"{folder}: lies in {run}, the folder of a run, and only its own steps write there; give another place"
        )


def check_parents(path: Path) -> None:
    """Raise InputError where what should be a folder on the way to ``path`` is a file or a link to nothing."""
    for parent in Path(path).parents:
        if os.path.lexists(parent):
            if not parent.exists():
                raise InputError(
                    f"{path}: {parent} is a link to {os.readlink(parent)}, which does not exist; make that folder first"
                )
            if not parent.is_dir():
                raise InputError(f"{path}: {parent} is a file; give another place")
            return


def refuse_emptying(folder: Path, reads: Iterable[Path]) -> None:
    """Raise InputError where one of ``reads`` lies in a ``folder`` whose old content is about to be removed."""
    for source in map(Path, reads):
        if not source.exists():
            continue
        if _same(folder, source) or _inside(source, folder) is not None:
            raise InputError(
                f"{source}: lies in {folder}, which begins anew, so it would be lost; copy it elsewhere first"
            )


def _inside(path: Path, folder: Path) -> Path | None:
    """The folder on the way to ``path`` that is ``folder``, or a file in ``folder`` that is ``path`` under another name."""
    if not folder.is_dir():
        return None
    above = next((parent for parent in _real(path).parents if _same(parent, folder)), None)
    if above is None and path.exists():
        above = next((item for item in folder.rglob("*") if item.is_file() and _same(item, path)), None)
    return above


def _same(one: Path, other: Path) -> bool:
    """True when both names are of one file or folder: links, hard links and letter case of the file system included."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return _real(one) == _real(other)


def _real(path: Path) -> Path:
    """The path behind all links; unlike ``resolve`` it has an answer for a link to itself."""
    return Path(os.path.realpath(path))
