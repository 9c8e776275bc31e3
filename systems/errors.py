"""The three ways in which this application says no. Each text says what was got, what was expected and what to do."""


class InputError(ValueError):
    """Something a person gave cannot be used: a file, a signal, an option. The command line answers with exit code 2."""


class SimulationError(InputError, ArithmeticError):
    """A simulation became non-finite, broke a limit of a signal, or left ten times its range."""


class NotDetectable(ValueError):
    """The plant is well formed, but no observer of the requested kind exists at the requested rate (exit code 1)."""
