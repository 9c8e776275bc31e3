"""The house: floors, circles, sizes and public names, read from the source without importing it."""

import ast
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

ROOT = Path(__file__).parents[1]
ROOMS = ("systems", "observer", "reports", "experiments")
LONGEST_FILE, LONGEST_FUNCTION = 500, 80  # lines
#: words that are not used any more, as parts of public names (DESIGN, Words)
OLD_WORDS = {
    "oracle", "headroom", "hidden", "unseen", "quiet", "loud", "promise", "promised", "claim", "claims", "knob", "knobs",
    "epoch", "epochs", "teacher", "teachers", "told", "taught", "teller", "stress",
}  # fmt: skip
#: exceptions: what the word is here
ALLOWED_NAMES = {"hidden_layers": "of a feedforward network"}


def _none(faults: Iterable[object]) -> None:
    """Fail with one fault in each line; pytest shortens everything else."""
    texts = sorted(map(str, faults))
    assert not texts, "\n" + "\n".join(texts)


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_name(path): path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))}
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in FILES.items()}
STUBS = {
    _name(path): ast.parse(path.read_text(encoding="utf-8"))
    for room in ROOMS
    for path in sorted((ROOT / room).rglob("__init__.pyi"))
}


def _absolute(module: str, node: ast.ImportFrom) -> str:
    """The module that a ``from ... import`` in ``module`` names."""
    if not node.level:
        return node.module or ""
    package = module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]
    for _ in range(node.level - 1):
        package = package.rpartition(".")[0]
    return f"{package}.{node.module}" if node.module else package


@cache
def _origin(module: str, name: str) -> tuple[str, str]:
    """Where ``module.name`` is defined: through stubs and ``__init__`` files to (module, name there)."""
    if f"{module}.{name}" in FILES:
        return f"{module}.{name}", ""
    if module in FILES and FILES[module].name == "__init__.py":
        for node in (STUBS.get(module) or TREES[module]).body:
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        return _origin(_absolute(module, node), alias.name)
    return module, name


def _imports(module: str, tree: ast.AST) -> Iterator[str]:
    """Product modules that a file imports, at its head or inside functions, by lazy names or by a dotted text."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from _imports(module, other)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (_origin(_absolute(module, node), alias.name)[0] for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            yield node.value
        yield from _imports(module, node)


ARROWS = {
    module: {other for other in _imports(module, tree) if other in FILES and other != module}
    for module, tree in TREES.items()
}


def test_no_circle_of_imports():
    names = list(FILES)
    place = {name: k for k, name in enumerate(names)}
    pairs = np.array([(place[one], place[other]) for one, others in ARROWS.items() for other in others])
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(names), len(names)))
    count, label = connected_components(graph, connection="strong")
    circles = [[names[k] for k in np.flatnonzero(label == c)] for c in range(count) if (label == c).sum() > 1]
    _none(circles)


def test_a_circle_through_a_lazy_import_is_seen():
    lazy = "def f():\n    from systems import simulate\n    if TYPE_CHECKING:\n        import systems.files"
    assert set(_imports("systems.signals", ast.parse(lazy))) == {"systems.trajectories"}


def _floors() -> Iterator[tuple[str, list[list[str]]]]:
    """(container, floors from the highest down) of the contracts in pyproject.toml."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for contract in settings["tool"]["importlinter"]["contracts"]:
        if contract["type"] == "layers":
            layers = [[room.strip(" ()") for room in layer.split(":")] for layer in contract["layers"]]
            for container in contract.get("containers", [""]):
                yield container, layers


@pytest.mark.parametrize(("container", "floors"), [pytest.param(*item, id=item[0] or "top") for item in _floors()])
def test_no_arrow_up(container, floors):
    prefix = f"{container}." if container else ""
    floor = {prefix + room: k for k, layer in enumerate(floors) for room in layer}

    def room(module: str) -> str:
        return prefix + module.removeprefix(prefix).split(".")[0]

    up = []
    for one, others in ARROWS.items():
        for other in others:
            if one.startswith(prefix) and other.startswith(prefix) and {room(one), room(other)} <= set(floor):
                if room(one) != room(other) and floor[room(one)] >= floor[room(other)]:
                    up.append(f"{one} -> {other}")
    _none(up)


def test_files_have_one_room():
    lengths = {module: path.read_text(encoding="utf-8").count("\n") for module, path in FILES.items()}
    _none(f"{module}: {n} lines" for module, n in lengths.items() if n > LONGEST_FILE)


def test_functions_are_read_in_one_look():
    long = []
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                first = node.body[0]
                text = ast.get_docstring(node) is not None and (first.end_lineno or 0) - first.lineno + 1
                lines = (node.end_lineno or 0) - node.lineno + 1 - text
                if lines > LONGEST_FUNCTION:
                    long.append(f"{module}.{node.name}: {lines} lines")
    _none(long)


def _public(module: str) -> Iterator[str]:
    """Names that a package shows: those of its stub, or of ``__all__``."""
    if module in STUBS:
        for node in STUBS[module].body:
            if isinstance(node, ast.ImportFrom):
                yield from (alias.asname or alias.name for alias in node.names)
        return
    for node in TREES[module].body:
        if (
            isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == "__all__"
            and isinstance(node.value, ast.List)
        ):
            yield from (ast.literal_eval(item) for item in node.value.elts)


def _public_names() -> dict[str, set[tuple[str, str]]]:
    places = defaultdict(set)
    for module, path in FILES.items():
        if path.name == "__init__.py":
            for name in _public(module):
                places[name].add(_origin(module, name))
    return places


def _classes() -> dict[str, set[str]]:
    places = defaultdict(set)
    for module, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].add(module)
    return places


def test_one_public_name_means_one_thing():
    twice = {
        name: sorted(".".join(o) for o in origins) for name, origins in _public_names().items() if len(origins) > 1
    }
    _none(f"{name}: {', '.join(places)}" for name, places in twice.items())


def test_one_class_name_means_one_thing():
    twice = {name: sorted(modules) for name, modules in _classes().items() if len(modules) > 1}
    _none(f"{name}: {', '.join(places)}" for name, places in twice.items())


def _words(name: str) -> set[str]:
    spaced = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
    return set(spaced.split("_"))


def test_public_names_use_the_words_of_the_field():
    named = set(FILES) | {f"{name}" for name in _public_names()} | set(_classes())
    for module, tree in TREES.items():
        named |= {
            f"{module}.{node.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and node.name[0] != "_"
        }
    old = sorted(
        n for n in named if _words(n.rpartition(".")[2]) & OLD_WORDS and n.rpartition(".")[2] not in ALLOWED_NAMES
    )
    _none(old)
