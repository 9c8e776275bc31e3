"""Another plant by changing fields of its signals: only those change, and what is unknown is named."""

import pytest

from observer.known_plant import chosen_plant
from systems import InputError, discretize, van_der_pol


def test_only_the_named_fields_change_and_the_plant_stays_as_it_was():
    system = van_der_pol()
    output, force = system.outputs[0].name, system.inputs[0].name
    changed = system.with_outputs(**{output: {"noise": 0.05}}).with_inputs(**{force: {"range": (-0.5, 0.25)}})
    assert changed.outputs[0].noise == 0.05 and changed.inputs[0].range == (-0.5, 0.25)
    assert changed.states == system.states and changed.to_data()["parameters"] == system.to_data()["parameters"]
    assert system.outputs[0].noise != 0.05 and changed.fingerprint != system.fingerprint


@pytest.mark.parametrize("change", ["with_inputs", "with_outputs", "with_states"])
def test_what_is_unknown_is_named(change):
    system = van_der_pol()
    with pytest.raises(InputError, match=r"has no (input|output|state) 'nobody'"):
        getattr(system, change)(nobody={"unit": "m"})
    signal = getattr(system, change.removeprefix("with_"))[0].name
    with pytest.raises(InputError, match=rf"'{signal}' has no field 'loudness' to change"):
        getattr(system, change)(**{signal: {"loudness": 1}})


class _ForOnePlant:
    def __init__(self, plant):
        self.plant = plant


def test_a_second_plant_may_differ_in_its_parameters_but_not_in_its_signals():
    own = discretize(van_der_pol(), dt=0.05)
    other = discretize(van_der_pol().with_parameters(mu=1.2), dt=0.05)
    assert chosen_plant(_ForOnePlant(own)) is own and chosen_plant(_ForOnePlant(own), other) is other
    data = own.system.to_data()
    data["inputs"][0]["name"] = "push"
    with pytest.raises(InputError, match="input_names"):
        chosen_plant(_ForOnePlant(own), discretize(type(own.system).from_data(data), dt=0.05))
    with pytest.raises(InputError, match=r"fitted for dt = 0\.05 s"):
        chosen_plant(_ForOnePlant(own), discretize(van_der_pol(), dt=0.1))
