"""The command ``observer``. Imports nothing heavy: each command loads what it needs when it runs.

Exit codes: 0 done and the verdict is pass; 1 done and the verdict is fail, or no such observer exists; 2 bad input;
3 a fault of the application; 130 and 143 stopped by Ctrl-C and SIGTERM, with what was finished kept.
"""

from typing import Annotated

import typer

from experiments.cli import compare, experiment, logs, noise, plant, run

app = typer.Typer(
    name="observer",
    help="State observers that converge by construction, from your ODE to a validated observer and a report.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
COMMANDS = {
    "list": plant.list_,
    "new": plant.new,
    "check": plant.check,
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

        print(f"observer {package_version()}")
        raise typer.Exit()


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass
