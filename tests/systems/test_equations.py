"""Text equations: they mean what Python's arithmetic means, and everything else is refused with its place."""

import inspect
import math
import pickle
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from systems.base.errors import InputError
from systems.equations import FUNCTIONS, MAX_DEPTH, MAX_LENGTH, parse
from systems.signals import Signal
from systems.system import System

NAMES = ("x1", "x2", "u", "mu", "t")
VALUES = {"x1": 0.7, "x2": -1.3, "u": 0.2, "mu": 1.5, "t": 3.0}


def value(text: str, **values: float) -> float:
    return parse(text, [*NAMES, *values], "state 'x1'").evaluate({**VALUES, **values})


def refusal(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parse(text, NAMES, "state 'x1'")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mu*(1 - x1^2)*x2 - x1 + u", 1.5 * (1 - 0.49) * -1.3 - 0.7 + 0.2),
        ("-x1^2", -0.49),
        ("-x1**2", -0.49),
        ("x1^-2", 0.7**-2),
        ("2^-x1", 2**-0.7),
        ("-2^2", -4.0),
        ("2*-x1", -1.4),
        ("+x1", 0.7),
        ("- -x1", 0.7),
        ("8/4/2", 1.0),
        ("8-4-2", 2.0),
        ("1e-3 + 2.5E+1 + .5 + 3.", 28.501),
        ("2*pi", 2 * math.pi),
        ("e^2", math.e**2),
        ("\n  x1\n+ x2\t", -0.6),
        ("where(x1 > 0, u, mu)", 0.2),
        ("where((x1 <= 0), u, mu)", 1.5),
        ("where(x1 < 0, u, where(x2 >= 0, 1, 2))", 2.0),
        ("where(1 < 2, x1, x2)", 0.7),
        ("min(x1, x2, 0)", -1.3),
        ("max(x1, x2)", 0.7),
        ("clip(x2, -1, 0.5)", -1.0),
        ("clip(x1, -1, 0.5)", 0.5),
        ("clip(x1, -1, 1)", 0.7),
        ("atan2(x1, x2)", math.atan2(0.7, -1.3)),
        ("sign(x2)*abs(x2)", -1.3),
        ("log(exp(x1)) + log10(100)", 2.7),
        ("(x1^2)^16", 0.7**32),
    ],
)
def test_value(text: str, expected: float) -> None:
    assert value(text) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("name", [name for name, (_, fewest, most) in FUNCTIONS.items() if fewest == most == 1])
def test_every_function_is_the_one_of_the_maths_module(name: str) -> None:
    point = 1.4 if name == "acosh" else 0.6
    reference = {"abs": abs, "sign": lambda v: math.copysign(1, v)}.get(name) or getattr(math, name)
    assert value(f"{name}(v)", v=point) == pytest.approx(reference(point), rel=1e-14)


def test_names_of_the_user_hide_constants_and_may_equal_functions() -> None:
    assert value("e + pi", e=10.0, pi=20.0) == 30.0
    assert value("min(min, 3)", min=5.0) == 3.0


def test_names_are_those_used_in_order() -> None:
    assert parse("u + x1*x1 - pi", NAMES, "y").names == ("u", "x1")


def test_arrays_broadcast() -> None:
    x1, x2 = np.linspace(-1, 1, 5)[:, None], np.linspace(0, 2, 3)
    result = parse("where(x1 > 0, x1^2, max(x1, -x2))", NAMES, "y").evaluate({"x1": x1, "x2": x2})
    np.testing.assert_array_equal(result, np.where(x1 > 0, x1**2, np.maximum(x1, -x2)))


def test_floats_behave_as_arrays_do() -> None:
    with np.errstate(all="ignore"):
        assert np.isnan(value("x2^0.5"))
        assert np.isinf(value("1/zero", zero=0))


def test_equations_are_values() -> None:
    equation = parse("sin(x1)^2", NAMES, "y")
    assert equation == parse("sin(x1)^2", NAMES, "elsewhere")
    assert pickle.loads(pickle.dumps(equation)) == equation
    with pytest.raises(AttributeError):
        equation.text = "x1"  # type: ignore[misc]


def test_symbols_give_the_same_numbers_as_floats() -> None:
    texts = [
        "mu*(1 - x1^2)*x2 - x1 + u + t",
        "where(x1 > x2, sin(x1), x2^-2) + where(x1 <= 0, 1, 2)",
        "min(x1, 0.1, mu) + max(1, x2) + clip(3, x1, u) + abs(x2) + sign(x1)",
        "atan2(x1, x2) + asinh(x1) + acosh(2 + x1) + atanh(x1/2) + log10(2 + x1) + 2^x1 + (1.5 + x1)^0.5",
        "sinh(x1) - cosh(x2)*tanh(u) + asin(x1/2) - acos(x2/2) + atan(u) - tan(x1) + exp(-x2) + sqrt(2 + x2)",
        "3",
    ]
    equations = [parse(text, NAMES, "y") for text in texts]

    def output(t, x, u, p):  # type: ignore[no-untyped-def]
        values = {"t": t, "x1": x[0], "x2": x[1], "u": u[0], **p}
        return [equation.evaluate(values) for equation in equations]

    system = System(
        name="symbols",
        states=[Signal("x1", "", (-1, 1)), Signal("x2", "", (-1.5, 1.5))],
        inputs=[Signal("u", "", (-1, 1))],
        outputs=[Signal(f"y{k}") for k in range(len(texts))],
        parameters={"mu": 1.5},
        dynamics=lambda x: [x[0], x[1]],
        output=output,
    )
    for x1, x2, u in np.random.default_rng(0).uniform(-1, 1, (20, 3)):
        numbers = [eq.evaluate({"t": 0.0, "x1": x1, "x2": x2, "u": u, "mu": 1.5}) for eq in equations]
        np.testing.assert_allclose(system.measure([x1, x2], [u]), numbers, rtol=1e-13, atol=1e-14)


# The parser against Python's own arithmetic ---------------------------------------------------------------------------

_ATOMS = st.sampled_from(["x1", "x2", "u", "mu", "2", "0.5", "3.25", "7", "1e-2"])


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operand = st.one_of(
        inner,
        inner.map(lambda text: f"({text})"),
        st.tuples(st.sampled_from("+-"), inner).map("".join),
        st.tuples(inner, st.sampled_from(["2", "3", "-1", "-2", "0.5"])).map(lambda pair: f"({pair[0]})**{pair[1]}"),
        st.sampled_from(["x1", "x2", "mu"]).map(lambda name: f"{name}**2"),
    )
    pair = st.tuples(operand, st.sampled_from(["+", "-", "*", "/", " - ", " * "]), operand).map("".join)
    return st.one_of(pair, operand)


@settings(max_examples=400, deadline=None)
@given(st.recursive(_ATOMS, _larger, max_leaves=12), st.lists(st.floats(-5, 5), min_size=4, max_size=4))
def test_random_expressions_agree_with_python(text: str, numbers: list[float]) -> None:
    try:
        equation = parse(text, NAMES, "y")
    except InputError as error:
        assert any(part in str(error) for part in ("division by zero", "this constant is", "nested powers"))
        assume(False)
        return
    values = dict(zip(NAMES, map(np.float64, numbers), strict=False))
    with np.errstate(all="ignore"):
        expected = eval(text, {"__builtins__": {}}, values)  # the text is ours: names, numbers and operators
        spaced = parse(text.replace("**", " ^ ").replace("(", " ( "), NAMES, "y")
        for result in (equation.evaluate(values), spaced.evaluate(values)):
            np.testing.assert_allclose(result, np.float64(expected.real), rtol=1e-12, equal_nan=True)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text("x1u 2.e()+-*/^<>=,._'[]sinwhere\n", max_size=60)))
def test_any_text_is_an_equation_or_is_refused_with_its_place(text: str) -> None:
    try:
        equation = parse(text, NAMES, "state 'x1'")
    except InputError as error:
        message = str(error)
        assert message.startswith("state 'x1': ")
        assert "is empty" in message or (message.endswith("^") and "column " in message)
    else:
        assert set(equation.names) <= set(NAMES)


# Refusals -------------------------------------------------------------------------------------------------------------

HOSTILE = {
    "__import__('os').system('touch pwned')": ("function '__import__' is not allowed", "__import__"),
    "eval('1')": ("function 'eval' is not allowed", "eval"),
    "exec(x1)": ("function 'exec' is not allowed", "exec"),
    "open(x1)": ("function 'open' is not allowed", "open"),
    "x1.__class__": ("attributes (a.b) are not allowed", "."),
    "np.sin(x1)": ("write sin(x), not np.sin(x)", "."),
    "x1[0]": ("only round brackets", "["),
    "{x1}": ("only round brackets", "{"),
    "'text'": ("texts in quotes", "'"),
    '"text"': ("texts in quotes", '"'),
    "lambda: 0": ("character ':' is not allowed", ":"),
    "x1 := 3": ("character ':' is not allowed", ":"),
    "x1 = 3": ("'=' is not allowed", "="),
    "x1 == 3": ("'=' is not allowed", "="),
    "x1 != 3": ("character '!' is not allowed", "!"),
    "x1; x2": ("character ';' is not allowed", ";"),
    "x1 // 2": ("divide with /", "//"),
    "x1 % 2": ("no remainder", "%"),
    "x1 @ x2": ("character '@' is not allowed", "@"),
    "~x1": ("character '~' is not allowed", "~"),
    "x1 − x2": ("plain -", "−"),
    "x1·x2": ("plain *", "·"),
    "x1²": ("write ^2", "²"),
    "μ*x1": ("letter 'μ' is not allowed", "μ"),
    "x1\x00": ("U+0000", "\x00"),
    "x1\u00a0+ x2": ("U+00A0", "\u00a0"),
    "x1 + \u202e x2": ("U+202E", "\u202e"),
    "1٣": ("character '٣' is not allowed", "٣"),
    "sine(x1)": ("did you mean 'sin'?", "sine"),
    "ln(x1)": ("write log", "ln"),
    "pow(x1, 2)": ("write ^", "pow"),
    "if(x1 > 0, 1, 2)": ("write where", "if"),
    "floor(x1)": ("function 'floor' is not allowed", "floor"),
    "x1(x2)": ("for a product write x1*(...)", "x1"),
    "sin(x1, x2)": ("sin() has 2 argument(s); expected 1", "sin"),
    "sin()": ("sin() has 0 argument(s); expected 1", "sin"),
    "atan2(x1)": ("atan2() has 1 argument(s); expected 2", "atan2"),
    "max(x1)": ("max() has 1 argument(s); expected at least 2", "max"),
    "where(x1 > 0, 1)": ("where() has 2 argument(s); expected 3", "where"),
    "sin(x1,)": ("')' is out of place", ")"),
    "sin": ("'sin' is a function; expected sin(...)", "sin"),
    "x2 + y1": ("name 'y1' is unknown; did you mean 'x1'?", "y1"),
    "X1": ("did you mean 'x1'?", "X1"),
    "velocity": ("name 'velocity' is unknown; known: x1, x2, u, mu, t", "velocity"),
    "x2*2x1": ("expected an operator before 'x1'; for a product write *", "x1"),
    "2(x1)": ("expected an operator before '('", "("),
    "0x10": ("expected an operator before 'x10'", "x10"),
    "1_000": ("expected an operator before '_000'", "_000"),
    "1j": ("expected an operator before 'j'", "j"),
    "1.2.3": ("expected an operator before '.3'", ".3"),
    "x1,5": ("write decimals with a point", ","),
    "u if x1 else x2": ("expected where(condition, this, otherwise)", "if"),
    "where(x1 > 0 and x2 > 0, 1, 2)": ("'and' is not allowed", "and"),
    "(x1": ("this ( is never closed", "("),
    "sin(x1 + (x2": ("this ( is never closed", "(x2"),
    "x1)": ("this ) closes nothing", ")"),
    "x1 + * x2": ("'*' is out of place", "*"),
    "*x1": ("'*' is out of place", "*"),
    "()": ("')' is out of place", ")"),
    "x1 > 0": ("only as the first argument of where", ">"),
    "-(x1 > 0)": ("only as the first argument of where", ">"),
    "sin(x1 > 0)": ("only as the first argument of where", ">"),
    "(x1 > 0)^2": ("only as the first argument of where", ">"),
    "where(x2 < x1 < 3, 1, 2)": ("cannot be chained", "< x1"),
    "where(x1, 1, 2)": ("needs a comparison first", "x1"),
    "where(x1 > 0, x2 > 0, 2)": ("only as the first argument of where", "> 0, 2"),
    "x1^33": ("exponent 33 is too large; expected at most 32", "33"),
    "x1^-33": ("exponent -33 is too large", "-33"),
    "x1^(10*10)": ("exponent 100 is too large", "*10)"),
    "x1^2^3": ("an exponent that holds a power", "^"),
    "9^9^9^9": ("an exponent that holds a power", "^9^9", -1),
    "x1^(u*x2^2)": ("an exponent that holds a power", "^(u"),
    "(x1^8)^8": ("nested powers multiply to 64", "^8", -1),
    "sin((x1^32 + 1)*u)^2": ("nested powers multiply to 64", "^2", -1),
    "2^9999999999": ("exponent 1e+10 is too large", "9999999999"),
    "1e999": ("this number is too large", "1e999"),
    "1" * 400: ("this number is too large", "1"),
    "x1*1e-999": ("this number is too small", "1e-999"),
    "1e300*1e300": ("this constant is inf", "*"),
    "exp(1000)": ("this constant is inf", "exp"),
    "sqrt(-1)": ("this constant is nan", "sqrt"),
    "log(0)": ("this constant is -inf", "log"),
    "x1/0": ("division by zero", "0"),
    "x1/(2 - 2)": ("division by zero", "- 2"),
    "x1/-0.0": ("division by zero", "-0.0"),
    "0^-1": ("division by zero", "^"),
    "(" * 5000 + "x1" + ")" * 4000: ("nested deeper than 50 levels", "("),
    "-" * 9000 + "x1": ("nested deeper than 50 levels", "-"),
    "sin(" * 2000 + "x1": ("nested deeper than 50 levels", "sin"),
    "2^-" * 3000 + "x1": ("nested deeper than 50 levels", "2"),
    "+".join(["x1"] * 3000) + "+": ("ends too early", ""),
    "y" * 9000: ("is unknown", "y"),
}


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:30]))
def test_hostile_text_is_refused_where_it_stands(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    start = time.perf_counter()
    message = refusal(text)
    assert time.perf_counter() - start < 1.0
    expected, fault, *which = HOSTILE[text]
    assert message.startswith("state 'x1': ")
    assert expected in message
    assert len(message) < 500
    assert not list(tmp_path.iterdir())
    _, shown, caret = message.split("\n")
    if fault and "nested deeper" not in message:
        position = text.rindex(fault) if which else text.index(fault)
        assert f"(column {position + 1})" in message
        if fault.isprintable() and position < 50:
            assert shown[caret.index("^") :].startswith(fault[:20])


@pytest.mark.parametrize("text", ["", "  ", "\n\t"])
def test_an_empty_equation_is_refused(text: str) -> None:
    assert "the equation is empty" in refusal(text)


def test_length_is_limited() -> None:
    assert f"expected at most {MAX_LENGTH}" in refusal("x1+" * 4000)
    assert value("x1+" * 3333 + "0") == pytest.approx(3333 * 0.7)


@pytest.mark.parametrize("given", [3, None, ["x1"], float("nan"), 10**5000], ids=lambda value: type(value).__name__)
def test_what_is_no_text_is_refused(given: object) -> None:
    assert "expected a text in quotes" in refusal(given)  # type: ignore[arg-type]


def test_a_fault_in_the_second_line_is_shown_there() -> None:
    message = refusal("x1 +\n  2*y9 + u\n")
    assert "(line 2, column 5)" in message
    assert message.endswith("\n      2*y9 + u\n        ^")


def test_a_long_line_is_shown_around_the_fault() -> None:
    _, shown, caret = refusal("x1 + " * 500 + "wrong" + " + x1" * 500).split("\n")
    assert shown[caret.index("^") :].startswith("wrong")
    assert len(shown) < 100


def test_depth_is_limited_long_before_the_recursion_limit_of_python() -> None:
    inside = "where(x1<1+1*(" * (MAX_DEPTH // 2) + "x1" + "), 1, 2)" * (MAX_DEPTH // 2)
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 400)
    try:
        assert value(inside) == pytest.approx(1.0)
        assert "nested deeper" in refusal("where(x1<1+1*(" * 500)
        assert value("sin(" * MAX_DEPTH + "x1" + ")" * MAX_DEPTH) > 0
        assert "nested deeper" in refusal("(" * (MAX_DEPTH + 1) + "x1" + ")" * (MAX_DEPTH + 1))
    finally:
        sys.setrecursionlimit(before)
