"""A system from its name: a plant of the library, a ``.toml`` file, or a ``.py`` file; and templates to start from.

A ``.py`` file is the person's own script and is executed as such. A ``.toml`` file is only read.
"""

import contextlib
import dataclasses
import json
import os
import re
import sys
import traceback
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from types import ModuleType

from systems.base.atomic_files import atomic_path
from systems.base.errors import InputError
from systems.base.output_places import check_files
from systems.base.wording import nearest, shorten
from systems.sine_cosine import with_angles
from systems.system import System
from systems.toml_files import outline_from_toml, system_from_toml

MAX_BYTES = 1_000_000
#: kind of file -> template in ``systems/templates``
TEMPLATES = {"toml": "system.toml", "py": "system.py.txt"}
_TEMPLATE_NAME = '"my system"'
_MODULE = "observer_system_file"


def load_system(name_or_path: str | os.PathLike[str]) -> System:
    """The system with this library name, or the one described by this ``.toml`` or ``.py`` file.

    A ``.py`` file has a :class:`System`, or a function that returns one, under the name ``system``. The system's
    ``source`` is the name of the file unless the file says otherwise.

    Raises
    ------
    InputError
        No such name or file (with the nearest library name), not a ``.toml`` or ``.py`` file, not readable as UTF-8
        text, or any mistake inside, located by table and key or by line.
    """
    try:
        text = os.fspath(name_or_path)
    except TypeError:
        raise InputError(f"system is {shorten(name_or_path)}; expected a library name or the path of a file") from None
    if not isinstance(text, str) or not text.strip() or not text.isprintable():
        raise InputError(f"system is {shorten(text)}; expected a library name, or a path that ends in .toml or .py")

    from systems.library import ALL_SYSTEMS

    if text in ALL_SYSTEMS:
        return ALL_SYSTEMS[text]()
    path = Path(text)
    content = _read(path, list(ALL_SYSTEMS))
    if path.suffix.lower() == ".py":
        return with_angles(_from_python(content, path))
    return with_angles(system_from_toml(content, str(path), name=path.stem, source=path.name))


def load_outline(name_or_path: str) -> tuple[System, tuple[bool, ...]] | None:
    """A plant without equations, to be learned from logs: see :func:`systems.toml_files.outline_from_toml`.

    None for a plant that has equations, of the library or of a file. Raises as :func:`load_system` does.
    """
    path = Path(name_or_path)
    if path.suffix.lower() != ".toml" or not path.is_file():
        return None
    return outline_from_toml(_read(path, []), str(path), name=path.stem, source=path.name)


def write_template(path: str | os.PathLike[str], kind: str | None = None, *, force: bool = False) -> Path:
    """Write a commented, working system file to start from, and return its path.

    ``kind`` is ``"toml"`` or ``"py"``; taken from the ending of ``path`` when left out. ``force``: replace a file that exists.
    Raises :class:`InputError` when the file exists, cannot be written, or ends in neither ``.toml`` nor ``.py``.
    """
    path = Path(path)
    ending = path.suffix.lower().removeprefix(".")
    kind = ending if kind is None else kind
    if kind not in TEMPLATES or ending != kind:
        raise InputError(f"{path}: expected a file name that ends in {' or '.join(f'.{k}' for k in TEMPLATES)}")
    text = (resources.files("systems") / "templates" / TEMPLATES[kind]).read_text(encoding="utf-8")
    text = text.replace(_TEMPLATE_NAME, json.dumps(path.stem), 1).replace("FILE", path.name)
    try:
        check_files([path], force=force)
        with atomic_path(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: there is no folder {path.parent}; create it first") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be written: {_reason(error)}") from None
    return path


def _read(path: Path, library: list[str]) -> str:
    """The text of a system file, or the reason why there is none."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder; expected a library name, or a file that ends in .toml or .py")
        if path.suffix.lower() not in (".toml", ".py"):
            raise InputError(_not_a_system(path, library))
        if not path.exists():
            raise InputError(_missing(path, library))
        if not path.is_file():
            raise InputError(f"{path} is no regular file; expected a file that ends in .toml or .py")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} has {path.stat().st_size} bytes; expected a system file of at most {MAX_BYTES}")
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{shorten(str(path))} cannot be read: {_reason(error)}") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: this is no UTF-8 text; save the file as UTF-8") from None
    return text.replace("\r\n", "\n")


def _not_a_system(path: Path, library: list[str]) -> str:
    if path.exists():
        return f"{path} ends in '{path.suffix}'; expected a file that ends in .toml or .py"
    if re.fullmatch(r"[\w -]+", str(path)):
        name = re.sub(r"[ -]", "_", str(path))
        return f"no system in the library is called '{path}'; {nearest(name, library)} (files end in .toml or .py)"
    return f"{shorten(str(path))} is neither a file nor in the library; expected a name, or a .toml or .py file"


def _missing(path: Path, library: list[str]) -> str:
    """The file does not exist: name the most likely one that does."""
    if path.stem in library:
        return f"there is no file {path}; the library has a system '{path.stem}', written without the ending"
    folder = path.parent
    if not folder.is_dir():
        return f"there is no file {path}, nor a folder {folder}"
    others = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in (".toml", ".py"))
    return f"there is no file {path}; {nearest(path.name, [*others, *library])}"


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _from_python(text: str, path: Path) -> System:
    """Execute a person's script and take ``system`` from it. Nothing is written, not even bytecode."""
    module = ModuleType(_MODULE)
    module.__file__ = str(path)
    with _as_script(module, path):
        try:
            exec(compile(text, str(path), "exec", dont_inherit=True), module.__dict__)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a script raises what it likes
            raise InputError(_located(error, path)) from error
        system = getattr(module, "system", None)
        if callable(system):
            try:
                system = system()
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                raise InputError(_located(error, path)) from error
            if not isinstance(system, System):
                raise InputError(
                    f"{path}: system() returned {shorten(system)}; expected a System, so is a `return` missing?"
                )
    if not isinstance(system, System):
        raise InputError(f"{path}: {_no_system(module)}")
    return system if system.source else dataclasses.replace(system, source=path.name)


def _no_system(module: ModuleType) -> str:
    if hasattr(module, "system"):
        return f"system is {shorten(module.system)}; expected a System, or a function that returns one"
    others = [name for name, value in vars(module).items() if isinstance(value, System)]
    if others:
        return f"there is a System called '{others[0]}'; rename it to 'system'"
    return "there is no 'system'; expected system = System(...), or a function `def system():` that returns one"


@contextlib.contextmanager
def _as_script(module: ModuleType, path: Path) -> Iterator[None]:
    """As for ``python file.py``, modules beside the file can be imported; afterwards nothing of this is left."""
    folder, before = str(path.resolve().parent), sys.modules.get(_MODULE)
    sys.path.insert(0, folder)
    sys.modules[_MODULE] = module
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)
        sys.modules.pop(_MODULE, None)
        if before is not None:
            sys.modules[_MODULE] = before


def _located(error: BaseException, path: Path) -> str:
    """One message with the line of the person's file in which the first cause arose."""
    line = None
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, SyntaxError) and cause.filename == str(path):
            line = cause.lineno
        for frame, number in traceback.walk_tb(cause.__traceback__):
            if frame.f_code.co_filename == str(path):
                line = number
        cause = cause.__cause__
    place = f"{path}, line {line}" if line else f"{path}"
    if isinstance(error, InputError):
        return f"{place}: {error}"
    if isinstance(error, SystemExit):
        return f"{place}: the script ends the program; a system file only defines `system`"
    message = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    return f"{place}: {type(error).__name__}: {message[:300]}" if message else f"{place}: {type(error).__name__}"
