"""Plants for which no observer of this kind exists: refused before training, with the reason and its numbers.

    reverse_duffing     x1' = x2^3, x2' = -x1, y = x1: to first order nothing is seen of x2 where x2 = 0
    van_der_pol_y2      Van der Pol with y = x2: the sign of 1 + 2 mu x1 x2 changes inside the region
    chain_at_a_node     three equal masses between walls, no friction, the middle one measured: one mode has its node there

The entry is the time to the refusal; the row holds when ``fit`` raises NotDetectable before any training and names the
fastest rate and the undetectable direction.
"""

import time
from collections.abc import Callable
from functools import partial

from experiments.named.published_tables.rows import Entry, Measurement, ProtocolSize, Row
from systems import Signal, System, discretize, reverse_duffing, simulate, van_der_pol
from systems.base.errors import NotDetectable


def van_der_pol_second_state() -> System:
    """The library's Van der Pol oscillator with its second state measured."""
    system = van_der_pol()
    return System(
        name="van_der_pol_y2",
        description="Van der Pol oscillator, second state measured",
        states=system.states, inputs=system.inputs, outputs=[Signal("y", "")],
        dynamics=lambda x, u: [x[1], (1 - x[0] ** 2) * x[1] - x[0] + u[0]], output=lambda x: [x[1]],
        dt=0.05, duration=40.0,
    )  # fmt: skip


def chain_at_a_node() -> System:
    """q_i'' = q_{i-1} - 2 q_i + q_{i+1}, i = 1..3, q_0 = q_4 = 0, y = q_2: the mode (1, 0, -1) leaves q_2 at rest.

    From initial states within 0.3 the energy is at most 0.585, so that |q| <= sqrt(2 * 0.585 / (2 - sqrt(2))) = 1.42 for all times.
    """
    names = [f"q{i}" for i in (1, 2, 3)] + [f"v{i}" for i in (1, 2, 3)]
    return System(
        name="chain_at_a_node",
        description="Three equal masses between walls without friction, the middle one measured",
        states=[Signal(name, "", (-1.5, 1.5), initial=(-0.3, 0.3)) for name in names],
        outputs=[Signal("y", "")],
        dynamics=lambda x: [
            x[3], x[4], x[5], x[1] - 2 * x[0], x[0] - 2 * x[1] + x[2], x[1] - 2 * x[2],
        ],
        output=lambda x: [x[1]],
        dt=0.05, duration=20.0,
    )  # fmt: skip


PLANTS: dict[str, tuple[Callable[[], System], str]] = {
    "reverse_duffing": (reverse_duffing, "True reverse Duffing oscillator, y = x1"),
    "van_der_pol_y2": (van_der_pol_second_state, "Van der Pol, y = x2"),
    "chain_at_a_node": (chain_at_a_node, "Undamped chain, measured at a node of one mode"),
}


def measure(name: str, seed: int, size: ProtocolSize) -> Measurement:
    """Ask for an observer with defaults and take down the refusal."""
    from observer import fit

    plant = discretize(PLANTS[name][0]())
    # At full length at every size: trajectories that are too short may never come to where nothing is seen.
    data = simulate(plant, size.trajectories or 20, seed=seed)
    trained = []
    start, clock = time.perf_counter(), time.process_time()
    try:
        fit(plant, data, neurons=3, iterations=1, seed=seed, progress=trained.append)
    except NotDetectable as refusal:
        text = str(refusal)
        seconds, processor = time.perf_counter() - start, time.process_time() - clock
        fastest = refusal.fastest_rate
        named = fastest is not None and refusal.direction is not None and not trained
        values = {"seconds": seconds, "rate": float("nan") if fastest is None else float(fastest)}
        return Measurement(values, named, text, seconds, processor, {"trained": bool(trained), "refusal": text})
    return Measurement(
        {"seconds": float("inf")}, False, "an observer was fitted where none of this kind exists",
        time.perf_counter() - start, time.process_time() - clock, {"trained": True},
    )  # fmt: skip


def _row(name: str) -> Row:
    entries = (Entry("seconds", "time to the refusal", "s"),)
    return Row(f"refused.{name}", PLANTS[name][1], entries, partial(measure, name), {}, None)


def rows() -> tuple[Row, ...]:
    """One row per plant."""
    return tuple(_row(name) for name in PLANTS)
