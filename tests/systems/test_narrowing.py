"""Proposals of narrower ranges, and mirror images that outputs cannot tell apart."""

import numpy as np
import pytest

from observer.fitting.rate import choose_rate
from systems import Signal, System, discretize
from systems.base.errors import NotDetectable
from systems.detectability import narrowings, sample_jacobians, search_metric
from systems.observability.mirrors import mirror_sentences, mirrored_states


def _saturating(region=None):
    """A constant b that the measured state shows through a saturation: hardly any of it beyond |b| = 1."""
    system = System(
        name="saturated", states=[Signal("a", "", (-2, 2)), Signal("b", "", (-2, 2))], outputs=[Signal("y", noise=0.01)],
        dynamics=lambda x: [-x[0] + np.tanh(4 * x[1]), 0 * x[1]], output=lambda x: [x[0]], dt=0.1, region=region,
    )  # fmt: skip
    return discretize(system)


def test_the_range_that_stops_the_metric_is_named_and_narrowing_it_helps():
    plant = _saturating()
    box, target = plant.system.state_ranges, 0.99
    jacobians = sample_jacobians(plant, count=256)
    assert search_metric(jacobians=jacobians, condition=300).rate > 0.999
    found = narrowings(plant, box, jacobians, target)
    assert found[0].signals == ("b",) and found == narrowings(plant, box, jacobians, target)
    low, high = found[0].ranges[0]
    assert 0.2 <= high == -low <= 1 and found[0].conditions == f'["abs(b) <= {high:g}"]'
    followed = _saturating([f"abs(b) <= {high}"])
    assert search_metric(jacobians=sample_jacobians(followed, count=256), condition=300).rate <= target + 1e-3
    assert narrowings(plant, box, jacobians, 0.2) == ()  # nothing helps that far


def test_a_refusal_says_it_and_the_way_out_is_one():
    with pytest.raises(
        NotDetectable, match=r"narrow b to \[-[0-9.]+, [0-9.]+\] \(\[region\] constraints = \[\"abs\(b\) <="
    ):
        choose_rate(_saturating(), np.array([[-2.0, 2.0], [-2.0, 2.0]]))


def test_beyond_the_ranges_the_way_out_is_to_stay_inside():
    """A cell whose voltage is flat beyond soc = 1: motions leave the range of soc, and the enlarged region is refused."""
    common = dict(
        name="cell", states=[Signal("soc", "", (0.1, 0.9))], inputs=[Signal("i", "A", (-5, 5))], outputs=[Signal("v", "V")],
        dynamics=lambda u: [-u[0] / 900], output=lambda x: [np.clip(x[0], 0, 1)], dt=1.0,
    )  # fmt: skip
    reached = np.array([[-0.3, 1.3]])
    with pytest.raises(NotDetectable, match=r'which motions leave: .*\[region\] constraints = \["0.1 <= soc <= 0.9"\]'):
        choose_rate(discretize(System(**common)), reached)
    followed = discretize(System(**common, region="0.1 <= soc <= 0.9"))
    assert choose_rate(followed, reached)[0] < 0.1


def _beacons(y, region=None):
    system = System(
        name="beacons", states=[Signal("x", "", (1, 10)), Signal("y", "", y), Signal("v", "", (-1, 1))], 
        outputs=[Signal("r1"), Signal("r2")],
        dynamics=lambda x: [x[2], 0 * x[1], -x[2]], dt=0.1, region=region,
        output=lambda x: [np.sqrt(x[0] ** 2 + x[1] ** 2), np.sqrt((x[0] - 12) ** 2 + x[1] ** 2)],
    )  # fmt: skip
    return discretize(system)


def test_mirror_images_are_named_with_the_condition_that_tells_them_apart():
    assert mirrored_states(_beacons((-10, 10))) == (("y",),)
    (both,) = mirror_sentences(_beacons((-10, 10)), np.array([[1, 10], [-10, 10], [-1, 1.0]]))
    assert "the same at (x, y) and at (x, -y), and both are in the region" in both and 'constraints = ["y > 0"]' in both
    (one,) = mirror_sentences(_beacons((-10, 10), ["y > 0"]), np.array([[1, 10], [-10, 10], [-1, 1.0]]))
    assert "only one of them is in the region" in one
    (one,) = mirror_sentences(_beacons((1, 10)), np.array([[1, 10], [1, 10], [-1, 1.0]]))
    assert "only one of them is in the region" in one


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (lambda x: [x[0] * x[1]], (("x", "y"),)),
        (lambda x: [x[0] + 0 * x[1]], ()),
        (lambda x: [x[0] ** 2, x[1]], (("x",),)),
        (lambda x: [np.cos(x[0])], (("x",),)),
    ],
)
def test_only_states_that_an_output_holds_have_images(output, expected):
    system = System(
        name="p", states=[Signal("x", "", (-1, 1)), Signal("y", "", (-1, 1))], dynamics=lambda x: [-x[0], -x[1]], dt=0.1,
        output=output, outputs=[Signal(f"o{k}") for k in range(len(output(np.ones(2))))],
    )  # fmt: skip
    assert mirrored_states(discretize(system)) == expected
