"""Other numbers in a plant's file: comments and order stay, and the result always holds exactly the values."""

import tomllib

import pytest

from systems.toml_values import with_values

HEAD = "# mine\n[states]\nx = { range = [-1, 1] } # value = 3\n\n[parameters]\nfixed = 2.0   # value\n"
TAIL = '\n[dynamics]\nx = "-a*x*fixed"\n'
FORMS = {
    "inline": ("a = { value = 1.0, range = [0.5, 2], unit = \"1/s\" }  # my rate, value = 1", "# my rate, value = 1"),
    "spaced": ("  a={range=[0.5, 2],value=1_0e-1}", "  a={range=[0.5, 2],value=1.25}"),
    "dotted": ("a.value = 1.0 # here\na.range = [0.5, 2]", "a.value = 1.25 # here"),
    "quoted": ('"a" = { value = 1, range = [0.5, 2] }', '"a" = { value = 1.25, range = [0.5, 2] }'),
    "table": ("\n[parameters.a]\nvalue = +1.0 # here\nrange = [0.5, 2]", "value = 1.25 # here"),
}  # fmt: skip
OUTPUTS = {
    "text": ('y = "x" # level', '# level'),
    "entry": ('y = { equation = "x + 0*fixed", unit = "m" }  # sensor', "# sensor"),
    "zero": ('y = { equation = "x", noise = 0 }', "y ="),
    "table": ('\n[outputs.y]\nequation = "x" # sensor', "# sensor"),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("output", OUTPUTS)
def test_numbers_change_and_the_rest_stays(form, output):
    text = f"{HEAD}{FORMS[form][0]}\n{TAIL}[outputs]\n{OUTPUTS[output][0]}\n"
    changed = with_values(text, {"a": 1.25}, {"y": 0.01})
    before, after = tomllib.loads(text), tomllib.loads(changed)
    assert after["parameters"]["a"]["value"] == 1.25 and after["outputs"]["y"]["noise"] == 0.01
    assert before["parameters"].pop("a")["range"] == after["parameters"].pop("a")["range"]
    given = before.pop("outputs")["y"]
    assert (
        after.pop("outputs")["y"]["equation"] == (given if isinstance(given, str) else given["equation"])
        and before == after
    )
    for kept in ("# mine", "fixed = 2.0   # value", FORMS[form][1], OUTPUTS[output][1]):
        assert kept in changed


def test_what_cannot_be_edited_is_written_anew():
    text = 'parameters = { a = { value = 1.0, range = [0, 2] } }\nname = "x\\u007f"\n[outputs]\ny = "x"\n'
    after = tomllib.loads(with_values(text, {"a": 0.5}, {"y": 0.1}))
    assert after == {
        "parameters": {"a": {"value": 0.5, "range": [0, 2]}},
        "name": "x\x7f",
        "outputs": {"y": {"equation": "x", "noise": 0.1}},
    }
