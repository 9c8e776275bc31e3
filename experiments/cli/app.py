"""The command ``observer``. Imports nothing heavy: each command loads what it needs when it runs.

Exit codes: 0 done and the verdict is pass; 1 done and the verdict is fail, or no such observer exists; 2 bad input;
3 a fault of the application; 130, 143 and 129 stopped by Ctrl-C, SIGTERM and the end of the terminal, with what was
finished kept. Whoever reads the results may leave early; results that cannot be written are 2.
"""

import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.main import get_command

from experiments.cli import calibrate, compare, experiment, logs, noise, plant, run
from experiments.pipeline.console import answer, show


class Commands(TyperGroup):
    """All commands; whatever one of them raises becomes one message and an exit code."""

    def main(self, args: Sequence[str] | None = None, *_: Any, **__: Any) -> NoReturn:
        """Carry out a command line and exit."""
        words = list(sys.argv[1:] if args is None else args)
        sys.exit(answer(lambda: self._carry_out(words or ["--help"])))

    def _carry_out(self, words: list[str]) -> int:
        try:
            with self.make_context("observer", words) as context:
                return self.invoke(context)
        except typer.Exit as done:  # --help and --version
            return done.exit_code


app = typer.Typer(
    name="observer",
    cls=Commands,
    help="State observers that converge by construction, from your ODE to a validated observer and a report.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
COMMANDS = {
    "list": plant.list_,
    "new": plant.new,
    "check": plant.check,
    "calibrate": calibrate.calibrate,
    "simulate": plant.simulate,
    "fit": run.fit,
    "certify": run.certify,
    "validate": run.validate,
    "report": run.report,
    "verify": run.verify,
    "run": run.run,
    "experiment": experiment.experiment,
    "fine-tune": noise.fine_tune,
    "compare": compare.compare,
    "estimate": logs.estimate,
    "export": logs.export,
}
for name, command in COMMANDS.items():
    app.command(name)(command)


def _version(asked: bool) -> None:
    if asked:
        from observer.storage import package_version

        show(f"observer {package_version()}")
        raise typer.Exit()


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def begin() -> None:
    """Carry out the command line of this process and exit. (``app()`` would put typer's own hook for exceptions in place.)"""
    get_command(app)()
