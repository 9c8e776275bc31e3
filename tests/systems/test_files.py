"""Systems from files: what a person writes is read as meant, and every mistake gets one located message."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systems.base.errors import InputError
from systems.equations import parse
from systems.files import TEMPLATES, load_system, write_template
from systems.library import ALL_SYSTEMS
from systems.system import System
from systems.toml_files import system_from_toml

VAN_DER_POL = """\
name = "van der pol"
[states]
x1 = { range = [-3, 3], unit = "m" }
x2 = { range = [-3, 3] }
[inputs]
u = { range = [-1, 1], excitation = "sine" }
[parameters]
mu = { value = 1.0, range = [0.8, 1.2] }
[dynamics]
x1 = "x2"
x2 = "mu*(1 - x1^2)*x2 - x1 + u"
[outputs]
y = { equation = "x1", unit = "m", noise = 0.01 }
[sampling]
dt = 0.05
"""

TWO_TANKS = """\
import numpy as np
from systems import Signal, System

def dynamics(x, u, p):
    upper, lower = x
    flow = p["a"] * np.sqrt(2 * 9.81 * (upper + 0.05))
    return [(u[0] - flow) / p["area"], (flow - p["a"] * np.sqrt(2 * 9.81 * (lower + 0.05))) / p["area"]]

def output(x):
    return [x[1]]

system = System(name="two tanks",
                states=[Signal("upper", "m", (0.1, 1.0)), Signal("lower", "m", (0.1, 1.0))],
                inputs=[Signal("inflow", "m^3/s", (0.02, 0.05))], outputs=[Signal("level", "m")],
                parameters={"a": 0.01, "area": 0.3}, dynamics=dynamics, output=output, dt=0.5)
"""


def read(text: str) -> System:
    return system_from_toml(text, "plant.toml")


def refusal(text: str) -> str:
    with pytest.raises(InputError) as caught:
        read(text)
    message = str(caught.value)
    assert message.startswith("plant.toml: ")
    return message.removeprefix("plant.toml: ")


@pytest.fixture
def script(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Write a Python file and return the message with which it is refused, without the folder."""

    def refuse(text: str) -> str:
        path = tmp_path / "plant.py"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError) as caught:
            load_system(path)
        assert "\n" not in str(caught.value)
        return str(caught.value).replace(str(tmp_path) + "/", "")

    return refuse


# What is read ---------------------------------------------------------------------------------------------------------


def test_van_der_pol_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "oscillator.toml"
    path.write_text(VAN_DER_POL, encoding="utf-8")
    system = load_system(str(path))
    assert (system.name, system.source, system.kind, system.dt) == (
        "van der pol",
        "oscillator.toml",
        "continuous",
        0.05,
    )
    assert (system.state_names, system.input_names, system.output_names) == (("x1", "x2"), ("u",), ("y",))
    assert system.states[0].unit == "m" and system.states[1].range == (-3.0, 3.0)
    assert system.inputs[0].excitation == "sine" and system.outputs[0].noise == 0.01
    assert system.parameters["mu"].range == (0.8, 1.2)
    assert not system.time_dependent and not system.unused
    x, u = np.random.default_rng(0).uniform(-3, 3, (50, 2)), np.linspace(-1, 1, 50)[:, None]
    expected = np.stack([x[:, 1], (1 - x[:, 0] ** 2) * x[:, 1] - x[:, 0] + u[:, 0]], axis=-1)
    np.testing.assert_allclose(system.derivative(x, u), expected, rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(system.measure(x, u), x[:, :1])
    doubled = system.with_parameters(mu=2.0)
    np.testing.assert_allclose(
        doubled.derivative(x, u)[:, 1], expected[:, 1] + (1 - x[:, 0] ** 2) * x[:, 1], atol=1e-12
    )


@pytest.mark.parametrize("as_function", [False, True])
def test_two_tanks_from_python(tmp_path: Path, as_function: bool) -> None:
    text = TWO_TANKS
    if as_function:
        text = text.replace("system = System(", "def system():\n    return System(")
    path = tmp_path / "tanks.py"
    path.write_text(text, encoding="utf-8")
    before = list(sys.path), set(sys.modules)
    system = load_system(path)
    assert (system.name, system.source, system.dt) == ("two tanks", "tanks.py", 0.5)
    flow = 0.01 * np.sqrt(2 * 9.81 * np.array([0.55, 0.25]))
    expected = [(0.03 - flow[0]) / 0.3, (flow[0] - flow[1]) / 0.3]
    np.testing.assert_allclose(system.derivative([0.5, 0.2], [0.03]), expected, rtol=1e-13)
    assert sys.path == before[0] and "observer_system_file" not in sys.modules
    assert [p.name for p in tmp_path.iterdir()] == ["tanks.py"]


def test_a_python_file_may_import_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "tank_constants_for_this_test.py").write_text("DT = 0.25\n", encoding="utf-8")
    text = TWO_TANKS.replace("dt=0.5", "dt=DT, source='my book'").replace(
        "import numpy", "from tank_constants_for_this_test import DT\nimport numpy", 1
    )
    (tmp_path / "tanks.py").write_text(text, encoding="utf-8")
    system = load_system(tmp_path / "tanks.py")
    assert (system.dt, system.source) == (0.25, "my book")


@pytest.mark.parametrize("name", ALL_SYSTEMS)
def test_library_names(name: str) -> None:
    assert load_system(name).name == name


def test_names_of_equations_are_looked_up_not_copied() -> None:
    """Each equation copied the names of all: 20,000 definitions took over a minute."""

    class Names(dict[str, None]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            pytest.fail("all names are gone through")

    assert parse("a + 1", Names(a=None), "d").names == ("a",)


def test_short_forms_defaults_definitions_and_time() -> None:
    system = read("""
        [states]
        angle = { range = [-3, 3], period = 6.283185307, initial = [-1, 1], limits = [-4, 4] }
        [inputs]
        wind = { range = [-1, 1], role = "disturbance" }
        [parameters]
        e = 2
        [definitions]
        pull = "e*angle"
        push = "pull + wind*sin(t)"
        [dynamics]
        angle = "-push"
        [outputs]
        y = "pull + 1"
        """)
    assert (system.name, system.dt, system.duration, system.description) == ("system", None, None, "")
    assert (system.states[0].period, system.states[0].initial, system.states[0].limits) == (
        6.283185307,
        (-1, 1),
        (-4, 4),
    )
    assert list(system.known) == [] and system.time_dependent
    assert system.derivative([0.5], [0.2], t=1.5) == pytest.approx([-(1.0 + 0.2 * np.sin(1.5))])
    assert system.measure([0.5], [0.2]) == pytest.approx([2.0])


def test_a_map_has_difference_instead_of_dynamics() -> None:
    system = read(VAN_DER_POL.replace("[dynamics]", "[difference]").replace("dt = 0.05", "dt = 1\nduration = 30"))
    assert (system.kind, system.dt, system.duration) == ("discrete", 1.0, 30.0)
    np.testing.assert_allclose(system.derivative([0.5, 0.25], [0.0]), [0.25, 0.75 * 0.25 - 0.5])


def test_windows_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "plant.toml"
    path.write_bytes(b"\xef\xbb\xbf" + VAN_DER_POL.replace("\n", "\r\n").encode())
    assert load_system(path).name == "van der pol"


def test_the_graph_survives_as_data() -> None:
    system = read(VAN_DER_POL)
    again = System.from_data(json.loads(json.dumps(system.to_data())))
    assert again.fingerprint == system.fingerprint


@settings(max_examples=50, deadline=None)
@given(
    st.text("abcxyz_019", min_size=1, max_size=8).filter(lambda s: s[0].isalpha() and s not in ("t", "x1", "u", "mu"))
)
def test_any_identifier_names_a_state(name: str) -> None:
    text = VAN_DER_POL.replace("y =", "measured =").replace("x2", name)
    assert read(text).state_names == ("x1", name)


# Mistakes in TOML -----------------------------------------------------------------------------------------------------

X1, MU, Y = 'x1 = { range = [-3, 3], unit = "m" }', "mu = { value = 1.0, range = [0.8, 1.2] }", 'equation = "x1", '
RANGE = "[-3, 3], unit"
MISTAKES = [
    ("range = [-3, 3], ", "rnage = [-3, 3], ", "key states.x1.rnage is unknown; did you mean 'range'?"),
    ("range = [-3, 3], ", "", "states.x1.range is missing; expected [low, high]"),
    (RANGE, "[3, -3], unit", "states.x1.range is [3, -3]; expected low < high, so swap or widen"),
    (RANGE, "[3, 3], unit", "states.x1.range is [3, 3]; expected low < high"),
    (RANGE, "[nan, 3], unit", "states.x1.range is [nan, 3]; expected [low, high], two finite numbers"),
    (RANGE, "[-inf, 3], unit", "states.x1.range is [-inf, 3]; expected [low, high], two finite numbers"),
    (RANGE, "[1], unit", "states.x1.range is [1]; expected [low, high]"),
    (RANGE, "[true, 2], unit", "states.x1.range is [True, 2]; expected [low, high]"),
    (RANGE, '["a", 2], unit', "states.x1.range is ['a', 2]; expected [low, high]"),
    (RANGE, "3, unit", "states.x1.range is 3; expected [low, high]"),
    ('unit = "m" }\nx2', "unit = 3 }\nx2", "states.x1.unit is 3; expected a text in quotes"),
    ('unit = "m" }\nx2', "limits = [-1, 1] }\nx2", "states.x1.range (-3.0, 3.0) reaches outside limits"),
    ('unit = "m" }\nx2', "period = 0 }\nx2", "states.x1.period is 0; expected the period"),
    ('unit = "m" }\nx2', "initial = [1, 0] }\nx2", "states.x1.initial is [1, 0]; expected low < high"),
    ('unit = "m" }\nx2', "noise = 0.1 }\nx2", "key states.x1.noise is unknown"),
    (X1, "x1 = [-3, 3]", "states.x1 is [-3, 3]; expected a table such as { range = [-1, 1]"),
    ("[states]", "[state]", "key state is unknown; did you mean 'states'?"),
    ("[dynamics]", "[dynamic]", "key dynamic is unknown; did you mean 'dynamics'?"),
    ("[sampling]\n", "[outputs.sampling]\n", "key outputs.sampling.dt is unknown"),
    ('name = "van', 'dt = 0.1\nname = "van', "key dt is unknown; it belongs to the table [sampling]"),
    ('name = "van der pol"', "name = 3", "name is 3; expected a text in quotes"),
    ('name = "van der pol"', 'name = " "', "name is an empty text; expected a name"),
    ('name = "van der pol"', "states = 3\n#", "no valid TOML: Cannot overwrite a value (at line 3, column 8)"),
    ('"van der pol"', '"van der pol', "no valid TOML: Illegal character"),
    ("x2 = { range", "x1 = { range", "no valid TOML: "),
    (MU, "mu = nan", "parameters.mu is nan; expected a finite number"),
    (MU, "mu = { value = inf }", "parameters.mu.value is inf; expected a finite number"),
    (MU, "mu = { unit = 'm' }", "parameters.mu.value is missing; expected a finite number"),
    (MU, "mu = '1'", "parameters.mu is '1'; expected a finite number, or a table"),
    (MU, "mu = true", "parameters.mu is true; expected a finite number"),
    (MU, "mu = 1" + "0" * 400, "parameters.mu is 1000"),
    (MU, "mu = 1" + "0" * 5000, "a number is too long"),
    (MU, "mu = 2020-01-01", "parameters.mu is datetime.date(2020, 1, 1); expected a finite number"),
    (MU, "mu = " + "[" * 20000, "no valid TOML"),
    (MU, "t = 1.0", "parameters.t: the name 't' is already the time"),
    (MU, "u = 1.0", "parameters.u: the name 'u' is already an input; choose another name"),
    (MU, "x1 = 1.0", "parameters.x1: the name 'x1' is already a state"),
    (MU, '"m u" = 1.0', "parameter name 'm u': expected letters, digits and underscores"),
    (MU, "nu = 1.0", "dynamics.x2: name 'mu' is unknown; did you mean 'u'? (column 1)"),
    ('"sine"', '"sin"', "inputs.u.excitation is 'sin'; expected one of zero, constant, steps, sine"),
    ('"sine"', '"sine", role = "known?"', "inputs.u.role is 'known?'; expected one of known, disturbance"),
    ('x2 = "mu', 'x3 = "mu', "dynamics.x3 belongs to no state; did you mean 'x2'?"),
    ('x2 = "mu', '# "mu', 'states.x2 has no equation; add x2 = "..." to [dynamics]'),
    ("[dynamics]", "[difference]\nx1 = '1'\n[dynamics]", "both dynamics and difference are given"),
    (
        '[dynamics]\nx1 = "x2"\nx2 = "mu*(1 - x1^2)*x2 - x1 + u"',
        "",
        "dynamics is missing; expected [dynamics] for an ODE",
    ),
    ('"x2"', "3", "dynamics.x1 is 3; expected an equation in quotes"),
    ('"x2"', '""', "dynamics.x1: the equation is empty"),
    ('"x2"', '"x3"', "dynamics.x1: name 'x3' is unknown; did you mean 'x2'? (column 1)"),
    ('"x2"', '"y"', "dynamics.x1: name 'y' is unknown"),
    ('"x2"', "\"__import__('os').mkdir('pwned')\"", "dynamics.x1: function '__import__' is not allowed"),
    ('"x2"', '"x2.real"', "dynamics.x1: attributes (a.b) are not allowed"),
    ('"x2"', '"' + "(" * 900 + '"', "dynamics.x1: nested deeper than 50 levels"),
    ('"x2"', '"x2^1000"', "dynamics.x1: exponent 1000 is too large"),
    ('"x2"', '"sqrt(x2 - 8)"', "the derivative of x1 is not a number"),
    (Y, 'equation = "x9", ', "outputs.y: name 'x9' is unknown"),
    (Y, "", "outputs.y.equation is missing; expected an equation in quotes"),
    ("noise = 0.01", "noise = -1", "outputs.y.noise is -1; expected the standard deviation"),
    ("noise = 0.01", "noise = nan", "outputs.y.noise is nan; expected the standard deviation"),
    ("y = {", "y = 3 #", "outputs.y is 3; expected an equation in quotes, or a table"),
    ('y = { equation = "x1", unit = "m", noise = 0.01 }', "", "outputs is empty; an observer needs"),
    (X1 + "\nx2 = { range = [-3, 3] }", "", "states is empty; expected at least one line"),
    ("dt = 0.05", "dt = 0", "sampling.dt is 0; expected a positive number, in seconds"),
    ("dt = 0.05", "dt = -0.1", "sampling.dt is -0.1; expected a positive number"),
    ("dt = 0.05", "dt = nan", "sampling.dt is nan; expected a positive number"),
    ("dt = 0.05", "dt = '1 s'", "sampling.dt is '1 s'; expected a positive number"),
    ("dt = 0.05", "dt = 0.05\nduration = 0", "sampling.duration is 0; expected a positive number"),
    ("dt = 0.05", "", "sampling.dt is missing; expected a positive number"),
    ("dt = 0.05", "h = 0.05", "key sampling.h is unknown"),
    ("[dynamics]", "definitions.a = 'b'\n[dynamics]", "key parameters.definitions.a is unknown"),
    ("[dynamics]", "[definitions]\na = 'b + 1'\nb = 'x1'\n[dynamics]", "definitions.a: 'b' is not yet known here"),
    ("[dynamics]", "[definitions]\na = 'a + 1'\n[dynamics]", "definitions.a: the definition uses itself"),
    ("[dynamics]", "[definitions]\nmu = 'x1'\n[dynamics]", "definitions.mu: the name 'mu' is already a parameter"),
    ("[dynamics]", "[definitions]\na = 3\n[dynamics]", "definitions.a is 3; expected an equation in quotes"),
    ("[dynamics]", "[definitions]\na = 'zz'\n[dynamics]", "definitions.a: name 'zz' is unknown"),
]


@pytest.mark.parametrize(("old", "new", "expected"), MISTAKES, ids=[expected[:50] for *_, expected in MISTAKES])
def test_every_mistake_is_named_where_it_stands(
    old: str, new: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert old in VAN_DER_POL
    message = refusal(VAN_DER_POL.replace(old, new, 1))
    assert expected in message
    assert len(message) < 400
    assert not list(tmp_path.iterdir())


def test_later_faults_are_counted() -> None:
    text = VAN_DER_POL.replace("dt = 0.05", "dt = 0").replace("[-3, 3]", "[3, -3]")
    assert refusal(text).endswith("(faults after this one: 2)")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_refused(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(VAN_DER_POL)))
    stop = data.draw(st.integers(start, min(len(VAN_DER_POL), start + 12)))
    inserted = data.draw(st.text('[]{}=,."#\nx1u-9 nantrue', max_size=6))
    try:
        assert isinstance(read(VAN_DER_POL[:start] + inserted + VAN_DER_POL[stop:]), System)
    except InputError as error:
        assert str(error).startswith("plant.toml: ")


# Mistakes in Python files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "plant.py: there is no 'system'; expected system = System(...)"),
        ("system = 3", "plant.py: system is 3; expected a System, or a function that returns one"),
        ("def system(): pass", "plant.py: system() returned None; expected a System, so is a `return` missing?"),
        ("def system(mass): pass", "plant.py: TypeError: system() missing 1 required positional argument: 'mass'"),
        ("raise BaseException('x')", "plant.py, line 1: BaseException: x"),
        (TWO_TANKS.replace("upper, lower = x", "raise BaseException('x')"), "plant.py, line 5: "),
        ("\n\n1/0\n", "plant.py, line 3: ZeroDivisionError: division by zero"),
        ("def f():\n    raise ValueError('one\\ntwo')\nf()", "plant.py, line 2: ValueError: one two"),
        ("def system():\n    return [][1]", "plant.py, line 2: IndexError: list index out of range"),
        ("x = 1\ny = (", "plant.py, line 2: SyntaxError: '(' was never closed"),
        ("x\x00", "plant.py: SyntaxError: source code string cannot contain null bytes"),
        ("import no_such_module_at_all", "plant.py, line 1: ModuleNotFoundError: No module named"),
        ("import sys\nsys.exit(0)", "plant.py, line 2: the script ends the program"),
        ("def f(): f()\nf()", "plant.py, line 1: RecursionError"),
        (TWO_TANKS.replace("system =", "plant ="), "plant.py: there is a System called 'plant'; rename it to 'system'"),
        (
            TWO_TANKS.replace(', (0.1, 1.0)), Signal("l', '), Signal("l'),
            "plant.py, line 12: state 'upper' has no range",
        ),
        (TWO_TANKS.replace("upper, lower = x", "upper, lower, z = x"), "plant.py, line 5: "),
        (TWO_TANKS.replace("return [x[1]]", "return [x[1], x[0]]"), "output returns 2 values; expected 1"),
        (TWO_TANKS.replace('p["a"]', 'p["b"]', 1), "plant.py, line 6: "),
    ],
)
def test_a_python_file_that_fails_names_the_line(script, text: str, expected: str) -> None:  # type: ignore[no-untyped-def]
    assert expected in script(text)


def test_a_failed_script_leaves_nothing_behind(script, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    before = list(sys.path)
    script("1/0")
    assert sys.path == before and "observer_system_file" not in sys.modules
    assert [p.name for p in tmp_path.iterdir()] == ["plant.py"]


# Names and paths ------------------------------------------------------------------------------------------------------


def test_names_and_paths_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "oscillator.toml").write_text(VAN_DER_POL, encoding="utf-8")
    (tmp_path / "notes.md").write_text("text", encoding="utf-8")
    (tmp_path / "empty.toml").write_text(" \n", encoding="utf-8")
    (tmp_path / "latin.toml").write_bytes('name = "a"\ndescription = "Füllstand"'.encode("latin-1"))
    (tmp_path / "wide.py").write_bytes("x = 1".encode("utf-16"))
    (tmp_path / "large.toml").write_text("#" * 1_000_001, encoding="utf-8")
    (tmp_path / "folder.toml").mkdir()
    cases = {
        "van_der_pool": "no system in the library is called 'van_der_pool'; did you mean 'van_der_pol'?",
        "Van der Pol": "did you mean 'van_der_pol'?",
        "zzzz": "no system in the library is called 'zzzz'; known: box, ",
        "van_der_pol.toml": "there is no file van_der_pol.toml; the library has a system 'van_der_pol'",
        "": "expected a library name, or a path that ends in .toml or .py",
        "a\x00.toml": "expected a library name, or a path",
        "x" * 5000 + ".toml": "cannot be read",
        f"{tmp_path}/oscilator.toml": "did you mean 'oscillator.toml'?",
        f"{tmp_path}/pendulums.toml": "did you mean 'pendulum'?",
        f"{tmp_path}/nowhere/a.toml": "nor a folder",
        f"{tmp_path}": "is a folder",
        f"{tmp_path}/folder.toml": "is a folder",
        f"{tmp_path}/notes.md": "ends in '.md'; expected a file that ends in .toml or .py",
        f"{tmp_path}/system.json": "is neither a file nor in the library",
        f"{tmp_path}/empty.toml": "the file is empty",
        f"{tmp_path}/latin.toml": "line 2: this is no UTF-8 text; save the file as UTF-8",
        f"{tmp_path}/wide.py": "line 1: this is no UTF-8 text",
        f"{tmp_path}/large.toml": "expected a system file of at most 1000000",
    }
    for given_name, expected in cases.items():
        with pytest.raises(InputError) as caught:
            load_system(given_name)
        assert expected in str(caught.value), given_name
        assert "\n" not in str(caught.value)
    for given_name in (3, None, b"box"):
        with pytest.raises(InputError, match="expected a library name"):
            load_system(given_name)  # type: ignore[arg-type]


def test_faults_name_the_file_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plant.toml").write_text(VAN_DER_POL.replace("dt = 0.05", "dt = 0"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError,
        match=r"\Aplant\.toml: sampling\.dt is 0; expected a positive number, in [^:]*\Z",
    ):
        load_system("plant.toml")


# Templates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TEMPLATES)
def test_templates_work_as_written(kind: str, tmp_path: Path) -> None:
    path = write_template(tmp_path / f"my plant.{kind}")
    system = load_system(path)
    assert (system.name, system.source, system.unused) == ("my plant", f"my plant.{kind}", ())
    assert np.all(np.isfinite(system.derivative(system.initial_ranges.mean(axis=1), system.input_ranges.mean(axis=1))))
    assert f"observer run my plant.{kind}" in path.read_text(encoding="utf-8")


def test_templates_never_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("precious", encoding="utf-8")
    with pytest.raises(InputError, match="exists already"):
        write_template(path)
    assert path.read_text(encoding="utf-8") == "precious"
    for wrong, expected in {"a.txt": "ends in .toml or .py", "a": "ends in", "no/a.py": "there is no folder"}.items():
        with pytest.raises(InputError, match=expected):
            write_template(tmp_path / wrong)
    with pytest.raises(InputError, match="ends in"):
        write_template(tmp_path / "a.toml", kind="py")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.toml"]
