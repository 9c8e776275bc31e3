"""The poorer initial networks of the ablation: certified like the projected one, and what each claims to be."""

import dataclasses

import numpy as np
import pytest

from observer import fit
from observer.fitting.initial.networks import INITIAL_NETWORKS, initial_network
from observer.fitting.linear_algebra import barrier
from observer.fitting.linear_algebra.least_squares import residual
from systems.base.errors import InputError


@pytest.fixture(scope="module")
def problem(oscillator, oscillator_data):
    from observer.fitting import fit as module

    kept = []
    with pytest.MonkeyPatch.context() as patch:
        original = module.Problem
        patch.setattr(module, "Problem", lambda *a, **k: kept.append(original(*a, **k)) or kept[-1])
        fit(oscillator, oscillator_data, 6, settling_time=3.0, iterations=1)
    return kept[0]


@pytest.mark.parametrize("name", INITIAL_NETWORKS)
def test_certified_and_different_by_number(name, problem):
    chosen = dataclasses.replace(problem, initial=name)
    found = [initial_network(chosen, number) for number in (0, 0, 1)]
    for network, multipliers in found:
        assert barrier.factor(network, chosen.metric, multipliers, chosen.rate) is not None
    np.testing.assert_array_equal(found[0][0].bv, found[1][0].bv)
    assert not np.array_equal(found[0][0].bv, found[2][0].bv)


def test_all_but_random_are_the_linear_observer(problem):
    loss = {}
    for name in INITIAL_NETWORKS:
        network, _ = initial_network(dataclasses.replace(problem, initial=name))
        loss[name] = problem.physical_loss(residual(network, problem.train))
        if name in ("plain", "silent"):
            assert (
                not network.B1.any() and not network.D12[:, 1:].any()
            )  # y is the second input: the neurons do not see it
    assert loss["plain"] == loss["silent"] == pytest.approx(loss["projected"], rel=1e-12)
    assert loss["random"] > 10 * loss["projected"]


def test_an_unknown_start_is_refused(oscillator, oscillator_data):
    with pytest.raises(InputError, match="start is 'best'; expected projected, plain, silent, random"):
        fit(oscillator, oscillator_data, 3, settling_time=3.0, start="best")
    with pytest.raises(InputError, match="region_share is 2; expected a number from 0 to 1"):
        fit(oscillator, oscillator_data, 3, settling_time=3.0, region_share=2)
