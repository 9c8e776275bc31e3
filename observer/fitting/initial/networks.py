"""Initial networks by name: the model-informed one, and poorer ones that an ablation compares it with.

``projected`` is :func:`observer.fitting.initial.linear.projected_network`. The others keep metric and rate, and are strictly certified:

    plain    the same linear observer; the neurons see the state x_hat instead of the projected one
    silent   the same linear observer; the neurons see nothing (C1 = 0, D12 = 0), and B1 = 0: a saddle of the loss
    random   every weight normal with Glorot's deviation, A, B1, C1 and D11 halved until the rate is certified
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.linalg import eigh

from observer.fitting.initial.linear import projected_network
from observer.fitting.linear_algebra import barrier
from observer.fitting.problem import Problem
from observer.networks.ren.explicit import ExplicitREN
from systems.base.errors import InputError

Certified = tuple[ExplicitREN, np.ndarray]


def initial_network(problem: Problem, number: int = 0) -> Certified:
    """The network and multipliers from which the fit of ``problem`` begins; ``number`` distinguishes the runs of a race."""
    seed = (problem.seed, 11, number)
    projected = projected_network(
        problem.train, problem.metric, problem.rate,
        fastest=problem.fastest, inputs=problem.inputs, neurons=problem.neurons, activation=problem.activation, seed=seed,
    )  # fmt: skip
    network, multipliers = INITIAL_NETWORKS[check_initial(problem.initial)](
        problem, projected, np.random.default_rng((*seed, 1))
    )
    return network, barrier.centre_multipliers(network, problem.metric, multipliers, problem.rate, steps=8)


def check_initial(name: str) -> str:
    """``name``, or InputError when there is no such initial network (the option ``start`` of ``fit``)."""
    if name not in INITIAL_NETWORKS:
        raise InputError(f"start is {name!r}; expected {', '.join(INITIAL_NETWORKS)}")
    return name


def _projected(problem: Problem, projected: Certified, rng: np.random.Generator) -> Certified:
    return projected


def _plain(problem: Problem, projected: Certified, rng: np.random.Generator) -> Certified:
    ren = projected[0]
    rows = rng.standard_normal((ren.nv, ren.nx))
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
    d12 = np.zeros_like(ren.D12)
    d12[:, : problem.inputs] = rng.uniform(-0.3, 0.3, (ren.nv, problem.inputs))
    slack = problem.rate**2 * problem.metric - ren.A.T @ problem.metric @ ren.A
    largest = float(eigh(rows.T @ rows, slack, eigvals_only=True)[-1]) if ren.nv else 1.0
    network = replace(ren, C1=rows, D12=d12, bv=rng.uniform(-1, 1, ren.nv))
    return network, np.full(ren.nv, 0.9 / max(largest, 1e-9))


def _silent(problem: Problem, projected: Certified, rng: np.random.Generator) -> Certified:
    ren = projected[0]
    return replace(ren, C1=np.zeros_like(ren.C1), D12=np.zeros_like(ren.D12)), np.ones(ren.nv)


def _random(problem: Problem, projected: Certified, rng: np.random.Generator) -> Certified:
    def glorot(*shape: int) -> np.ndarray:
        return np.sqrt(2 / max(1, sum(shape))) * rng.standard_normal(shape)

    n, q, m = projected[0].nx, projected[0].nv, projected[0].nu
    a, b1, c1, d11 = glorot(n, n), glorot(n, q), glorot(q, n), np.tril(glorot(q, q), -1)
    b2, d12, bx, bv = glorot(n, m), glorot(q, m), glorot(n), glorot(q)
    multipliers, size = np.ones(q), 1.0
    while True:
        network = ExplicitREN.with_identity_output(
            A=size * a, B1=size * b1, B2=b2, C1=size * c1, D11=size * d11, D12=d12, bx=bx, bv=bv,
            activation=problem.activation,
        )  # fmt: skip
        if barrier.factor(network, problem.metric, multipliers, problem.rate) is not None:
            return network, multipliers
        size /= 2


INITIAL_NETWORKS: dict[str, Callable[[Problem, Certified, np.random.Generator], Certified]] = {
    "projected": _projected,
    "plain": _plain,
    "silent": _silent,
    "random": _random,
}
