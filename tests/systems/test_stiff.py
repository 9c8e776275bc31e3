"""Stiff plants: what is left of the slow modes between two samples decides, however fast the others die away."""

import pytest

from systems import InputError, discretize
from systems.integration import time_scales
from systems.toml_files import system_from_toml


def plant(fast, slow="-x1/20", dt=0.5, method="exact"):
    text = (
        f'[states]\nx1 = {{ range = [-1, 1] }}\nx2 = {{ range = [-1, 1] }}\n[dynamics]\nx1 = "{slow}"\nx2 = "{fast}"\n'
    )
    return discretize(
        system_from_toml(text + f'[outputs]\ny = "x1 + x2"\n[sampling]\ndt = {dt}', "p.toml"), method=method
    )


def test_slow_modes_are_the_motion_and_no_integrators():
    made = plant("-1e5*x2")
    assert time_scales(made.system) == pytest.approx((1e-5, 20.0))


def test_fast_modes_that_die_away_refuse_nothing_where_a_slow_one_or_an_integrator_is_left():
    for slow in ("-x1/20", "x2"):
        assert plant("-1e5*x2", slow).method == "exact"
    assert plant("-3e4*x2", method="cvodes").method == "cvodes"


def test_explicit_steps_say_what_is_slow_and_fast_and_name_the_way():
    with pytest.raises(InputError, match=r"stiff: its slow modes take 20 s, its fastest 1e-05 s.*--method cvodes"):
        plant("-1e5*x2", method="rk4")


def test_where_nothing_is_left_a_sample_is_too_long():
    with pytest.raises(InputError, match="nothing of its motion"):
        plant("-1e5*x2", "-1e4*x1")
