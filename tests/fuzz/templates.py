"""Finished runs for inputs to read and to damage, made once in the server, which so has loaded all that a command needs."""

import contextlib
import io
import os
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.plants import DRIVEN_SPRING

_SMALL = "--trajectories 4 --duration 3 --neurons 2 --iterations 4 --trials 3 --worst-trials 20 --quiet".split()
_MODULES = (
    "pandas", "pyarrow", "pyarrow.parquet", "h5py", "msgpack", "bson", "casadi", "torch", "scipy.integrate", "scipy.optimize", "typer",
    "rich.console", "jinja2", "observer", "reports", "systems.library", "observer.networks.formats.exchange", "observer.estimators",
    "experiments.compare.run", "experiments.compare.page", "experiments.registry",
)  # fmt: skip


def command(*words: Any) -> int:
    """A command in this process, without its output."""
    from experiments.cli.app import app

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            app([str(word) for word in words], prog_name="observer")
        except SystemExit as ended:
            assert ended.code in (0, 1), f"{words}: {said.getvalue()}"
            return int(ended.code or 0)
    return 0


def make_templates(folder: Path) -> tuple[str, ...]:
    """Make the runs ``run`` and ``other`` (finished), ``data`` (only simulated), and ``log.csv``; returns the folders of caches."""
    import matplotlib
    import torch

    import reports.writing
    from systems.compilation import cache_folder

    for name in _MODULES:
        import_module(name)
    torch.set_num_threads(1)
    reports.writing.pictures = lambda run: []  # they take seconds, and have their own tests
    plant = folder / "spring.toml"
    plant.write_text(DRIVEN_SPRING)
    for name, seed in (("data", 0), ("run", 0), ("other", 1)):
        command("simulate", plant, "--out", folder / name, *_SMALL, "--seed", seed)
    command("fit", folder / "other", "--quiet")
    command("fit", folder / "run", "--quiet")
    command("certify", folder / "run", "--budget", "1s", "--quiet")
    command("run", plant, "--out", folder / "run", *_SMALL)  # what is left
    t = [0.1 * k for k in range(30)]
    (folder / "log.csv").write_text("t,u,y\n" + "".join(f"{now:.1f},0.1,{0.5 - 0.01 * now:.3f}\n" for now in t))
    command("estimate", folder / "run", folder / "log.csv", "-o", folder / "estimates.csv")
    os.environ["REN_OBSERVER_CACHE"] = str(cache_folder().parent)  # also for those who are at home elsewhere
    return str(cache_folder().parent), matplotlib.get_cachedir(), matplotlib.get_configdir()
