"""The plants that tests write to a file, each once: a spring in its variants, the same as a cart, and any two states."""

import re


def changed(text: str, *changes: tuple[str, str]) -> str:
    """The text with every ``(old, new)`` replaced; each ``old`` must be there."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


# Not driven, no duration: the smallest that a whole run needs.
FREE_SPRING = """
name = "spring"
[states]
q = { range = [-1, 1], unit = "m" }
w = { range = [-1.5, 1.5], initial = [-0.5, 0.5], unit = "m/s" }
[dynamics]
q = "w"
w = "-q - q^3 - 0.2*w"
[outputs]
y = { equation = "q", noise = 0.01 }
[sampling]
dt = 0.1
"""
NOISELESS_SPRING = changed(FREE_SPRING, ('{ equation = "q", noise = 0.01 }', '"q"')) + "duration = 8\n"
DRIVEN_SPRING = changed(
    FREE_SPRING,
    ("[dynamics]", '[inputs]\nu = { range = [-0.3, 0.3], unit = "N" }\n[dynamics]'),
    ("0.2*w", "0.2*w + u"),
    ('"q", noise', '"q", unit = "m", noise'),
)
UNCERTAIN_SPRING = (
    changed(DRIVEN_SPRING, (', unit = "N"', ""), ("[dynamics]", "[parameters]\nk = 1\n[dynamics]"), ("-q -", "-k*q -"))
    + "duration = 3\n"
)
HARDENING_SPRING = changed(
    DRIVEN_SPRING,
    ('"spring"', '"hardening spring"'),
    ('[-1, 1], unit = "m"', '[-1.5, 1.5], unit = "m", initial = [-0.5, 0.5]'),
    ("[-1.5, 1.5], initial", "[-2, 2], initial"),
    ("0.01", "0.005"),
)
CART = changed(
    re.sub(r"\b[qwuy]\b", lambda name: {"q": "gap", "w": "speed", "u": "push", "y": "sensor"}[name[0]], DRIVEN_SPRING),
    ('"spring"', '"cart"'),
    ("-gap - gap^3 - 0.2*speed + push", "push - gap - gap^3 - 0.2*speed"),
    (", noise = 0.01", ""),
)


def two_states(name, ranges, dynamics, output, sampling):
    """A plant with the states a and b, and the output y."""
    (range_a, range_b), (of_a, of_b) = ranges, dynamics
    return (
        f'name = "{name}"\n[states]\na = {{ range = {range_a} }}\nb = {{ range = {range_b} }}\n'
        f'[dynamics]\na = "{of_a}"\nb = "{of_b}"\n[outputs]\ny = "{output}"\n[sampling]\n{sampling}\n'
    )
