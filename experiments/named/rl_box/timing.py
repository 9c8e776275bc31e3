"""What it costs to build the explicit weights at every call: one update of the controller, both ways."""

import time
from collections.abc import Callable
from typing import Any

import torch

from experiments.named.rl_box.control import lbdn, references, simulate


def times(width: int, batch: int, steps: int, seconds: float, seed: int = 0) -> dict[str, Any]:
    """Seconds of one update (simulation, cost and gradients) with the weights built once and at every call; their ratio.

    Processor time, which other work on the machine touches least; the least of as many repetitions as fit into ``seconds``
    for each, two at least where one takes less than five seconds.
    """
    network, r = lbdn(width, seed), references(batch, seed)
    parameters = list(network.parameters())

    def update(control: Callable[[], Any]) -> None:
        torch.autograd.grad(simulate(control(), r, steps).cost(r), parameters)

    built_once = _least(lambda: update(network.explicit), seconds)
    built_always = _least(lambda: update(lambda: network), seconds)
    return {"width": width, "once": built_once, "always": built_always, "ratio": built_always / built_once}


def _least(job: Callable[[], None], seconds: float) -> float:
    found: list[float] = []
    end = time.process_time() + seconds
    while not found or (time.process_time() < end or (len(found) < 2 and found[0] < 5.0)):
        start = time.process_time()
        job()
        found.append(time.process_time() - start)
    return min(found)
