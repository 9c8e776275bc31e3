"""The errors of this application. Each message states what was got, what was expected and what to do."""

from typing import Any


class InputError(ValueError):
    """Something a person gave cannot be used: a file, a signal, an option. The command line answers with exit code 2."""


class SimulationError(InputError, ArithmeticError):
    """A simulation became non-finite, broke a limit of a signal, or left ten times its range."""


class RunawayError(SimulationError):
    """A motion grows without bound, or so fast that no integrator follows it: the plant itself, not the integrator."""


class NotDetectable(ValueError):
    """The plant is well formed, but no observer of the requested kind exists at the requested rate (exit code 1).

    The numbers of the message are attributes: ``requested_rate`` per sample (None: no rate was required), ``fastest_rate``
    found and its ``settling_time`` in seconds (infinite where errors do not shrink), the undetectable ``direction`` ``(nx,)`` in parts
    of each half range and ``where`` ``(nx + nu,)`` in physical units, ``residual_bound`` (a
    :class:`systems.detectability.ResidualLowerBound`, or None where no pair of states contradicts the rate) and ``trade_off``
    (a :class:`systems.detectability.TradeOff`).
    """

    def __init__(
        self,
        message: str,
        *,
        requested_rate: float | None = None,
        fastest_rate: float | None = None,
        settling_time: float | None = None,
        direction: Any = None,
        where: Any = None,
        residual_bound: Any = None,
        trade_off: Any = None,
    ) -> None:
        super().__init__(message)
        self.requested_rate, self.fastest_rate, self.settling_time = requested_rate, fastest_rate, settling_time
        self.direction, self.where = direction, where
        self.residual_bound, self.trade_off = residual_bound, trade_off
