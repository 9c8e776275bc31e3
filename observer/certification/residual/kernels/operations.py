"""Instructions of a plant's program, by their codes, and what rounding is granted."""

#: Instructions in the order of their codes.
OPERATIONS = (
    "STATE", "INPUT", "CONST", "SCALE", "SHIFT", "add", "sub", "mul", "inv", "exp", "log", "sqrt", "sin", "cos",
    "tan", "atan", "sinh", "cosh", "tanh", "POWER", "abs", "sign", "relu",
)  # fmt: skip
STATE, INPUT, CONST, SCALE, SHIFT, ADD, SUB, MUL, INV, EXP, LOG, SQRT, SIN, COS = range(14)
TAN, ATAN, SINH, COSH, TANH, POWER, ABS, SIGN, RELU = range(14, 23)

UNIT = 2.0**-53  # the unit roundoff
LIBRARY = 16 * UNIT  # relative error granted to exp, sin, tanh, ... twice
TINY = 1e-300  # underflow
