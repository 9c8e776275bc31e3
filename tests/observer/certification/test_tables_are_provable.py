"""Tables become operations that have relaxations, so that a residual bound over a region can be proved."""

import casadi as ca
import numpy as np
import pytest

from observer.certification.residual.program import compile_program
from systems import Signal, System, table

X = np.linspace(0, 1, 200)
Y = 3 + 1.2 * X - 0.3 * np.exp(-20 * X)


@pytest.mark.parametrize(
    ("output", "most"),
    [
        (lambda x: [np.interp(x[0], X, Y)], 5 * 200),
        (lambda x: [table(x[0], X, Y, "monotone")], 25 * 200),
        (lambda x: [ca.interpolant("ocv", "bspline", [list(X)], list(Y))(x[0])], 25 * 200),
    ],
)
def test_tables_of_hundreds_of_points_are_short_programs(output, most):
    system = System(
        name="cell",
        states=[Signal("soc", "", (0, 1))],
        outputs=[Signal("v")],
        dynamics=lambda x: [-x[0]],
        output=output,
        dt=1.0,
    )
    program = compile_program(system.output, system.parameter_values, "the output")
    assert len(program.code) < most
