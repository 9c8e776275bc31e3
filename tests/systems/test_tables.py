"""Tables of points in the equations of a plant: the same numbers however they are written, exact slopes, refusals with the way out."""

import casadi as ca
import numpy as np
import pytest
from scipy.interpolate import CubicSpline, PchipInterpolator, interp1d

from systems import InputError, LookupTable, Signal, System, load_system, table
from systems.evaluation import evaluate, jacobian
from systems.toml_files import system_from_toml
from tests.conftest import SHARED

X, Y = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0], [3.0, 3.45, 3.58, 3.68, 3.9, 4.05, 4.18]
AT = np.linspace(-0.3, 1.3, 641)


def plant(output, **more):
    return System(
        name="cell",
        states=[Signal("soc", "", (0, 1))],
        outputs=[Signal("v", "V")],
        dynamics=lambda x: [-x[0]],
        output=output,
        dt=1.0,
        **more,
    )


def toml(extra="", equation="table(ocv, soc)", name="ocv", kind="linear"):
    return f"""
[states]
soc = {{ range = [0, 1] }}
[tables]
{name} = {{ x = {X}, y = {Y}, kind = "{kind}" }}
{extra}
[dynamics]
soc = "-soc"
[outputs]
v = "{equation}"
"""


def values(system):
    return system.measure(AT[:, None])[:, 0]


def test_one_table_however_it_is_written():
    expected = np.interp(AT, X, Y)
    symbols = ca.SX.sym("x")
    inside = (AT >= 0) & (AT <= 1)
    for system in (
        plant(lambda x: [np.interp(x[0], X, Y)]),
        plant(lambda x: np.interp(x, X, Y)),
        plant(lambda x: [table(x[0], X, Y)]),
        plant(lambda x, p: [np.interp(x[0], X, [p["v0"], *Y[1:]])], parameters={"v0": 3.0}),
        system_from_toml(toml(), "cell.toml"),
    ):
        np.testing.assert_allclose(values(system), expected, atol=1e-14)
        np.testing.assert_array_equal(values(System.from_data(system.to_data())), values(system))
    interpolant = ca.interpolant("ocv", "linear", [X], Y)
    point = ca.MX.sym("x", 1)
    for output, more in (
        (ca.Function("h", [point], [interpolant(point)], ["x"], ["y"]), {}),
        (interpolant(symbols), {"symbols": {"x": symbols}}),
        (lambda x: [interpolant(x[0])], {}),
    ):
        np.testing.assert_allclose(values(plant(output, **more))[inside], expected[inside], atol=1e-14)


def test_smooth_tables():
    expected = PchipInterpolator(X, Y)(np.clip(AT, 0, 1))
    for system in (
        plant(lambda x: [table(x[0], X, Y, "monotone")]),
        system_from_toml(toml(kind="monotone"), "cell.toml"),
    ):
        np.testing.assert_allclose(values(system), expected, atol=1e-13)
    np.testing.assert_allclose(LookupTable(X, Y, "monotone")(AT), expected, atol=1e-13)
    spline, point = ca.interpolant("ocv", "bspline", [X], Y), ca.MX.sym("x", 1)
    inner = ca.Function("inner", [point], [2 * spline(point)])
    system = plant(ca.Function("h", [point], [inner(point) - spline(point)]))
    inside = AT[(AT >= 0) & (AT < 1)]
    np.testing.assert_allclose(system.measure(inside[:, None])[:, 0], CubicSpline(X, Y)(inside), atol=1e-12)


def test_the_slope_of_a_table_is_exact():
    for kind, slope in (
        ("linear", lambda s: np.diff(Y)[np.searchsorted(X, s) - 1] / np.diff(X)[np.searchsorted(X, s) - 1]),
        ("monotone", PchipInterpolator(X, Y).derivative()),
    ):
        system = plant(lambda x, kind=kind: [table(x[0], X, Y, kind)])
        inside = np.setdiff1d(np.linspace(0.001, 0.999, 400), X)
        empty = np.zeros((len(inside), 0))
        found = evaluate(
            jacobian(system.output, "x"), t=np.zeros((len(inside), 1)), x=inside[:, None], u=empty, p=empty
        )
        np.testing.assert_allclose(found[:, 0, 0], slope(inside), atol=1e-11)


def test_the_field_plants_agree():
    field = SHARED / "field"
    if not field.is_dir():
        pytest.skip("the field's own inputs are not here")
    traced, written = load_system(field / "table_np_interp.py"), load_system(field / "table_by_hand.toml")
    rng = np.random.default_rng(0)
    x, u = rng.uniform([0, -0.15], [1, 0.15], (500, 2)), rng.uniform(-5, 5, (500, 1))
    np.testing.assert_allclose(traced.measure(x, u), written.measure(x, u), atol=1e-9)
    np.testing.assert_allclose(traced.derivative(x, u), written.derivative(x, u), atol=1e-9)
    with pytest.raises(InputError, match=r"SciPy interpolator \(CubicSpline\).*np\.interp.*table\(x, points, values"):
        load_system(field / "table_cubic_spline.py")
    fed_batch = load_system(field / "fed_batch_casadi.py")
    np.testing.assert_allclose(fed_batch.derivative([1, 1, 1], [0.1]), [0.22, 1.26, 0.1])
    np.testing.assert_array_equal(fed_batch.measure([1, 2, 3], [0.1]), [1, 3])


@pytest.mark.parametrize("make", [PchipInterpolator, CubicSpline, interp1d])
def test_interpolators_of_scipy_get_one_message(make):
    with pytest.raises(InputError, match=f"SciPy interpolator.*{make.__name__}.*np.interp") as error:
        plant(lambda x: [make(X, Y)(x[0])])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (toml(equation="ocv(soc)"), "'ocv' is a table; write table(ocv, ...)"),
        (toml(equation="ocv + soc"), "'ocv' is a table; expected table(ocv, ...)"),
        (toml(equation="table(osv, soc)"), "did you mean 'ocv'"),
        (toml(equation="table(soc)"), "needs the name of a table first"),
        (toml(equation="table(ocv)"), "table() has two arguments, as table(ocv, soc)"),
        (toml(name="soc"), "tables.soc: the name 'soc' is already a state"),
        (toml(kind="spline"), "tables.ocv: kind is 'spline'; expected linear or monotone"),
        (toml().replace("0.25,", "0.05,"), "tables.ocv: x must increase, and 0.05 comes after 0.1"),
        (toml().replace("4.18]", "4.18, 5]"), "tables.ocv: 7 points x and 8 values y"),
        (toml().replace("4.18]", "'a']"), "expected a list of finite numbers"),
        (toml().replace("kind", "kinds"), "did you mean 'kind'"),
    ],
)
def test_what_is_no_table(text, words):
    with pytest.raises(InputError) as error:
        system_from_toml(text, "cell.toml")
    assert words in str(error.value) and str(error.value).startswith("cell.toml")


def test_what_np_interp_cannot_be():
    with pytest.raises(InputError, match="period"):
        plant(lambda x: [np.interp(x[0], X, Y, period=1.0)])
    with pytest.raises(InputError, match="x must increase"):
        plant(lambda x: [np.interp(x[0], X[::-1], Y)])
    system = plant(lambda x: [np.interp(x[0], X, Y, left=0.0, right=9.0)])
    np.testing.assert_allclose(values(system), np.interp(AT, X, Y, left=0.0, right=9.0), atol=1e-13)
    with pytest.raises(InputError, match="'map' is a table of several variables"):
        plant(lambda x: [ca.interpolant("map", "linear", [X, [0.0, 1.0]], 2 * Y)(ca.vertcat(x[0], x[0]))])


def function(arguments, *values):
    return ca.Function("f", arguments, [ca.vertcat(*values)])


def test_functions_without_names_are_taken_by_position():
    x, u, p, t = ca.SX.sym("a", 2), ca.SX.sym("b", 1), ca.SX.sym("c", 3), ca.SX.sym("d")
    signals = {
        "name": "s", "states": [Signal("q", "", (0, 1)), Signal("r", "", (0, 1))], "inputs": [Signal("w", "", (0, 1))],
        "outputs": [Signal("y")], "parameters": {"k": 1.0, "l": 2.0, "m": 3.0}, "dt": 1.0,
    }  # fmt: skip
    for arguments in ([x, u, p], [x, u], [x, p], [x], [t, x, u, p], [t, x]):
        system = System(**signals, dynamics=function(arguments, x[1], x[0]), output=function([x], x[0]))
        np.testing.assert_array_equal(system.derivative([0.2, 0.3], [0.4]), [0.3, 0.2])
    with pytest.raises(
        InputError, match=r"inputs without names, of 1, 2, 2 elements; expected x, u, p in this order \(x of 2, u of 0"
    ):
        System(**{**signals, "inputs": [Signal("w", "", (0, 1))] * 0}, dynamics=function([u, ca.SX.sym("z", 2), x], x[1], x[0]),
               output=function([x], x[0]))  # fmt: skip
