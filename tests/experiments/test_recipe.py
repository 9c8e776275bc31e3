import tomllib
from pathlib import Path

import pytest

from experiments.pipeline.options import BY_KEY, OPTIONS, command_for, to_keys
from experiments.pipeline.recipe import Recipe, build, differences, read_recipe, to_toml
from systems.base.errors import InputError

FULL = {
    "system": 'plants/two "tanks".toml',
    "dt": 1e-7,
    "method": "euler",
    "substeps": 3,
    "seed": 5,
    "data.excitation": "chirp",
    "data.duration": 1e12,
    "fit.neurons": 0,
    "fit.settling_time": "300ms",
    "fit.budget": "2m",
    "validation.window": (1, 2.5),
    "validation.noise": True,
}


def test_what_is_written_is_read_back(tmp_path):
    recipe = build(FULL)
    path = tmp_path / "config.toml"
    path.write_text(to_toml(recipe, {"fit.condition": "100.0"}))
    assert read_recipe(path) == recipe
    assert "# condition = 100.0" in path.read_text()
    assert recipe.fit.settling_time == pytest.approx(0.3) and recipe.fit.budget == 120


@pytest.mark.parametrize("text", ["a\tb", "line\nbreak", "\x7f", 'quote"', "back\\slash", "Möbius ẋ", "\u2028"])
def test_any_name_survives_the_file(tmp_path, text):
    path = tmp_path / "config.toml"
    path.write_text(to_toml(Recipe(system=text)), encoding="utf-8")
    assert tomllib.loads(path.read_text(encoding="utf-8"))["system"] == text


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("fit.neurons", -3, "--neurons is -3; expected 0 to 100,000"),
        ("fit.neurons", 2.5, "--neurons is 2.5; expected a valid integer"),
        ("fit.budget", "soon", "--budget is 'soon'; expected a time such as 20s, 2m or 1h"),
        ("fit.settling_time", "0s", "--settling-time is '0s'; expected 1e-12 to 1e+12"),
        ("fit.settling_time", "nan", "--settling-time is 'nan'; expected a time such as 20s"),
        ("dt", float("nan"), "--dt is nan; expected 1e-12 to 1e+12"),
        ("dt", -0.1, "--dt is -0.1; expected 1e-12 to 1e+12"),
        ("method", "magic", "--method is 'magic'; expected 'rk4', 'euler', 'exact', 'scipy' or 'cvodes'"),
        ("fit.activation", "silu", "activation 'silu': its slope ranges over"),
        ("data.excitation", "noise", "--excitation is 'noise'; expected one of zero, constant"),
        ("validation.trials", 0, "--trials is 0; expected 1 to 10,000,000"),
        ("fit.neuron", 3, "fit.neuron: no such option; expected one of neurons, activation"),
        ("colour", 3, "colour: no such option; expected one of system, dt"),
    ],
)
def test_faults_name_the_option_and_what_was_expected(key, value, message):
    with pytest.raises(InputError) as fault:
        build({"system": "box", key: value}, BY_KEY)
    assert message in str(fault.value)


def test_names_of_earlier_recipes_are_read(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('system = "box"\n[fit]\nepochs = 7\n[validation]\ntruth = "oracle"\n')
    recipe = read_recipe(path)
    assert recipe.fit.iterations == 7 and recipe.validation.truth == "reference"
    assert "iterations = 7" in to_toml(recipe) and "epochs" not in to_toml(recipe)
    assert build({"system": "box", "fit.iterations": None, "fit.epochs": 7}).fit.iterations == 7
    with pytest.raises(InputError, match="epochs is the former name of iterations"):
        build({"system": "box", "fit.iterations": 3, "fit.epochs": 7})


def test_two_ways_to_state_the_rate_are_one_too_many():
    with pytest.raises(InputError, match="settling_time and contraction_rate both state the rate"):
        build({"system": "box", "fit.settling_time": 1.0, "fit.contraction_rate": 0.9})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("system = ", "not a recipe in TOML"),
        ("dt = 0.1", "system: missing"),
        ('system = "box"\n[fit]\nneurons = "many"', "fit.neurons is 'many'; expected a valid integer"),
        ('system = "box"\nfit = 3', "fit is 3; expected a valid dictionary"),
        ("\x00", "not a recipe in TOML"),
    ],
)
def test_a_faulty_file_is_named(tmp_path, text, message):
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(InputError) as fault:
        read_recipe(path)
    assert str(path) in str(fault.value) and message in str(fault.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml: no such file"):
        read_recipe(tmp_path / "none.toml")


def test_differences_name_keys_and_values_but_not_how_the_plant_was_called():
    one, two = build({"system": "box", "fit.neurons": 4}), build({"system": "./box.toml", "dt": 0.1})
    assert differences(one, two) == ["dt (automatic there, 0.1 asked for)", "fit.neurons (4 there, 20 asked for)"]


def test_every_option_sets_a_key_of_the_recipe():
    known = Recipe(system="box").flat()
    assert {option.key for option in OPTIONS if option.key} <= set(known)


def test_the_command_makes_the_recipe_again(tmp_path):
    given = {"fit.neurons": 40, "fit.budget": 20.0, "validation.truth": "model", "validation.noise": True, "dt": 0.05}
    recipe = build({"system": "my plant.toml", **given})
    command = command_for(recipe, tmp_path)
    assert command.startswith("observer run 'my plant.toml' --out ")
    assert command.endswith("--dt 0.05 --neurons 40 --budget 20.0 --same-model --noise")
    assert (
        to_keys({"dt": 0.05, "neurons": 40, "budget": "20.0", "noise": True, "same_model": True}).keys() == given.keys()
    )


def test_a_recipe_beyond_the_options_is_repeated_from_its_file(tmp_path):
    command = command_for(build({"system": "box", "fit.condition": 30.0}), tmp_path)
    assert command == f"observer run box --config {tmp_path}/config.toml --out {tmp_path}"


def test_a_device_is_no_recipe():
    """It has no end: reading it took all memory."""
    with pytest.raises(InputError, match="no regular file"):
        read_recipe(Path("/dev/zero"))
