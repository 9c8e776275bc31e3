"""``python -m experiments.cli`` is the command ``observer``."""

from experiments.cli import main

main()
