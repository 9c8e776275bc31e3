"""One hostile input: the files in its folder, the command that is given them, and the dice that made it.

A generator is a function ``make(dice) -> Case`` that writes what it needs into ``dice.folder``, the working folder of the command.
The same (entry, seed, index) gives the same input always, so that one of them can be repeated by a printed command.
"""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Case:
    """What is run in the folder, and what must hold afterwards.

    words : the command line behind ``observer``. note : what is hostile about the input. call : instead of a command, a
    function of the library that is given nothing. inputs : files that must stay as they are. streams, limits, meanwhile : a
    fault of :mod:`tests.fuzz.conditions`. environment : variables; None removes one. theirs : a script that ends or ruins the
    process by its own will, so that exit code and streams are its own too. much : so much is asked for that the work may
    last. forged : a run that is not what it was made as, so that no verification may call it certified. signals : one is sent.
    """

    words: list[str]
    note: str
    call: Callable[[], Any] | None = None
    inputs: tuple[str, ...] = ()
    streams: str = ""
    limits: str = ""
    meanwhile: Callable[[int], None] | None = None
    environment: dict[str, str | None] = field(default_factory=dict)
    theirs: bool = False
    much: bool = False
    forged: bool = False
    signals: bool = False


class Dice(random.Random):
    """Random choices of one input, its folder, a folder beside it that nothing may touch, and the template runs."""

    def __init__(self, entry: str, seed: int, index: int, folder: Path, templates: Path) -> None:
        super().__init__(f"{entry}:{seed}:{index}")
        self.folder, self.templates = folder, templates
        self.outside = folder.parent / "outside"

    def __new__(cls, *_: Any) -> "Dice":
        return super().__new__(cls)

    def one(self, *items: Any) -> Any:
        """One of the items, worked out if it is a function without arguments."""
        item = self.choice(items)
        return item() if callable(item) else item

    def among(self, texts: str, between: str | None = None) -> str:
        """One of these texts, which blanks (or ``between``) separate."""
        return self.choice(texts.split(between))

    def chance(self, share: float) -> bool:
        """True in this share of the cases."""
        return self.random() < share

    def write(self, name: str, content: str | bytes) -> str:
        """A file in the folder; returns its name."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
        return name

    def run(self, template: str = "run", name: str = "r") -> str:
        """A copy of a finished run; returns its name."""
        shutil.copytree(self.templates / template, self.folder / name)
        return name
