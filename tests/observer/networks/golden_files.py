"""The files of the reference implementation, and the comparison with them: matrices and trajectories to 1e-10."""

from pathlib import Path

import numpy as np

from observer.networks.ren.explicit import WEIGHTS

FOLDER = Path(__file__).parents[2] / "golden"
NORM_EPS = 1.1920928955078125e-07  # the reference adds float32's epsilon inside the norm


def files(*patterns):
    return sorted(path for pattern in patterns for path in FOLDER.glob(f"{pattern}_*.npz"))


def read(path):
    """The stored file, and its direct parameters by name."""
    with np.load(path) as file:
        golden = dict(file)
    return golden, {name[7:]: value for name, value in golden.items() if name.startswith("direct.")}


def same_matrices(explicit, golden, names=WEIGHTS):
    for name in names:
        expected = golden[f"explicit.{name}"]
        np.testing.assert_allclose(getattr(explicit, name), expected, rtol=0, atol=1e-10, err_msg=name)


def same_trajectory(explicit, golden, convert=np.asarray):
    x = convert(golden["x0"])
    for k, u in enumerate(golden["u"]):
        x, y = explicit.step(x, convert(u))
        np.testing.assert_allclose(x, golden["x"][k + 1], rtol=0, atol=1e-10)
        np.testing.assert_allclose(y, golden["y"][k], rtol=0, atol=1e-10)
