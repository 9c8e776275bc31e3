"""What a child does besides answering: an audit hook that writes down files opened for writing elsewhere, programs and sockets."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.fuzz.values import CANARY

_RUNS = {
    "os.system",
    "subprocess.Popen",
    "os.exec",
    "os.posix_spawn",
    "os.startfile",
    "pty.spawn",
    "socket.connect",
    "ctypes.dlopen",
}
_CHANGES = {
    "os.remove": 1,
    "os.rename": 2,
    "os.mkdir": 1,
    "os.rmdir": 1,
    "os.truncate": 1,
    "os.symlink": 2,
    "os.link": 2,
    "os.chmod": 1,
    "shutil.rmtree": 1,
}
_CALLED = {"system", "popen", "eval", "exec", "Popen", "call", "run", "__import__"}


def watch(folder: Path, allowed: tuple[str, ...], log: int) -> None:
    """From now on, write a line of JSON to the descriptor ``log`` for each thing that no data may bring about."""
    inside = (
        os.path.realpath(folder) + os.sep,
        *(os.path.realpath(place) + os.sep for place in allowed),
        "/dev/",
        "/proc/self/",
    )
    busy = False

    def tell(kind: str, what: Any) -> None:
        os.write(log, (json.dumps([kind, repr(what)[:300]]) + "\n").encode())

    def elsewhere(path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        return not (os.path.realpath(os.fsdecode(path)) + os.sep).startswith(inside)

    def names_elsewhere(path: Any) -> bool:
        """Of a change to a name, which leaves what a link points to alone."""
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        folder, name = os.path.split(os.fsdecode(path))
        return not os.path.join(os.path.realpath(folder), name, "").startswith(inside)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal busy
        if busy:
            return
        busy = True
        try:
            if event == "open":
                path, _, flags = arguments
                if (
                    isinstance(flags, int)
                    and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
                    and elsewhere(path)
                ):
                    tell("writes", path)
            elif event in _CHANGES:
                for path in arguments[: _CHANGES[event]]:
                    if names_elsewhere(path) and not (event == "os.symlink" and path is arguments[0]):
                        tell("writes", (event, path))
            elif event in _RUNS:
                if not (event == "ctypes.dlopen" and CANARY not in repr(arguments)):
                    tell("runs", (event, *arguments))
            elif event == "pickle.find_class" and arguments[1] in _CALLED:
                tell("runs", (event, *arguments))
            elif (
                event == "compile"
                and CANARY in str(arguments[0])[:2_000_000]
                and not str(arguments[1]).lower().endswith(".py")
            ):
                tell("runs", (event, str(arguments[0])[:200]))
        except (OSError, ValueError):
            pass
        finally:
            busy = False

    sys.addaudithook(hook)
