"""``observer check`` and the start of ``observer run`` decide the same, with the same sentence."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import observer as library
from experiments.cli.check import examine
from experiments.pipeline.console import Console
from experiments.pipeline.prepare import run_in
from experiments.pipeline.recipe import Recipe
from systems.base.errors import InputError, NotDetectable
from tests.conftest import SHARED

FIELD = SHARED / "field"
EXAMPLES = Path(__file__).parents[2] / "examples"


class _Begun(Exception):
    """The fit began: nothing that could be known before refuses the run."""


def _decision(work, *arguments):
    try:
        answer = work(*arguments)
    except _Begun:
        return "begins", ""
    except (InputError, NotDetectable) as error:
        return type(error).__name__, str(error)
    return ("begins", "") if answer["detectable"] else ("NotDetectable", answer["reason"])


@pytest.fixture
def both(tmp_path, monkeypatch):
    """The decisions of ``check`` and of a run, on few trajectories and trials."""

    def begin(*_, **__):
        raise _Begun

    monkeypatch.setattr(library, "fit", begin)
    runs = iter(range(10_000))

    def decide(plant, **options):
        recipe = Recipe(system=str(plant)).changed(
            **{"data.trajectories": 8, "validation.trials": 8, "fit.neurons": 3, **options}
        )
        quiet = Console(quiet=True)
        checked = _decision(examine, recipe, quiet)
        folder = tmp_path / f"run{next(runs)}"
        begun = _decision(lambda: run_in(folder, recipe, fresh=False, console=quiet))
        return SimpleNamespace(check=checked, run=begun)

    return decide


def _file(
    folder, equation, output="x", *, state="range = [-1, 1]", inputs="u = { range = [-1, 1] }", sampling="dt = 0.05"
):
    file = folder / "plant.toml"
    output = output if output.startswith("{") else f'"{output}"'
    file.write_text(
        f"[states]\nx = {{ {state} }}\n[inputs]\n{inputs}\n[dynamics]\nx = \"{equation}\"\n[outputs]\ny = {output}\n"
        f"[sampling]\n{sampling}\n"
    )  # fmt: skip
    return file


REFUSED = {
    "a constant output": (("-x + u", "3.0"), "output 'y' is constant (3) over the region"),
    "an output of nothing": (("-x + u", "0*x"), "output 'y' is constant (0) over the region"),
    "time in the dynamics": (("-x + cos(1.2*t)",), "depends on t explicitly"),
    "time in the output": (("-x + u", "x + 0.1*sin(t)"), "depends on t explicitly"),
    "a full turn": (("-x + u", "x", "range = [-4, 4], period = 6.283"), "not the same after a turn"),
    "a turn that nothing measures": (("u", "sin(x)", "range = [-4, 4], period = 6.283185307179586"), "turns through a full period"),
    "a tiny period": (("-x + u", "x", "range = [-1, 1], period = 1e-30"), "more than 1e+06 turns"),
    "a plant that its input cannot hold": (("5*x + u", "x", "range = [-1, 1]", "u = { range = [-0.2, 0.2] }"), "whatever drives them"),
    "an output that breaks": (("-x + u", "log(x)"), "output 'y' is not finite"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_check_refuses_what_a_run_refuses(both, tmp_path, case):
    arguments, words = REFUSED[case]
    names = ("equation", "output", "state", "inputs", "sampling")
    found = both(_file(tmp_path, **dict(zip(names, arguments, strict=False))))
    assert found.check == found.run
    assert words in found.check[1] and found.check[0] != "begins"


@pytest.mark.parametrize("equation", ["-x + u", "u", "0*x", "-sign(x) + 0.3*u", "-x - x^3", "x^2 + u", "0.1*x"])
def test_check_accepts_what_a_run_accepts(both, tmp_path, equation):
    found = both(_file(tmp_path, equation, inputs="u = { range = [-0.2, 0.2] }"))
    assert found.check == found.run == ("begins", "")


@pytest.mark.parametrize("name", ["box", "pendulum", "double_integrator"])
def test_of_plants_of_the_library(both, name):
    found = both(name)
    assert found.check == found.run


@pytest.mark.skipif(not FIELD.is_dir(), reason="the shared plants are not there")
@pytest.mark.parametrize(
    "name", ["vehicle.toml", "spin.toml", "maglev.toml", "unstable.toml", "boost.toml", "full_state_map.toml"]
)
def test_of_plants_of_strangers(both, name):
    found = both(FIELD / name)
    assert found.check == found.run


NUMBERS = st.sampled_from([-2.0, -0.5, 0.0, 0.3, 1.0])


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    a=NUMBERS, b=NUMBERS,
    nonlinear=st.sampled_from(["sin(x)", "x^3", "abs(x)", "tanh(4*x)", "sqrt(x + 1.5)", "exp(x)"]),
    output=st.sampled_from(["x", "x^2", "u", "2.5", "sin(3*x)", "x + u", "1/(x + 2)"]),
)  # fmt: skip
def test_of_any_small_plant(both, tmp_path, a, b, nonlinear, output):
    found = both(_file(tmp_path, f"{a}*x + {b}*{nonlinear} + u", output))
    assert found.check == found.run


def _at_hand():
    """Every plant of the library, of the examples and of strangers."""
    from systems import ALL_SYSTEMS

    examples = sorted(EXAMPLES.glob("own_ode.py"))
    strangers = [*FIELD.glob("*.toml"), *FIELD.glob("*.py"), *(FIELD / "certify").glob("*.toml")]
    return [*ALL_SYSTEMS, *map(str, examples), *map(str, sorted(strangers))]


@pytest.mark.slow
@pytest.mark.parametrize("plant", _at_hand(), ids=lambda plant: Path(plant).name)
def test_of_every_plant_at_hand(both, plant):
    found = both(plant)
    assert found.check == found.run


@pytest.mark.skipif(not FIELD.is_dir(), reason="the shared plants are not there")
def test_the_clock_is_refused_with_the_way_out(both):
    found = both(FIELD / "clock.toml")
    assert found.check == found.run
    assert "make cos(1.2*t) a known input" in found.check[1]
