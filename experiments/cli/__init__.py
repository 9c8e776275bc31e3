"""The command ``observer``: one file per group of commands. Imports nothing before it is called."""


def main() -> None:
    """Entry point of the command ``observer``."""
    from experiments.cli.app import app

    app()
