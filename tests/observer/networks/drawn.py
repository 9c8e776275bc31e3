"""What the tests of several networks draw, and the shapes that go with sizes."""

from hypothesis import strategies as st

AXES = {"A": "xx", "B1": "xv", "B2": "xu", "C1": "vx", "C2": "yx", "D11": "vv", "D12": "vu", "D21": "yv", "D22": "yu"}
AXES |= {"bx": "x", "bv": "v", "by": "y"}


def whole(**bounds):
    """Whole numbers, each from its (least, most)."""
    return {name: st.integers(*bound) for name, bound in bounds.items()}


def shapes(nu, nx, nv, ny):
    """The shape of every explicit weight of a REN."""
    sizes = {"u": nu, "x": nx, "v": nv, "y": ny}
    return {name: tuple(sizes[axis] for axis in axes) for name, axes in AXES.items()}
