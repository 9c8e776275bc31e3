"""Parameters of networks under the names of other programs: honest ones, and what they become on the way."""

from typing import Any

import numpy as np

from tests.fuzz.array_values import retyped
from tests.fuzz.case import Dice
from tests.fuzz.values import word


def honest(dice: Dice) -> dict[str, Any]:
    """Honest parameters of a small network, under published names."""
    from observer.networks.feedforward.lbdn import LBDN
    from observer.networks.formats.exchange import published_parameters
    from observer.networks.ren.contracting import ContractingREN

    network = LBDN(2, [3], 2) if dice.chance(0.5) else ContractingREN(2, 3, 4, 2)
    return {name: np.array(value) for name, value in published_parameters(network).items()}


def spoiled(dice: Dice, parameters: dict[str, Any]) -> str:
    if not parameters:
        return "nothing left"
    name = dice.choice(list(parameters))
    kind = dice.among("type type lose name value add polar none")
    if kind == "type":
        parameters[name] = retyped(dice, np.asarray(parameters[name], dtype=float).reshape(-1))
    elif kind == "lose":
        del parameters[name]
    elif kind == "name":
        parameters[word(dice)[:200]] = parameters.pop(name)
    elif kind == "value":
        parameters[name] = dice.choice(
            (
                np.full(3, np.nan),
                np.full((2, 2), 1e300),
                np.array(0.0),
                np.zeros((0, 0)),
                np.full((1, 1), -1.0),
                np.array([[np.inf]]),
            )
        )
    elif kind == "add":
        parameters[
            dice.choice(
                (
                    "X",
                    "log_gamma",
                    "eps",
                    "polar",
                    "D22_free",
                    "output_map",
                    "layers_9.XY",
                    "layers_x.XY",
                    "params.X",
                    "p",
                    "XY0",
                    "a0",
                    "network.layers_0.XY",
                )
            )
        ] = dice.choice(
            (np.array(1.0), np.array(True), np.zeros((2, 2)), np.array([1e300]), np.array([-1.0]), np.zeros(3))
        )
    elif kind == "polar":
        parameters["polar"] = dice.choice((np.array(True), np.array(0.5), np.array([1.0, 2.0]), np.zeros(0)))
    return f"{kind} of {name}"
