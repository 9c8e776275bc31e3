"""The unit of time in which a plant is written: found, stored, and followed by logs and by times with a unit."""

from dataclasses import replace

import numpy as np
import pytest

from systems import InputError, Signal, System, Timing, load_system, read_recordings
from systems.time_units import duration, inferred_unit, known_unit
from systems.toml_files import system_from_toml
from tests.conftest import SHARED

TOML = """
[states]
G = {{ range = [40, 300], unit = "{state}" }}
[inputs]
u = {{ range = [0, 3], unit = "{input}" }}
[dynamics]
G = "-0.02*(G - 90) + u"
[outputs]
y = {{ equation = "G" }}
[sampling]
dt = 5
{line}
"""


def plant(state="", input="", line=""):
    return system_from_toml(TOML.format(state=state, input=input, line=line), "plant.toml", "plant")


@pytest.mark.parametrize(
    ("units", "unit"),
    [
        (["mg/dl", "1/min", "mU/l/min"], "min"), (["g/l", "l/h"], "h"), (["1/d", "cells"], "d"), (["min^-1"], "min"), (["mmol h-1"], "h"),
        (["m", "m/s"], "s"), (["rad", "1/min", "A"], "s"), (["1/min", "V"], "s"), (["m", "km/h"], "s"), (["l/min", "g/h"], "s"),
        (["1/min", "rad/s"], "s"), ([""], "s"), (["kg/h", "degC"], "h"), (["m^3/h", "m"], "h"), (["minimum", "hPa"], "s"),
    ],
)  # fmt: skip
def test_the_units_of_signals_tell_the_time(units, unit):
    assert inferred_unit(units) == unit


def test_a_plant_states_its_unit_and_keeps_it():
    assert (
        plant().time_unit == "s"
        and plant("1", "mg/min").time_unit == "min"
        and plant(line='unit = "h"').time_unit == "h"
    )
    assert plant(line='unit = "minutes"').time_unit == "min"
    for system in (plant(), plant("1", "mg/min"), plant(line='unit = "h"'), plant("1", "mg/min", 'unit = "s"')):
        assert System.from_data(system.to_data()).time_unit == system.time_unit
        assert replace(system, name="other").time_unit == system.time_unit
    assert "time_unit" not in plant().to_data() and "time_unit" not in plant("1", "mg/min").to_data()
    with pytest.raises(InputError, match="time_unit is 'week'; expected one of"):
        plant(line='unit = "week"')


def test_times_with_a_unit():
    assert duration("30min", "min", "x") == 30 and duration("1.5 h", "min", "x") == 90 and duration(4, "h", "x") == 4
    assert duration("50ms", "s", "x") == pytest.approx(0.05) and known_unit("µs") == "us" and known_unit("m") is None
    for bad in ("", "5kg", "min", "-1", "nan", 0):
        with pytest.raises(InputError, match=r"x is .*expected a time such as"):
            duration(bad, "s", "x")


def test_logs_follow_the_unit_of_the_plant(tmp_path):
    system = plant("1", "mg/min")
    path = tmp_path / "log.csv"
    values = np.linspace(90, 95, 20)
    for head, stamps, timing in (
        ("t", [5 * k for k in range(20)], None),
        ("t [s]", [300 * k for k in range(20)], None),
        ("time", [f"2024-03-31T{k // 12:02d}:{5 * (k % 12):02d}:00" for k in range(20)], None),
        ("t", [300 * k for k in range(20)], Timing(unit="s")),
        ("timestamp", [1711846790 + 300 * k for k in range(20)], None),
        ("other", [0] * 20, Timing(sample_time="300s")),
        ("other", [0] * 20, Timing(sample_time=5)),
    ):
        rows = [f"{stamp},1,{value},{value}" for stamp, value in zip(stamps, values, strict=True)]
        path.write_text("\n".join([f"{head},u,G,y", *rows]) + "\n")
        data = read_recordings(path, system, timing=timing)
        np.testing.assert_allclose(data.t, 5.0 * np.arange(20))
        np.testing.assert_allclose(data.y[0, :, 0], values)
    path.write_text("\n".join(["t,u,G,y", *(f"{300 * k},1,90,90" for k in range(20))]))
    with pytest.raises(InputError, match="a row every 300 min, and dt is 5 min; are these stamps seconds"):
        read_recordings(path, system)


def test_the_field_plants_are_in_their_own_units():
    if not (SHARED / "field").is_dir():
        pytest.skip("the field's own inputs are not here")
    for name, unit in (
        ("glucose.toml", "min"),
        ("fed_batch_casadi.py", "h"),
        ("cart.toml", "s"),
        ("servo_load.toml", "s"),
    ):
        assert load_system(SHARED / "field" / name).time_unit == unit


def test_a_signal_may_lie_anywhere():
    system = System(
        name="s", states=[Signal("q", "", (0, 1))], outputs=[Signal("y")], dynamics=lambda x: [-x[0]], output=lambda x: [x[0]],
        time_unit="hours", dt=0.1,
    )  # fmt: skip
    assert system.time_unit == "h" and system.to_data()["time_unit"] == "h"
